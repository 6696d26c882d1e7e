"""The elements that plots are made of, and the numbers along their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files

__all__ = ["COLOURS", "HEIGHT", "STYLE", "WIDTH", "columns", "element", "hover", "number", "short", "span"]
__all__ += ["standalone", "stroke", "svg", "text_at", "ticks"]

# Colours that differ for the colour-blind too (after Okabe and Ito), one set for each background.
STYLE = files("liju.evaluate").joinpath("plot.css").read_text(encoding="utf-8").replace("\n", "")

# Width and height of a line plot in its own units, which are pixels at full size: about what half a page
# and a whole telephone have, so that 13 px text stays readable on both.
WIDTH, HEIGHT = 440, 280
COLOURS = 6
DASHES = ("", "7 4", "2 3", "9 3 2 3", "", "7 4")


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


def standalone(plot: str) -> str:
    """The same plot as the text of an .svg file.

    >>> standalone(svg(2, 3, "empty", [])).startswith('<svg xmlns=')
    True
    """
    head, _, rest = plot.partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head.removeprefix("<svg")}><style>{STYLE}</style>{rest}'


def element(name: str, inner: str = "", **attributes: str | float) -> str:
    """One SVG element; `inner` is markup, attributes are escaped; x2 and the like to a tenth of a pixel."""
    parts = [name]
    for key, value in attributes.items():
        text = value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{' '.join(parts)}>{inner}</{name}>" if inner else f"<{' '.join(parts)}/>"


def text_at(text: str, x: float, y: float, kind: str = "", anchor: str = "") -> str:
    """Text, its baseline at (x, y); nothing where there is none."""
    extra = {"class_": kind} if kind else {}
    extra |= {"text_anchor": anchor} if anchor else {}
    return element("text", escape(text), x=x, y=y, **extra) if text else ""


def hover(text: str) -> str:
    """What shows when the mark around it is pointed at."""
    return f"<title>{escape(text)}</title>"


def stroke(at: int, more: str = "") -> dict[str, str]:
    """Colour and dash of the series `at`."""
    dash = DASHES[at % COLOURS]
    style = {"style": f"stroke:var(--s{at % COLOURS}){more}"}
    return style | ({"stroke_dasharray": dash} if dash else {})


def svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """The whole plot."""
    box = f"0 0 {width} {height}"
    return element("svg", "".join(body), class_="plot", viewBox=box, role="img", aria_label=title)


def span(values: Sequence[float], pad: float) -> tuple[float, float]:
    """From the least to the greatest, with some air; never empty."""
    low, high = min(values), max(values)
    if low == high:
        air = abs(low) * 0.1 or 1.0
        return low - air, high + air
    return low - pad * (high - low), high + pad * (high - low)


def columns(text: str) -> int:
    """Columns of a terminal, which are about the width of letters too: a Han character takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def short(text: str, most: int) -> str:
    """The text in at most `most` columns; a Han character has two."""
    if columns(text) <= most:
        return text
    while text and columns(text) > most - 1:
        text = text[:-1]
    return text + "…"
