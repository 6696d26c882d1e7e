"""Lines over a common pair of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from liju.errors import DataError
from liju.evaluate.plot.svg import (
    COLOURS,
    HEIGHT,
    WIDTH,
    columns,
    element,
    hover,
    number,
    short,
    span,
    stroke,
    svg,
    text_at,
    ticks,
)

__all__ = ["Series", "line_plot"]


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_plot(series: Sequence[Series], title: str, x_label: str = "", y_label: str = "") -> str:
    """Lines over a common pair of axes, e.g. the loss on training and held-out text over the steps.

    A series of more than a few hundred points is thinned to the highest and lowest of each pixel's width. A
    single point is a dot. Raises DataError when x and y of a series differ in length.

    >>> plot = line_plot([Series("train", [0, 10, 20], [3.0, 2.0, 1.5])], "loss", "step", "nats")
    >>> plot.count("<polyline"), "<title>train" in plot
    (1, True)
    """
    for one in series:
        if len(one.x) != len(one.y):
            raise DataError(f"series {one.name!r} has {len(one.x)} x for {len(one.y)} y")
    pieces = [_finite_pieces(one) for one in series]
    points = [point for parts in pieces for part in parts for point in part]
    legend, legend_height = _legend([one.name for one in series])
    body = [text_at(title, 0, 15, "title"), legend]
    if not points:
        return svg(
            WIDTH, HEIGHT, title, [*body, text_at("no values", WIDTH / 2, HEIGHT / 2, anchor="middle")]
        )
    top, base, left, right = 34 + legend_height, HEIGHT - 46, 52, WIDTH - 14
    x_low, x_high = span([x for x, _ in points], pad=0)
    y_low, y_high = span([y for _, y in points], pad=0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        # Halves, so that a range near the largest float does not overflow.
        across = (x / 2 - x_low / 2) / (x_high / 2 - x_low / 2)
        up = (y / 2 - y_low / 2) / (y_high / 2 - y_low / 2)
        return left + across * (right - left), base - up * (base - top)

    for value in ticks(y_low, y_high):
        _, at = place(x_low, value)
        body.append(element("line", class_="grid", x1=left, x2=right, y1=at, y2=at))
        body.append(text_at(number(value), left - 7, at + 4, anchor="end"))
    for value in ticks(x_low, x_high):
        at, _ = place(value, y_low)
        body.append(element("line", class_="axis", x1=at, x2=at, y1=base, y2=base + 4))
        body.append(text_at(number(value), at, base + 18, anchor="middle"))
    body.append(element("line", class_="axis", x1=left, x2=right, y1=base, y2=base))
    body.append(text_at(x_label, (left + right) / 2, HEIGHT - 8, anchor="middle"))
    body.append(text_at(y_label, right, 15, anchor="end"))
    # All lines first, then all that can be pointed at, so that no line hides a mark.
    marks: list[str] = []
    for at, (one, parts) in enumerate(zip(series, pieces, strict=True)):
        for part in map(_thin, parts):
            placed = [place(x, y) for x, y in part]
            if len(placed) > 1:
                # A noisy line is drawn thin, so that a calm one over it can be seen.
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
                thin = ";stroke-width:1" if len(placed) > 120 else ""
                body.append(element("polyline", class_="line", points=path, **stroke(at, thin)))
            every = -(-len(placed) // 60)
            for index, ((x, y), (x_value, y_value)) in enumerate(zip(placed, part, strict=True)):
                if len(placed) <= 30:
                    style = f"fill:var(--s{at % COLOURS})"
                    body.append(element("circle", class_="dot", cx=x, cy=y, r=2.6, style=style))
                if index % every == 0 or index == len(placed) - 1:
                    says = hover(f"{one.name}, {x_label or 'x'} {number(x_value)}: {y_value:.4g}")
                    marks.append(element("circle", says, class_="hit", cx=x, cy=y, r=6))
    return svg(WIDTH, HEIGHT, title, body + marks)


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The legend under the title, in as many lines as it needs, and its height."""
    x, y, parts = 0.0, 35, []
    for at, name in enumerate(names):
        text = short(name, 40)
        wide = 34 + 7.2 * columns(text)
        if x and x + wide > WIDTH:
            x, y = 0.0, y + 18
        parts.append(element("line", class_="line", x1=x, x2=x + 20, y1=y - 4, y2=y - 4, **stroke(at)))
        parts.append(text_at(text, x + 26, y))
        x += wide + 10
    return "".join(parts), (y - 35 + 16) if names else 0


def _finite_pieces(series: Series) -> list[list[tuple[float, float]]]:
    """The runs of points without a gap; a value that is not finite ends one."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            pieces[-1].append((float(x), float(y)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _thin(points: list[tuple[float, float]], most: int = WIDTH) -> list[tuple[float, float]]:
    """At most about `most` points: the first, last, lowest and highest of each stretch. No spike is lost."""
    if len(points) <= most:
        return points
    size = -(-len(points) * 4 // most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        indices = range(start, min(start + size, len(points)))
        lowest = min(indices, key=lambda at: points[at][1])
        highest = max(indices, key=lambda at: points[at][1])
        kept += [points[at] for at in sorted({indices[0], lowest, highest, indices[-1]})]
    return kept
