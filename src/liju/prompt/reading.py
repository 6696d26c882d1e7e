"""The probabilities of given tokens: of whole rows, and of many tails after one beginning."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from liju.generate import Session
from liju.model import Transformer
from liju.prompt.writing import TokenScore
from liju.samples.batch import Side

__all__ = ["read_rows", "read_tails"]

Ids = Sequence[int]
# Places whose scores over the vocabulary are in memory at once, and tokens that go through the model at once.
_PLACES, _TOKENS = 256, 4096


@torch.no_grad()
def read_rows(model: Transformer, rows: Sequence[Ids], top: int = 0) -> list[list[TokenScore]]:
    r"""$\log p(x_i \mid x_{<i})$ of every token of each row, in nats; a row's first token has none.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> [[score.id for score in row] for row in read_rows(model, [[1, 5, 6], [1]])]
    [[1, 5, 6], [1]]
    """
    found: list[list[TokenScore]] = [[] for _ in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order:
        longest = len(rows[order[-1]])
        group = order[-max(1, _TOKENS // max(1, longest)) :]
        del order[-len(group) :]
        inputs = [rows[i][:-1] for i in group]
        hidden = model.decode(_side(model, inputs)) if longest > 1 else None  # at least one row predicts
        for place, i in enumerate(group):
            if not len(rows[i]):
                continue
            scores = [] if hidden is None else _scores(model, hidden[place], rows[i][1:], top)
            found[i] = [TokenScore(rows[i][0], None), *scores]
    return found


@torch.no_grad()
def read_tails(
    model: Transformer, before: Ids, tails: Sequence[Ids], source: Ids | None = None, together: int = 32
) -> list[list[TokenScore]]:
    r"""$\log p(t_i \mid \mathrm{before}, t_{<i})$ of every token of each tail, in nats.

    `before` (and an encoder-decoder's `source`) is read once and its keys and values are used by all tails.
    The likeliest token of each place is in `top`.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> a, b = read_tails(model, [1, 5], [[6, 7], [8]])
    >>> whole = read_rows(model, [[1, 5, 6, 7]])[0]
    >>> abs(a[1].logprob - whole[3].logprob) < 1e-6
    True
    """
    found: list[list[TokenScore]] = []
    sources = None if source is None else [source]
    session = Session(model, [before], sources)
    first = torch.log_softmax(session.logits.double(), dim=-1)
    for start in range(0, len(tails), together):
        group = tails[start : start + together]
        if start:  # the tails before have grown the cache
            session = Session(model, [before], sources)
        rows = [tail[:-1] for tail in group]
        hidden = None
        if any(rows):
            session.select([0] * len(group))
            hidden = model.decode(_side(model, rows), cache=session.cache)
        for place, tail in enumerate(group):
            begun = _told(first, tail[:1], 1)
            later = [] if hidden is None else _scores(model, hidden[place], tail[1:], 1)
            found.append([*begun, *later])
    return found


def _side(model: Transformer, rows: Sequence[Ids]) -> Side:
    """Rows from the left, empty places last; no row is quite without a segment."""
    width = max(1, max(map(len, rows)))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    segment = torch.zeros_like(tokens)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(list(row), dtype=torch.long)
        segment[i, : max(1, len(row))] = 1
    side = Side(tokens, segment, torch.arange(width).expand_as(tokens))
    return side.to(model.token.weight.device)


def _scores(
    model: Transformer, hidden: Float[Tensor, "place d_model"], tokens: Ids, top: int
) -> list[TokenScore]:
    found: list[TokenScore] = []
    for start in range(0, len(tokens), _PLACES):
        group = tokens[start : start + _PLACES]
        logits = model.predict("words", hidden[start : start + len(group)])
        found += _told(torch.log_softmax(logits.double(), dim=-1), group, top)
    return found


def _told(logp: Float[Tensor, "place vocab"], tokens: Ids, top: int) -> list[TokenScore]:
    best = logp.topk(min(top, logp.shape[1]), dim=-1)
    return [
        TokenScore(
            int(token),
            float(logp[i, token]),
            tuple(zip(best.indices[i].tolist(), best.values[i].tolist(), strict=True)),
        )
        for i, token in enumerate(tokens)
    ]
