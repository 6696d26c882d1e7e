"""Samples, and the rows of segments that a network sees.

A *sample* is one training example: the tokens of each side and what is to be predicted where.
A *segment* is a sample lying in a row; a row holds one segment (padded) or several (packed).
The layout changes no loss: attention never crosses a segment, and cross-attention pairs segment k of the
decoder's row with segment k of the encoder's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Batch", "Goal", "Sample", "Side", "Targets", "assemble"]


@dataclass(frozen=True)
class Goal:
    """What one head is to predict in one sample.

    `places` are positions in the predicting side (the decoder's where there is one, else the encoder's).
    `loss` is one of `liju.objective.KINDS`; it says what `values` are (whole numbers for "class"), and all
    samples have the same for one head.
    """

    places: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None = None
    loss: str = "class"


@dataclass(frozen=True)
class Sample:
    """One training example, before it lies in a row. `number` is its place in the order of the data.

    `parts`: where the encoder's tokens are several texts one after the other, the length of each. Every one
    is then a segment in a row of its own, and their goals are still those of one sample: texts that are
    compared with each other are never in two micro-batches.
    """

    number: int
    encoder: np.ndarray | None = None
    decoder: np.ndarray | None = None
    types: np.ndarray | None = None
    goals: Mapping[str, Goal] = field(default_factory=dict)
    parts: Sequence[int] = ()

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of the encoder's side and of the decoder's."""
        return (
            0 if self.encoder is None else len(self.encoder),
            0 if self.decoder is None else len(self.decoder),
        )


@dataclass(frozen=True)
class Side:
    """One side's rows. `segment` is 0 where a place is empty, else 1, 2, ... along the row; `position`
    starts again at 0 in every segment; `types` are token types, where the model has them."""

    tokens: Int[Tensor, "row place"]
    segment: Int[Tensor, "row place"]
    position: Int[Tensor, "row place"]
    types: Int[Tensor, "row place"] | None = None

    @classmethod
    def of(cls, tokens: Int[Tensor, "row place"], types: Int[Tensor, "row place"] | None = None) -> Side:
        """Full rows of one segment each.

        >>> Side.of(torch.tensor([[5, 6, 7]])).position
        tensor([[0, 1, 2]])
        """
        position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return cls(tokens, torch.ones_like(tokens), position, types)

    @property
    def full(self) -> bool:
        """Every row is one segment without an empty place."""
        return bool((self.segment == 1).all())

    def to(self, device: torch.device | str) -> Side:
        return Side(
            self.tokens.to(device),
            self.segment.to(device),
            self.position.to(device),
            None if self.types is None else self.types.to(device),
        )


@dataclass(frozen=True)
class Targets:
    """What one head is to predict in a batch: `index` points into the flattened [row * place] of the
    predicting side, so that only those places reach the head. `sample` counts the samples that the targets
    belong to (0, 1, ..., in the order of `Batch.samples`, those without this head left out)."""

    index: Int[Tensor, " target"]
    value: Tensor  # [target], or [target, output] where the loss has it so
    weight: Float[Tensor, " target"]
    sample: Int[Tensor, " target"] | None = None
    loss: str = "class"

    def to(self, device: torch.device | str) -> Targets:
        return replace(
            self,
            index=self.index.to(device),
            value=self.value.to(device),
            weight=self.weight.to(device),
            sample=None if self.sample is None else self.sample.to(device),
        )


@dataclass(frozen=True)
class Batch:
    """Rows of segments for each side, and what is to be predicted. `samples` are the numbers of the samples
    that lie in it, for error messages."""

    encoder: Side | None
    decoder: Side | None
    targets: Mapping[str, Targets]
    samples: tuple[int, ...] = ()

    @property
    def predicting(self) -> Side:
        """The side whose places predict: the decoder's where there is one."""
        side = self.decoder if self.decoder is not None else self.encoder
        assert side is not None
        return side

    @property
    def places(self) -> int:
        """Places of both sides, empty ones included: what the machine computes."""
        return sum(side.tokens.numel() for side in (self.encoder, self.decoder) if side is not None)

    @property
    def tokens(self) -> int:
        """Real tokens of both sides."""
        return sum(int((side.segment > 0).sum()) for side in (self.encoder, self.decoder) if side is not None)

    def weight(self, name: str) -> float:
        """The sum of the weights of a head's targets."""
        # In float64 the sum is the same for every split, whatever the weights are (law 2).
        return float(self.targets[name].weight.double().sum()) if name in self.targets else 0.0

    def to(self, device: torch.device | str) -> Batch:
        return replace(
            self,
            encoder=None if self.encoder is None else self.encoder.to(device),
            decoder=None if self.decoder is None else self.decoder.to(device),
            targets={name: targets.to(device) for name, targets in self.targets.items()},
        )


