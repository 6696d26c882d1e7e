"""How samples fall into rows and rows into micro-batches. No layout changes the loss (laws 1 and 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from liju.samples.batch import Batch, Sample, assemble

__all__ = ["Layout", "micro_batches", "pack"]

Layout = Literal["grouped", "packed", "flat"]


def micro_batches(
    samples: Sequence[Sample], limit: int, layout: Layout = "grouped", pad: int = 0, width: int = 0
) -> list[Batch]:
    """Lay the samples of a step into batches of at most `limit` places each.

    `grouped`: a row a sample, rows of like length together: on a CPU this measured best, since a full row
    needs no mask. `packed`: several samples a row of at most `width` places (0: the longest sample). `flat`:
    all samples of a batch in one row, without an empty place; it wants kernels that skip what segments do not
    see (`liju.model.kernels`).
    A sample larger than the limit gets a batch of its own.

    >>> import numpy as np
    >>> samples = [Sample(i, encoder=np.arange(n)) for i, n in enumerate([2, 7, 3, 5])]
    >>> [tuple(batch.encoder.tokens.shape) for batch in micro_batches(samples, limit=14)]
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
