"""A confusion matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from liju.errors import DataError
from liju.evaluate.plot.svg import WIDTH, columns, element, hover, number, short, svg, text_at

__all__ = ["confusion_plot"]


def confusion_plot(labels: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Expected labels down, answered ones across; a cell is as dark as its share of the row.

    Raises DataError when `counts` is not one row and column a label.

    >>> plot = confusion_plot(["neg", "pos"], [[7, 3], [2, 5]], "answers")
    >>> "expected neg, answered pos: 3 of 10 (30 %)" in plot
    True
    """
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise DataError(f"a confusion matrix of {len(labels)} labels needs as many rows and columns")
    names = [short(label, 14) for label in labels]
    left, top = 30 + 7 * max(map(columns, names), default=0), 62
    cell = min(64.0, (WIDTH - left) / max(len(labels), 1))
    height = round(top + cell * len(labels) + 8)
    side = f"translate(12 {top + cell * len(labels) / 2:.0f}) rotate(-90)"
    body = [
        text_at(title, 0, 15, "title"),
        text_at("answered", left, 36),
        element("text", "expected", transform=side, text_anchor="middle"),
    ]
    for at, label in enumerate(labels):
        body.append(text_at(names[at], left - 8, top + cell * (at + 0.5) + 4, anchor="end"))
        # A name wider than its column is cut; the whole name shows when pointed at.
        head = escape(short(label, max(int(cell / 7.5), 1))) + hover(label)
        body.append(element("text", head, x=left + cell * (at + 0.5), y=top - 8, text_anchor="middle"))
        total = sum(counts[at])
        for across, count in enumerate(counts[at]):
            share = count / total if total else 0.0
            x, y = left + cell * across, top + cell * at
            says = f"expected {label}, answered {labels[across]}: {count} of {total} ({100 * share:.0f} %)"
            fill = f"fill:rgba(var(--heat),{0.06 + 0.5 * share:.3f})"
            size = {"width": cell - 2, "height": cell - 2}
            body.append(element("rect", hover(says), x=x + 1, y=y + 1, rx=3, style=fill, **size))
            if cell >= 22:
                kind = "value right" if across == at else "value"
                body.append(text_at(number(count), x + cell / 2, y + cell / 2 + 4, kind, "middle"))
    return svg(WIDTH, height, title, body)