def assemble(
    samples: Sequence[Sample],
    rows: Sequence[Sequence[int]] | None = None,
    pad: int = 0,
    line: bool = False,
) -> Batch:
    """Lay samples into rows.

    `rows[r]` lists the indices (into `samples`) that lie in row r, in order; without it each sample has a
    row of its own. `pad` fills the empty places (its value changes nothing: no one attends to it). `line`:
    the texts of a sample of several stay in its row too, a segment each.

    >>> a = Sample(0, encoder=np.array([5, 6]), goals={"words": Goal(np.array([1]), np.array([9]))})
    >>> b = Sample(1, encoder=np.array([7, 8, 9]), goals={"words": Goal(np.array([0]), np.array([4]))})
    >>> batch = assemble([a, b], rows=[[0, 1]])
    >>> batch.encoder.segment, batch.encoder.position
    (tensor([[1, 1, 2, 2, 2]]), tensor([[0, 1, 0, 1, 2]]))
    >>> batch.targets["words"].index
    tensor([1, 2])
    """
    if rows is None:
        rows = [[i] for i in range(len(samples))]
    first = samples[rows[0][0]]
    encoder = decoder = None
    where: dict[int, np.ndarray] = {}
    if first.encoder is not None:
        encoder, where = _side(samples, rows, "encoder", pad, line)
    if first.decoder is not None:
        decoder, where = _side(samples, rows, "decoder", pad, line)
    gathered: dict[str, list[tuple[Goal, np.ndarray]]] = {}
    for row in rows:
        for i in row:
            for name, goal in samples[i].goals.items():
                gathered.setdefault(name, []).append((goal, where[i][goal.places]))
    targets = {name: _targets(goals) for name, goals in gathered.items()}
    numbers = tuple(samples[i].number for row in rows for i in row)
    return Batch(encoder, decoder, targets, numbers)


def _targets(goals: Sequence[tuple[Goal, np.ndarray]]) -> Targets:
    """The goals of one head, each with where its places are in the flattened rows."""
    weights = [
        np.ones(len(goal.places), np.float32) if goal.weights is None else goal.weights for goal, _ in goals
    ]
    values = np.concatenate([goal.values for goal, _ in goals])
    kind = np.int64 if values.dtype.kind in "iub" else np.float32
    return Targets(
        torch.from_numpy(np.concatenate([places for _, places in goals]).astype(np.int64)),
        torch.from_numpy(values.astype(kind)),
        torch.from_numpy(np.concatenate(weights).astype(np.float32)),
        torch.from_numpy(np.repeat(np.arange(len(goals)), [len(goal.places) for goal, _ in goals])),
        goals[0][0].loss,
    )


def _side(
    samples: Sequence[Sample], rows: Sequence[Sequence[int]], side: str, pad: int, line: bool = False
) -> tuple[Side, dict[int, np.ndarray]]:
    """One side's rows, and where each sample's tokens are in the flattened rows."""
    tokens_of = {i: np.asarray(getattr(samples[i], side)) for row in rows for i in row}
    laid = _laid(samples, rows, side, {i: len(tokens) for i, tokens in tokens_of.items()}, line)
    width = max(sum(end - begin for _, begin, end in row) for row in laid)
    shape = (len(laid), width)
    tokens, segment, position = (
        np.full(shape, pad, np.int64),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    typed = side == "encoder" and any(samples[i].types is not None for row in rows for i in row)
    types = np.zeros(shape, np.int64)
    where = {i: np.zeros(len(own), np.int64) for i, own in tokens_of.items()}
    for r, row in enumerate(laid):
        place = 0
        for k, (i, begin, end) in enumerate(row, start=1):
            here = slice(place, place + end - begin)
            counted = np.arange(end - begin)
            where[i][begin:end] = r * width + place + counted
            tokens[r, here] = tokens_of[i][begin:end]
            segment[r, here] = k
            position[r, here] = counted
            kinds = samples[i].types
            if typed and kinds is not None:
                types[r, here] = kinds[begin:end]
            place = here.stop
    rows_of_side = Side(
        torch.from_numpy(tokens),
        torch.from_numpy(segment),
        torch.from_numpy(position),
        torch.from_numpy(types) if typed else None,
    )
    return rows_of_side, where


def _laid(
    samples: Sequence[Sample],
    rows: Sequence[Sequence[int]],
    side: str,
    lengths: Mapping[int, int],
    line: bool = False,
) -> list[list[tuple[int, int, int]]]:
    """The segments of each row: sample, begin, end. Texts of a sample of several have rows of their own,
    unless all is to be one `line`.

    >>> samples = [Sample(0, np.zeros(5), parts=(2, 3)), Sample(1, np.zeros(4))]
    >>> _laid(samples, [[0, 1]], "encoder", {0: 5, 1: 4})
    [[(1, 0, 4)], [(0, 0, 2)], [(0, 2, 5)]]
    >>> _laid(samples, [[0, 1]], "encoder", {0: 5, 1: 4}, line=True)
    [[(0, 0, 2), (0, 2, 5), (1, 0, 4)]]
    """

    def texts(i: int) -> list[tuple[int, int, int]]:
        ends = np.cumsum(samples[i].parts).tolist() if side == "encoder" and len(samples[i].parts) else []
        return [(i, *pair) for pair in zip([0, *ends[:-1]], ends or [lengths[i]], strict=True)]

    laid: list[list[tuple[int, int, int]]] = []
    for row in rows:
        split = [i for i in row if side == "encoder" and len(samples[i].parts) and not line]
        if whole := [text for i in row if i not in split for text in texts(i)]:
            laid.append(whole)
        laid += [[text] for i in split for text in texts(i)]
    return laid
