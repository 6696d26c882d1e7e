"""Small SVG plots: lines, bars and a confusion matrix. No JavaScript, no fonts, nothing from a network.

A plot is a string of SVG to put into a page. Its colours follow the reader's light or dark setting, series
differ by dash as well as colour, and pointing at a mark shows its value. Numbers that are not finite are
gaps, never zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from liju.errors import DataError

__all__ = ["STYLE", "Bar", "Series", "bar_chart", "confusion_plot", "line_plot", "standalone", "ticks"]

# Colours that differ for the colour-blind too (after Okabe and Ito), one set for each background.
STYLE = files("liju.evaluate").joinpath("plot.css").read_text(encoding="utf-8").replace("\n", "")

# Width and height of a line plot in its own units, which are pixels at full size: about what half a page
# and a whole telephone have, so that 13 px text stays readable on both.
WIDTH, HEIGHT = 440, 280
COLOURS = 6
DASHES = ("", "7 4", "2 3", "9 3 2 3", "", "7 4")


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, and the deviation drawn as a whisker where it is known."""

    name: str
    value: float
    deviation: float = math.nan


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between `low` and `high`, about `count` of them.

    >>> ticks(0, 1000)
    [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]
    >>> ticks(2.31, 2.38)
    [2.32, 2.34, 2.36, 2.38]
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(at * step, digits) + 0.0 for at in range(first, last + 1)]


def number(value: float) -> str:
    """A number as short as it can be read.

    >>> number(1200000), number(2.5), number(0.00012), number(1500), number(86.0)
    ('1.2M', '2.5', '0.00012', '1.5k', '86')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


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
    body = [_text(title, 0, 15, "title"), legend]
    if not points:
        return _svg(WIDTH, HEIGHT, title, [*body, _text("no values", WIDTH / 2, HEIGHT / 2, anchor="middle")])
    top, base, left, right = 34 + legend_height, HEIGHT - 46, 52, WIDTH - 14
    x_low, x_high = _range([x for x, _ in points], pad=0)
    y_low, y_high = _range([y for _, y in points], pad=0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        # Halves, so that a range near the largest float does not overflow.
        across = (x / 2 - x_low / 2) / (x_high / 2 - x_low / 2)
        up = (y / 2 - y_low / 2) / (y_high / 2 - y_low / 2)
        return left + across * (right - left), base - up * (base - top)

    for value in ticks(y_low, y_high):
        _, at = place(x_low, value)
        body.append(_element("line", class_="grid", x1=left, x2=right, y1=at, y2=at))
        body.append(_text(number(value), left - 7, at + 4, anchor="end"))
    for value in ticks(x_low, x_high):
        at, _ = place(value, y_low)
        body.append(_element("line", class_="axis", x1=at, x2=at, y1=base, y2=base + 4))
        body.append(_text(number(value), at, base + 18, anchor="middle"))
    body.append(_element("line", class_="axis", x1=left, x2=right, y1=base, y2=base))
    body.append(_text(x_label, (left + right) / 2, HEIGHT - 8, anchor="middle"))
    body.append(_text(y_label, right, 15, anchor="end"))
    # All lines first, then all that can be pointed at, so that no line hides a mark.
    marks: list[str] = []
    for at, (one, parts) in enumerate(zip(series, pieces, strict=True)):
        for part in map(_thin, parts):
            placed = [place(x, y) for x, y in part]
            if len(placed) > 1:
                # A noisy line is drawn thin, so that a calm one over it can be seen.
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
                thin = ";stroke-width:1" if len(placed) > 120 else ""
                body.append(_element("polyline", class_="line", points=path, **_stroke(at, thin)))
            every = -(-len(placed) // 60)
            for index, ((x, y), (x_value, y_value)) in enumerate(zip(placed, part, strict=True)):
                if len(placed) <= 30:
                    style = f"fill:var(--s{at % COLOURS})"
                    body.append(_element("circle", class_="dot", cx=x, cy=y, r=2.6, style=style))
                if index % every == 0 or index == len(placed) - 1:
                    says = _title(f"{one.name}, {x_label or 'x'} {number(x_value)}: {y_value:.4g}")
                    marks.append(_element("circle", says, class_="hit", cx=x, cy=y, r=6))
    return _svg(WIDTH, HEIGHT, title, body + marks)


def bar_chart(bars: Sequence[Bar], title: str, unit: str = "", digits: int | None = None) -> str:
    """Horizontal bars from zero, in the order given, each with its number (to `digits`).

    A whisker is one deviation.

    >>> bars = [Bar("majority", 50.0), Bar("ours", 86.0, 1.2), Bar("failed", float("nan"))]
    >>> plot = bar_chart(bars, "accuracy", "%")
    >>> plot.count('class="bar"'), "86 ± 1.2" in plot, "no value" in plot
    (2, True, True)
    """
    row, top = 46, 30
    height = top + row * max(len(bars), 1) + 4
    body = [_text(title, 0, 15, "title")]
    if not bars:
        body.append(_text("no values", WIDTH / 2, height / 2 + 12, anchor="middle"))
    reach = [0.0]
    for bar in bars:
        wide = bar.deviation if math.isfinite(bar.deviation) else 0.0
        reach += [end for end in (bar.value - wide, bar.value + wide) if math.isfinite(end)]
    low, high = _range(reach, pad=0) if any(reach) else (0.0, 1.0)

    def place(value: float) -> float:
        return (value / 2 - low / 2) / (high / 2 - low / 2) * WIDTH

    show = number if digits is None else f"{{:.{digits}f}}".format
    for at, bar in enumerate(bars):
        y = top + at * row
        body.append(_text(_short(bar.name, 48), 0, y + 14))
        if not math.isfinite(bar.value):
            body.append(_text("no value", WIDTH, y + 14, anchor="end"))
            continue
        known = math.isfinite(bar.value - bar.deviation) and math.isfinite(bar.value + bar.deviation)
        says = show(bar.value) + (f" ± {show(bar.deviation)}" if known else "") + (f" {unit}" if unit else "")
        body.append(_text(says, WIDTH, y + 14, "value", "end"))
        start, end = sorted([place(0), place(bar.value)])
        says = _title(f"{bar.name}: {says}")
        body.append(
            _element(
                "rect", says, class_="bar", x=start, y=y + 20, width=max(end - start, 1), height=12, rx=2
            )
        )
        if known and bar.deviation > 0:
            whisker = place(bar.value - bar.deviation), place(bar.value + bar.deviation)
            path = f"M{whisker[0]:.1f} {y + 26}H{whisker[1]:.1f}"
            path += "".join(f"M{side:.1f} {y + 22}v8" for side in whisker)
            body.append(_element("path", class_="whisker", d=path))
    return _svg(WIDTH, height, title, body)


def confusion_plot(labels: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Expected labels down, answered ones across; a cell is as dark as its share of the row.

    Raises DataError when `counts` is not one row and column a label.

    >>> plot = confusion_plot(["neg", "pos"], [[7, 3], [2, 5]], "answers")
    >>> "expected neg, answered pos: 3 of 10 (30 %)" in plot
    True
    """
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise DataError(f"a confusion matrix of {len(labels)} labels needs as many rows and columns")
    names = [_short(label, 14) for label in labels]
    left, top = 30 + 7 * max(map(_columns, names), default=0), 62
    cell = min(64.0, (WIDTH - left) / max(len(labels), 1))
    height = round(top + cell * len(labels) + 8)
    side = f"translate(12 {top + cell * len(labels) / 2:.0f}) rotate(-90)"
    body = [
        _text(title, 0, 15, "title"),
        _text("answered", left, 36),
        _element("text", "expected", transform=side, text_anchor="middle"),
    ]
    for at, label in enumerate(labels):
        body.append(_text(names[at], left - 8, top + cell * (at + 0.5) + 4, anchor="end"))
        # A name wider than its column is cut; the whole name shows when pointed at.
        head = escape(_short(label, max(int(cell / 7.5), 1))) + _title(label)
        body.append(_element("text", head, x=left + cell * (at + 0.5), y=top - 8, text_anchor="middle"))
        total = sum(counts[at])
        for across, count in enumerate(counts[at]):
            share = count / total if total else 0.0
            x, y = left + cell * across, top + cell * at
            says = f"expected {label}, answered {labels[across]}: {count} of {total} ({100 * share:.0f} %)"
            fill = f"fill:rgba(var(--heat),{0.06 + 0.5 * share:.3f})"
            size = {"width": cell - 2, "height": cell - 2}
            body.append(_element("rect", _title(says), x=x + 1, y=y + 1, rx=3, style=fill, **size))
            if cell >= 22:
                kind = "value right" if across == at else "value"
                body.append(_text(number(count), x + cell / 2, y + cell / 2 + 4, kind, "middle"))
    return _svg(WIDTH, height, title, body)


