"""How samples fall into rows and rows into micro-batches. No layout changes the loss (laws 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Int

from liju.samples.batch import Batch, Sample, assemble

__all__ = ["APART", "FAR_APART", "Layout", "micro_batches", "pack"]

Layout = Literal["grouped", "packed", "flat"]


# What a micro-batch costs beside its places, in places, on a CPU: each operation's call, and the adding of
# its gradient to that of the others. Measured for 3.6 million weights. On a GPU, or where each waits for
# other ranks, a call costs far more (a guess, not measured).
APART, FAR_APART = 48, 2048


def micro_batches(
    samples: Sequence[Sample],
    limit: int,
    layout: Layout = "grouped",
    pad: int = 0,
    width: int = 0,
    apart: int = 0,
) -> list[Batch]:
    """Lay the samples of a step into batches of at most `limit` places each.

    `grouped`: a row a sample, rows of like length together: on a CPU this measured best, since a full row
    needs no mask. `packed`: several samples a row of at most `width` places (0: the longest sample). `flat`:
    all samples of a batch in one row, without an empty place; it wants kernels that skip what segments do not
    see (`liju.model.kernels`).
    A sample larger than the limit gets a batch of its own. `apart` is for `grouped`: what one batch more
    costs, in places; they are cut where that and the empty places come to least. 0: as few batches as the
    limit allows.

    >>> import numpy as np
    >>> samples = [Sample(i, encoder=np.arange(n)) for i, n in enumerate([2, 7, 3, 5])]
    >>> [tuple(batch.encoder.tokens.shape) for batch in micro_batches(samples, limit=14)]
    [(2, 7), (2, 3)]
    >>> [tuple(batch.encoder.tokens.shape) for batch in micro_batches(samples, limit=99, apart=3)]
    [(2, 7), (2, 3)]
    >>> [tuple(batch.encoder.tokens.shape) for batch in micro_batches(samples, 99, "packed")]
    [(3, 7)]
    >>> [tuple(batch.encoder.tokens.shape) for batch in micro_batches(samples, 14, "flat")]
    [(1, 12), (1, 5)]
    """
    if layout == "flat":
        return [assemble(samples, [row], pad, line=True) for row in _lines(samples, limit)]
    rows = pack(samples, width) if layout == "packed" else [[i] for i in range(len(samples))]

    def sizes(row: list[int]) -> tuple[int, int]:
        return sum(samples[i].lengths[0] for i in row), sum(samples[i].lengths[1] for i in row)

    measured = sorted(((*sizes(row), row) for row in rows), key=lambda item: (-item[0], -item[1], item[2]))
    if apart and layout == "grouped" and measured:
        ends = _cheapest(np.array([item[:2] for item in measured]), limit, apart)
        groups = [measured[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
        return [assemble(samples, [row for *_, row in group], pad) for group in groups]
    batches: list[Batch] = []
    group: list[list[int]] = []
    encoder = decoder = 0
    for e, d, row in measured:
        e, d = max(encoder, e), max(decoder, d)
        if group and (len(group) + 1) * (e + d) > limit:
            batches.append(assemble(samples, group, pad))
            group, (e, d) = [], sizes(row)
        group.append(row)
        encoder, decoder = e, d
    if group:
        batches.append(assemble(samples, group, pad))
    return batches


def _cheapest(sizes: Int[np.ndarray, "row side"], limit: int, apart: int) -> list[int]:
    """Where to cut rows of falling length so that their places and `apart` a batch come to least: the ends.

    By dynamic programming over the cuts, of which only those between different lengths can be best.

    >>> _cheapest(np.array([[9, 0], [9, 0], [8, 0], [2, 0], [2, 0]]), limit=99, apart=5)
    [3, 5]
    """
    changes = np.flatnonzero((sizes[1:] != sizes[:-1]).any(1)) + 1
    cuts = [0]
    for end in [*changes.tolist(), len(sizes)]:
        most = max(1, limit // int(sizes[cuts[-1]].sum()))  # rows of one length that a batch holds
        cuts += [*range(cuts[-1] + most, end, most), end]
    at = np.array(cuts)
    widths = np.array([sizes[begin:end].max(0) for begin, end in pairwise(cuts)])
    best, back = np.zeros(len(at)), np.zeros(len(at), int)
    for j in range(1, len(at)):
        # Widths of batches that end here and begin at each earlier cut.
        wide = np.maximum.accumulate(widths[j - 1 :: -1])[::-1].sum(1)
        rows = at[j] - at[:j]
        cost = best[:j] + rows * wide + apart
        cost[(rows * wide > limit) & (np.arange(j) < j - 1)] = np.inf
        back[j] = int(cost.argmin())
        best[j] = cost[back[j]]
    ends = [len(at) - 1]
    while back[ends[-1]]:
        ends.append(int(back[ends[-1]]))
    return [int(at[end]) for end in reversed(ends)]


def _lines(samples: Sequence[Sample], limit: int) -> list[list[int]]:
    """Samples in the order of their lengths (so that a kernel's blocks are of like work), as many a line as
    the limit holds."""
    lines: list[list[int]] = []
    room = 0
    for i in sorted(range(len(samples)), key=lambda i: (-sum(samples[i].lengths), i)):
        size = sum(samples[i].lengths)
        if not lines or size > room:
            lines.append([])
            room = limit
        lines[-1].append(i)
        room -= size
    return lines


def pack(samples: Sequence[Sample], width: int = 0) -> list[list[int]]:
    """Rows of sample indices by first fit, longest first, at most `width` places a side."""
    lengths = [sample.lengths for sample in samples]
    width = max(width, *(max(pair) for pair in lengths))
    rows: list[list[int]] = []
    room: list[list[int]] = []
    for i in sorted(range(len(samples)), key=lambda i: (-sum(lengths[i]), i)):
        fits = (r for r, free in enumerate(room) if lengths[i][0] <= free[0] and lengths[i][1] <= free[1])
        r = next(fits, len(rows))
        if r == len(rows):
            rows.append([])
            room.append([width, width])
        rows[r].append(i)
        room[r][0] -= lengths[i][0]
        room[r][1] -= lengths[i][1]
    return rows
