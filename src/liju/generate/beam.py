r"""Beam search: the likeliest whole answer, instead of the likeliest next token each time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from liju.generate.session import Session

__all__ = ["Hypothesis", "beam_search", "length_penalty"]


def length_penalty(length: int, alpha: float) -> float:
    r"""$lp(n) = ((5 + n) / 6)^\alpha$ (Wu et al. 2016): a hypothesis of n tokens scores $\log p / lp(n)$.

    >>> length_penalty(7, 1.0)
    2.0
    """
    return ((5 + length) / 6) ** alpha


@dataclass(frozen=True)
class Hypothesis:
    """An answer, its end token left out, and the log probability (end token included) over the penalty."""

    tokens: tuple[int, ...]
    score: float


@dataclass
class _Search:
    """The search of one prompt: what it has finished, and the beams it goes on with."""

    width: int
    alpha: float
    beams: list[tuple[tuple[int, ...], float]] = field(default_factory=lambda: [((), 0.0)])
    finished: list[Hypothesis] = field(default_factory=list)

    def finish(self, tokens: tuple[int, ...], logp: float, length: int) -> None:
        self.finished.append(Hypothesis(tokens, logp / length_penalty(length, self.alpha)))
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self.finished[self.width :]

    @property
    def done(self) -> bool:
        """No beam, at its present length, scores better than the worst of enough finished ones."""
        if not self.beams:
            return True
        if len(self.finished) < self.width:
            return False
        best, logp = self.beams[0]
        return logp / length_penalty(len(best), self.alpha) <= self.finished[-1].score


@torch.no_grad()
def beam_search(
    session: Session, *, eos: Collection[int], max_new_tokens: int, beam: int, alpha: float = 0.6
) -> list[list[Hypothesis]]:
    """The `beam` best answers to each prompt of a session, best first.

    >>> from liju.model import Transformer, TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> answers = beam_search(Session(model, [[1, 5], [6]]), eos=[2], max_new_tokens=3, beam=4)
    >>> [len(hypotheses) for hypotheses in answers]
    [4, 4]
    """
    searches = [_Search(beam, alpha) for _ in session.cache.lengths]
    running = list(range(len(searches)))  # searches that have rows in the session, in the order of the rows
    for _ in range(max_new_tokens):
        logp = torch.log_softmax(session.logits.double(), dim=-1)
        vocab, start, rows, tokens, going = logp.shape[1], 0, [], [], []
        for number in running:
            search = searches[number]
            mine = slice(start, start + len(search.beams))
            sums = torch.tensor([sum_ for _, sum_ in search.beams], dtype=torch.float64, device=logp.device)
            total = (logp[mine] + sums[:, None]).flatten()
            # Each beam may end in as many ways as there are end tokens: take enough to go on without them.
            best = total.topk(min(beam * (1 + len(eos)), len(total)))
            beams, chosen = [], []
            for rank, (value, index) in enumerate(
                zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ):
                parent, token = divmod(index, vocab)
                written = search.beams[parent][0]
                if token in eos:
                    if rank < beam:
                        search.finish(written, value, len(written) + 1)
                elif len(beams) < beam:
                    beams.append(((*written, token), value))
                    chosen.append(start + parent)
            start = mine.stop
            search.beams = beams
            if not search.done and not session.full(chosen[0]):
                going.append(number)
                rows += chosen
                tokens += [written[-1] for written, _ in beams]
        running = going
        if not running:
            break
        session.select(rows)
        session.step(tokens)
    for search in searches:
        if len(search.finished) < beam or not search.done:
            for tokens, logp in search.beams:
                search.finish(tokens, logp, len(tokens))
    return [search.finished for search in searches]
