"""A number with its interval, small enough for a row of a table; and how sure a model is beside how right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from liju.evaluate.metrics.calibration import Bin
from liju.evaluate.plot.svg import HEIGHT, WIDTH, element, hover, svg, text_at, ticks

__all__ = ["calibration_plot", "whisker"]

# Of a whisker, in its own units.
WIDE, TALL = 150, 18


def whisker(
    value: float, low: float, high: float, reach: tuple[float, float], whole: float = math.nan, says: str = ""
) -> str:
    """A dot at `value` on a line from `low` to `high`, on an axis that spans `reach`; a mark at `whole`.

    What is not finite is not drawn, what is out of reach is cut off.

    >>> whisker(0.5, 0.4, 0.6, (0.0, 1.0), 0.55).count("<circle")
    1
    """
    start, wide = reach[0] / 2, reach[1] / 2 - reach[0] / 2  # halves: a wide reach does not overflow

    def place(number: float) -> float:
        share = (number / 2 - start) / wide if wide > 0 else 0.5
        return 5 + min(1.0, max(0.0, share)) * (WIDE - 10)

    body = []
    if math.isfinite(whole):
        body.append(element("line", class_="grid", x1=place(whole), x2=place(whole), y1=0, y2=TALL))
    if math.isfinite(low) and math.isfinite(high):
        left, right = place(low), place(high)
        body.append(element("path", class_="whisker", d=f"M{left:.1f} {TALL / 2}H{right:.1f}"))
    if math.isfinite(value):
        body.append(
            element("circle", hover(says) if says else "", class_="point", cx=place(value), cy=TALL / 2, r=4)
        )
    return svg(WIDE, TALL, says, body).replace('class="plot"', 'class="plot small"')


def calibration_plot(bins: Sequence[Bin], title: str) -> str:
    """How right the answers of each confidence are; on the diagonal they are as right as they are sure.

    A bin is as dark as the share of answers that it holds.

    >>> plot = calibration_plot([Bin(0.9, 1.0, 10, 0.95, 0.8)], "calibration")
    >>> "sure 95 %, right 80 % of 10" in plot
    True
    """
    top, base, left = 34, HEIGHT - 46, 52
    side = base - top
    right = left + (WIDTH - 14 - left)
    body = [text_at(title, 0, 15, "title"), text_at("right %", right, 15, anchor="end")]

    def across(share: float) -> float:
        return left + share * (right - left)

    def up(share: float) -> float:
        return base - share * side

    for value in ticks(0, 1):
        body.append(element("line", class_="grid", x1=left, x2=right, y1=up(value), y2=up(value)))
        body.append(text_at(f"{100 * value:.0f}", left - 7, up(value) + 4, anchor="end"))
        body.append(text_at(f"{100 * value:.0f}", across(value), base + 18, anchor="middle"))
    most = max((one.count for one in bins), default=1)
    total = sum(one.count for one in bins)
    for one in bins:
        says = f"sure {100 * one.confidence:.0f} %, right {100 * one.accuracy:.0f} % of {one.count:,}"
        body.append(
            element(
                "rect",
                hover(says),
                class_="bar",
                x=across(one.low) + 1,
                y=up(one.accuracy),
                width=max(across(one.high) - across(one.low) - 2, 1),
                height=max(one.accuracy * side, 1),
                style=f"fill-opacity:{0.25 + 0.75 * one.count / most:.2f}",
            )
        )
    body.append(element("path", class_="diagonal", d=f"M{left} {base}L{right} {top}"))
    body.append(element("line", class_="axis", x1=left, x2=right, y1=base, y2=base))
    body.append(text_at(f"sure % ({total:,} answers)", (left + right) / 2, HEIGHT - 8, anchor="middle"))
    return svg(WIDTH, HEIGHT, title, body)
