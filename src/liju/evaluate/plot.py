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

from liju.errors import DataError

__all__ = ["STYLE", "Bar", "Series", "bar_chart", "confusion_plot", "line_plot", "standalone", "ticks"]

# Colours that differ for the colour-blind too (after Okabe and Ito), one set for each background.
STYLE = """
.plot{--ink:#1f2328;--faint:#646c76;--grid:#e3e6ea;--s0:#0b62a8;--s1:#c2410c;--s2:#0f7b5f;--s3:#9c3587;--s4:#8a6100;--s5:#4b5563;--heat:11,98,168;
font:13px system-ui,-apple-system,"Segoe UI",Roboto,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;width:100%;height:auto;max-width:100%;display:block}
@media (prefers-color-scheme:dark){.plot{--ink:#e6e8eb;--faint:#9aa3ad;--grid:#30353c;--s0:#6cb6ff;--s1:#ff9d5c;--s2:#4fd1a5;--s3:#e48fd4;--s4:#e0b84c;--s5:#b0b8c1;--heat:108,182,255}}
.plot text{fill:var(--faint)}.plot .title,.plot .value{fill:var(--ink)}.plot .title{font-weight:600}
.plot .grid{stroke:var(--grid)}.plot .axis{stroke:var(--faint)}.plot .line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.plot .hit{fill:transparent;stroke:none}.plot .hit:hover{fill:var(--ink);fill-opacity:.25}
""".replace("\n", "")

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
    top, bottom, left, right = 34 + legend_height, 46, 52, 14
    body = [f'<text class="title" x="0" y="15">{escape(title)}</text>', legend]
    if not points:
        body.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no values</text>')
        return _svg(WIDTH, HEIGHT, title, body)
    x_low, x_high = _range([x for x, _ in points], pad=0)
    y_low, y_high = _range([y for _, y in points], pad=0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x_low) / (x_high - x_low) * (WIDTH - left - right),
            HEIGHT - bottom - (y - y_low) / (y_high - y_low) * (HEIGHT - top - bottom),
        )

    for value in ticks(y_low, y_high):
        _, at = place(x_low, value)
        body.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        body.append(f'<text x="{left - 7}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>')
    for value in ticks(x_low, x_high):
        at, _ = place(value, y_low)
        base = HEIGHT - bottom
        body.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{base}" y2="{base + 4}"/>')
        body.append(f'<text x="{at:.1f}" y="{base + 18}" text-anchor="middle">{number(value)}</text>')
    base = HEIGHT - bottom
    body.append(f'<line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{base}" y2="{base}"/>')
    body.append(f'<text x="{(left + WIDTH - right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    if y_label:
        body.append(f'<text x="{WIDTH - right}" y="15" text-anchor="end">{escape(y_label)}</text>')
    # All lines first, then all marks, so that no line hides what can be pointed at.
    marks: list[str] = []
    for at, (one, parts) in enumerate(zip(series, pieces, strict=True)):
        colour = f"var(--s{at % COLOURS})"
        dash = f' stroke-dasharray="{DASHES[at % COLOURS]}"' if DASHES[at % COLOURS] else ""
        for part in parts:
            part = _thin(part)
            placed = [place(x, y) for x, y in part]
            if len(placed) > 1:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
                body.append(f'<polyline class="line" style="stroke:{colour}"{dash} points="{path}"/>')
            every = -(-len(placed) // 60)
            for index, ((x, y), (x_value, y_value)) in enumerate(zip(placed, part, strict=True)):
                if len(placed) <= 12:
                    body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" style="fill:{colour}"/>')
                if index % every == 0 or index == len(placed) - 1:
                    says = escape(f"{one.name}, {x_label or 'x'} {number(x_value)}: {y_value:.4g}")
                    marks.append(f'<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{says}</title></circle>')
    return _svg(WIDTH, HEIGHT, title, body + marks)


def bar_chart(bars: Sequence[Bar], title: str, unit: str = "") -> str:
    """Horizontal bars from zero, in the order given, each with its number; a whisker is one deviation.

    >>> plot = bar_chart([Bar("majority", 50.0), Bar("ours", 86.0, 1.2), Bar("failed", float("nan"))], "accuracy", "%")
    >>> plot.count('class="bar"'), "86 ± 1.2" in plot, "no value" in plot
    (2, True, True)
    """
    row, top = 46, 30
    height = top + row * max(len(bars), 1) + 4
    body = [f'<text class="title" x="0" y="15">{escape(title)}</text>']
    if not bars:
        body.append(f'<text x="{WIDTH / 2}" y="{height / 2 + 12}" text-anchor="middle">no values</text>')
    reach = [bar.value + s * (bar.deviation if math.isfinite(bar.deviation) else 0) for bar in bars for s in (1, -1)]
    reach = [value for value in reach if math.isfinite(value)]
    low, high = min([0.0, *reach]), max([0.0, *reach])
    span = (high - low) or 1.0
    zero = -low / span * WIDTH
    for at, bar in enumerate(bars):
        y = top + at * row
        name = f'<text x="0" y="{y + 14}">{escape(_short(bar.name, 48))}</text>'
        if not math.isfinite(bar.value):
            body += [name, f'<text x="{WIDTH}" y="{y + 14}" text-anchor="end">no value</text>']
            continue
        known = math.isfinite(bar.deviation)
        says = number(bar.value) + (f" ± {number(bar.deviation)}" if known else "") + (f" {unit}" if unit else "")
        end = (bar.value - low) / span * WIDTH
        body += [
            name,
            f'<text class="value" x="{WIDTH}" y="{y + 14}" text-anchor="end">{escape(says)}</text>',
            f'<rect class="bar" x="{min(zero, end):.1f}" y="{y + 20}" width="{max(abs(end - zero), 1):.1f}" height="12" rx="2"'
            f' style="fill:var(--s0)"><title>{escape(f"{bar.name}: {says}")}</title></rect>',
        ]
        if known and bar.deviation > 0:
            reach_of = bar.deviation / span * WIDTH
            body.append(
                f'<path class="axis" style="stroke:var(--ink);fill:none" d="M{end - reach_of:.1f} {y + 26}H{end + reach_of:.1f}'
                f'M{end - reach_of:.1f} {y + 22}v8M{end + reach_of:.1f} {y + 22}v8"/>'
            )
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
    number_of = max(len(labels), 1)
    longest = max([_columns(_short(label, 14)) for label in labels], default=0)
    left, top = 30 + 7 * longest, 62
    cell = min(64.0, (WIDTH - left) / number_of)
    height = round(top + cell * number_of + 8)
    body = [
        f'<text class="title" x="0" y="15">{escape(title)}</text>',
        f'<text x="{left}" y="36">answered</text>',
        f'<text transform="translate(12 {top + cell * number_of / 2:.0f}) rotate(-90)" text-anchor="middle">expected</text>',
    ]
    for at, label in enumerate(labels):
        middle = top + cell * (at + 0.5)
        fits = max(int(cell / 7.5), 1)
        body.append(f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(_short(label, 14))}</text>')
        body.append(
            f'<text x="{left + cell * (at + 0.5):.1f}" y="{top - 8}" text-anchor="middle">{escape(_short(label, fits))}'
            f"<title>{escape(label)}</title></text>"
        )
        total = sum(counts[at])
        for across, count in enumerate(counts[at]):
            share = count / total if total else 0.0
            x, y = left + cell * across, top + cell * at
            says = escape(f"expected {label}, answered {labels[across]}: {count} of {total} ({share:.0%})").replace("%", " %")
            body.append(
                f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" height="{cell - 2:.1f}" rx="3"'
                f' style="fill:rgba(var(--heat),{0.06 + 0.5 * share:.3f})"><title>{says}</title></rect>'
            )
            if cell >= 22:
                body.append(
                    f'<text class="value" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle"'
                    f' style="pointer-events:none{";font-weight:600" if across == at else ""}">{number(count)}</text>'
                )
    return _svg(WIDTH, height, title, body)


def standalone(plot: str) -> str:
    """The same plot as the text of an .svg file.

    >>> standalone(bar_chart([Bar("a", 1)], "one")).startswith('<svg xmlns=')
    True
    """
    head, _, rest = plot.partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head.removeprefix("<svg")}><style>{STYLE}</style>{rest}'


def _svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(body)}</svg>"
    )


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The legend under the title, in as many lines as it needs, and its height."""
    x, y, parts = 0.0, 35, []
    for at, name in enumerate(names):
        text = _short(name, 40)
        wide = 34 + 7.2 * _columns(text)
        if x and x + wide > WIDTH:
            x, y = 0.0, y + 18
        dash = f' stroke-dasharray="{DASHES[at % COLOURS]}"' if DASHES[at % COLOURS] else ""
        parts.append(
            f'<line class="line" x1="{x:.0f}" x2="{x + 20:.0f}" y1="{y - 4}" y2="{y - 4}" style="stroke:var(--s{at % COLOURS})"{dash}/>'
            f'<text x="{x + 26:.0f}" y="{y}">{escape(text)}</text>'
        )
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
    """At most about `most` points: the first, last, lowest and highest of each stretch, so that no spike is lost."""
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
