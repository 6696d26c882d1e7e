"""Many prompts written on together, each with its own options, and each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.generate import Sampling, Session
from liju.model import Transformer
from liju.prompt.running_text import RunningText
from liju.vocab import Tokenizer

__all__ = ["Ask", "Piece", "TokenScore", "write"]

_GREEDY = Sampling()


@dataclass(frozen=True)
class TokenScore:
    """A token, the natural logarithm of its probability (None: nothing is before it), the likeliest tokens of
    its place with theirs, and where in the text its characters begin."""

    id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()
    start: int = 0


@dataclass(frozen=True)
class Ask:
    """One prompt and how to write on.

    prompt: tokens to start from (a decoder's text, or the start token of an encoder-decoder, whose text is
    the `source`). limit: of prompt and answer together, in tokens. top: how many likely tokens to tell of at
    each place; None tells no probabilities at all. gone: says that nobody waits for the answer any more.
    """

    prompt: Sequence[int]
    source: Sequence[int] | None = None
    max_new_tokens: int = 64
    limit: int = 10**9
    sampling: Sampling = _GREEDY
    seed: int = 0
    stop: tuple[str, ...] = ()
    top: int | None = None
    gone: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Piece:
    """Some more of an answer: text, its tokens where probabilities were asked for, tokens written so far, and
    in the last piece why it ends: "stop", "length", or "gone"."""

    text: str
    tokens: tuple[TokenScore, ...] = ()
    written: int = 0
    finish: str | None = None


@torch.no_grad()
def write(
    model: Transformer, tokenizer: Tokenizer, asks: Sequence[Ask], eos: frozenset[int]
) -> Iterator[tuple[int, Piece]]:
    """(which ask, a piece of its answer), as they come; each ask has one piece with a `finish`, its last.

    Raises RequestError as Session does. The model must be in its evaluating state.

    >>> from liju.config import Vocab
    >>> from liju.model import TransformerConfig
    >>> from liju.vocab import train
    >>> tokenizer = train(["low lower lowest"] * 9, Vocab(size=300), "decoder")
    >>> config = TransformerConfig.default("decoder", vocab_size=tokenizer.size, d_model=8, num_heads=2)
    >>> model = Transformer(config).eval()
    >>> asks = [Ask([1, 7], max_new_tokens=5), Ask([1], max_new_tokens=3)]
    >>> pieces = list(write(model, tokenizer, asks, frozenset()))
    >>> {number: piece.finish for number, piece in pieces if piece.finish}
    {1: 'length', 0: 'length'}
    """
    rows = [_Row(ask, tokenizer) for ask in asks]
    alive = [number for number, row in enumerate(rows) if row.room > 0]
    for number, row in enumerate(rows):
        if row.room <= 0:
            yield number, Piece("", finish="length")
    if not alive:
        return
    sources = None
    if model.encoder is not None:
        sources = [asks[number].source or () for number in alive]
    session = Session(model, [asks[number].prompt for number in alive], sources)
    while True:
        kept, tokens = [], _choose(session.logits, [rows[number] for number in alive])
        told = _tell(session.logits, tokens, [rows[number] for number in alive])
        for place, (number, token) in enumerate(zip(alive, tokens, strict=True)):
            piece = rows[number].take(token, told[place], ends=token in eos, full=session.full(place))
            if piece.finish is None:
                kept.append(place)
            if piece.text or piece.finish or piece.tokens:
                yield number, piece
        if not kept:
            return
        if len(kept) < len(alive):
            session.select(kept)
            alive = [alive[place] for place in kept]
        session.step([tokens[place] for place in kept])


@dataclass
class _Row:
    """An ask and its answer so far."""

    ask: Ask
    tokenizer: Tokenizer
    written: int = 0
    waiting: list[TokenScore] = field(default_factory=list)  # their text is not shown yet

    def __post_init__(self) -> None:
        before = self.ask.prompt if self.ask.source is None else ()
        self.running = RunningText(self.tokenizer, before, self.ask.stop)
        self.generator = np.random.default_rng(self.ask.seed)
        self.room = min(self.ask.max_new_tokens, self.ask.limit - len(self.ask.prompt))

    def take(
        self, token: int, told: tuple[float, tuple[tuple[int, float], ...]] | None, *, ends: bool, full: bool
    ) -> Piece:
        if self.ask.gone is not None and self.ask.gone():
            return Piece("", written=self.written, finish="gone")
        text, finish = "", "stop" if ends else None
        if not ends:
            self.written += 1
            text = self.running.push(token)
            if told is not None:
                self.waiting.append(TokenScore(token, *told, start=self.running.starts[-1]))
            if self.running.stopped:
                finish = "stop"
            elif self.written >= self.room or full:
                finish = "length"
        if finish:
            text += self.running.finish()
            if self.running.stopped:  # half of a character may have become a stop string only now
                finish = "stop"
        return Piece(text, self._told(finish), self.written, finish)

    def _told(self, finish: str | None) -> tuple[TokenScore, ...]:
        """The tokens whose text has begun to be shown; those that a stop string cut off are dropped."""
        upto = self.running.shown
        out = [score for score in self.waiting if score.start < upto]
        if finish and not self.running.stopped:
            out = self.waiting
        self.waiting = self.waiting[len(out) :]
        return tuple(out)


def _choose(logits: Float[Tensor, "row vocab"], rows: Sequence[_Row]) -> list[int]:
    """The next token of each row, drawn as its own ask says."""
    chosen = [0] * len(rows)
    groups: dict[Sampling, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.ask.sampling, []).append(place)
    for sampling, places in groups.items():
        found = sampling.choose(logits[places], [rows[place].generator for place in places])
        for place, token in zip(places, found, strict=True):
            chosen[place] = token
    return chosen


def _tell(
    logits: Float[Tensor, "row vocab"], tokens: Sequence[int], rows: Sequence[_Row]
) -> list[tuple[float, tuple[tuple[int, float], ...]] | None]:
    """The log probability of each row's token and of the likeliest ones, where they were asked for."""
    told: list[tuple[float, tuple[tuple[int, float], ...]] | None] = [None] * len(rows)
    places = [place for place, row in enumerate(rows) if row.ask.top is not None]
    if not places:
        return told
    logp = torch.log_softmax(logits[places].double(), dim=-1)
    for i, place in enumerate(places):
        best = logp[i].topk(min(rows[place].ask.top or 0, logp.shape[1]))
        top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        told[place] = (float(logp[i, tokens[place]]), top)
    return told
