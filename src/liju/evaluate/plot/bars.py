"""Horizontal bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from liju.evaluate.plot.svg import WIDTH, element, hover, number, short, span, svg, text_at

__all__ = ["Bar", "bar_chart"]


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, and a whisker: the deviation, else the interval, where it is known."""

    name: str
    value: float
    deviation: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def ends(self) -> tuple[float, float] | None:
        """The ends of the whisker; None where there is none."""
        if math.isfinite(self.value - self.deviation) and math.isfinite(self.value + self.deviation):
            return self.value - self.deviation, self.value + self.deviation
        return (self.low, self.high) if math.isfinite(self.low) and math.isfinite(self.high) else None


def bar_chart(bars: Sequence[Bar], title: str, unit: str = "", digits: int | None = None) -> str:
    """Horizontal bars from zero, in the order given, each with its number (to `digits`).

    A whisker is one deviation, or the interval where there is no deviation.

    >>> bars = [Bar("majority", 50.0), Bar("ours", 86.0, 1.2), Bar("failed", float("nan"))]
    >>> plot = bar_chart(bars, "accuracy", "%")
    >>> plot.count('class="bar"'), "86 ± 1.2" in plot, "no value" in plot
    (2, True, True)
    """
    row, top = 46, 30
    height = top + row * max(len(bars), 1) + 4
    body = [text_at(title, 0, 15, "title")]
    if not bars:
        body.append(text_at("no values", WIDTH / 2, height / 2 + 12, anchor="middle"))
    reach = [0.0]
    for bar in bars:
        reach += [end for end in (bar.value, *(bar.ends or ())) if math.isfinite(end)]
    low, high = span(reach, pad=0) if any(reach) else (0.0, 1.0)

    def place(value: float) -> float:
        return (value / 2 - low / 2) / (high / 2 - low / 2) * WIDTH

    show = number if digits is None else f"{{:.{digits}f}}".format
    for at, bar in enumerate(bars):
        y = top + at * row
        body.append(text_at(short(bar.name, 48), 0, y + 14))
        if not math.isfinite(bar.value):
            body.append(text_at("no value", WIDTH, y + 14, anchor="end"))
            continue
        known = math.isfinite(bar.deviation) and bar.ends is not None
        says = show(bar.value) + (f" ± {show(bar.deviation)}" if known else "") + (f" {unit}" if unit else "")
        body.append(text_at(says, WIDTH, y + 14, "value", "end"))
        start, end = sorted([place(0), place(bar.value)])
        says = hover(f"{bar.name}: {says}")
        body.append(
            element("rect", says, class_="bar", x=start, y=y + 20, width=max(end - start, 1), height=12, rx=2)
        )
        if bar.ends is not None and bar.ends[0] < bar.ends[1]:
            whisker = place(bar.ends[0]), place(bar.ends[1])
            path = f"M{whisker[0]:.1f} {y + 26}H{whisker[1]:.1f}"
            path += "".join(f"M{side:.1f} {y + 22}v8" for side in whisker)
            body.append(element("path", class_="whisker", d=path))
    return svg(WIDTH, height, title, body)