def standalone(plot: str) -> str:
    """The same plot as the text of an .svg file.

    >>> standalone(bar_chart([Bar("a", 1)], "one")).startswith('<svg xmlns=')
    True
    """
    head, _, rest = plot.partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head.removeprefix("<svg")}><style>{STYLE}</style>{rest}'


def _element(name: str, inner: str = "", **attributes: str | float) -> str:
    """One SVG element; `inner` is markup, attributes are escaped; x2 and the like to a tenth of a pixel."""
    parts = [name]
    for key, value in attributes.items():
        text = value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{' '.join(parts)}>{inner}</{name}>" if inner else f"<{' '.join(parts)}/>"


def _text(text: str, x: float, y: float, kind: str = "", anchor: str = "") -> str:
    extra = {"class_": kind} if kind else {}
    extra |= {"text_anchor": anchor} if anchor else {}
    return _element("text", escape(text), x=x, y=y, **extra) if text else ""


def _title(text: str) -> str:
    """What shows when the mark around it is pointed at."""
    return f"<title>{escape(text)}</title>"


def _stroke(at: int, more: str = "") -> dict[str, str]:
    """Colour and dash of the series `at`."""
    dash = DASHES[at % COLOURS]
    style = {"style": f"stroke:var(--s{at % COLOURS}){more}"}
    return style | ({"stroke_dasharray": dash} if dash else {})


def _svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    box = f"0 0 {width} {height}"
    return _element("svg", "".join(body), class_="plot", viewBox=box, role="img", aria_label=title)


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The legend under the title, in as many lines as it needs, and its height."""
    x, y, parts = 0.0, 35, []
    for at, name in enumerate(names):
        text = _short(name, 40)
        wide = 34 + 7.2 * _columns(text)
        if x and x + wide > WIDTH:
            x, y = 0.0, y + 18
        parts.append(_element("line", class_="line", x1=x, x2=x + 20, y1=y - 4, y2=y - 4, **_stroke(at)))
        parts.append(_text(text, x + 26, y))
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


def _range(values: Sequence[float], pad: float) -> tuple[float, float]:
    """From the least to the greatest, with some air; never empty."""
    low, high = min(values), max(values)
    if low == high:
        air = abs(low) * 0.1 or 1.0
        return low - air, high + air
    return low - pad * (high - low), high + pad * (high - low)


def _columns(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _short(text: str, most: int) -> str:
    """The text in at most `most` columns; a Han character has two."""
    if _columns(text) <= most:
        return text
    while text and _columns(text) > most - 1:
        text = text[:-1]
    return text + "…"
