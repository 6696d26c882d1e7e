"""The table of scores: every system, every metric, over the same seeds, whoever wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from numbers import Real
from textwrap import fill
from typing import TYPE_CHECKING, Any

from liju.errors import DataError, did_you_mean
from liju.evaluate.columns import METRICS, Metric
from liju.evaluate.significance.interval import Interval
from liju.evaluate.significance.spread import Spread, spread

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Cell", "Row", "ScoreTable"]


@dataclass(frozen=True)
class Row:
    """One system: for each metric its value under each seed, a remark, and where they are known the interval
    of each metric and the p-value of its difference to the main system. `apart`: on other examples than the
    rows without it, so that it is neither the best of them nor differs from them."""

    system: str
    values: Mapping[str, Sequence[float]]
    note: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    p_values: Mapping[str, float] = field(default_factory=dict)
    apart: bool = False


@dataclass(frozen=True)
class Cell:
    """One number as shown: `value` ("86.2 ± 0.4"), `difference` to the main system ("-3.1"), best or not,
    its `interval` ("83.8 to 88.6") and the `chance` that there is no difference ("p 0.03")."""

    value: str
    difference: str
    best: bool
    interval: str = ""
    chance: str = ""

    @property
    def compared(self) -> str:
        """Difference and chance: "+1.2, p 0.03"."""
        return ", ".join(filter(None, [self.difference, self.chance]))

    @property
    def text(self) -> str:
        """All of it in one line."""
        return (
            self.value
            + (f" [{self.interval}]" if self.interval else "")
            + (f" ({self.compared})" if self.compared else "")
        )


@dataclass
class ScoreTable:
    """Systems by metrics. `main` is the system that the others are compared with (the user's own model).

    >>> table = ScoreTable(["accuracy"], main="fine-tuned")
    >>> table.add("majority class", accuracy=0.5, note="always 'pos'")
    >>> table.add("fine-tuned", accuracy=[0.85, 0.87, 0.86])
    >>> table.add("n-gram", accuracy=0.88)
    >>> print(table.text())
    system          accuracy %           seeds  note
    majority class  50.0 (-36.0)         1      always 'pos'
    fine-tuned      86.0 ± 1.0           3
    n-gram          88.0 (+2.0) *        1
    (in brackets: the difference to fine-tuned; *: best; ±: deviation over seeds)
    """

    metrics: Sequence[str | Metric]
    rows: list[Row] = field(default_factory=list)
    main: str = ""

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if isinstance(metric, str) and metric not in METRICS:
                hint = did_you_mean(metric, METRICS) or f"known: {', '.join(METRICS)}"
                raise DataError(f"unknown metric {metric!r}", hint=hint)

    def add(
        self,
        system: str,
        note: str = "",
        *,
        intervals: Mapping[str, Interval] | None = None,
        p_values: Mapping[str, float] | None = None,
        apart: bool = False,
        **values: float | Sequence[float],
    ) -> None:
        """Add a system; each value is a number or one number a seed. `apart`: it was scored on other
        examples, and is compared with none. Raises DataError for a metric that the table does not have, and
        for a system that is already in it."""
        known = [metric.name for metric in self.columns]
        for name in (*values, *(intervals or {}), *(p_values or {})):
            if name not in known:
                raise DataError(f"the table has no metric {name!r}", hint=did_you_mean(name, known))
        if any(row.system == system for row in self.rows):
            raise DataError(f"the system {system!r} is already in the table")
        lists = {
            name: [float(value)] if isinstance(value, int | float | Real) else [float(item) for item in value]
            for name, value in values.items()
        }
        known_values = {name: value for name, value in lists.items() if value}
        self.rows.append(Row(system, known_values, note, dict(intervals or {}), dict(p_values or {}), apart))

    @property
    def columns(self) -> list[Metric]:
        """The metrics, resolved."""
        return [METRICS[metric] if isinstance(metric, str) else metric for metric in self.metrics]

    def spread(self, system: str, metric: str) -> Spread | None:
        """Mean and deviation of one cell, unscaled; None where the system has no such value."""
        for row in self.rows:
            if row.system == system and row.values.get(metric):
                return spread(list(row.values[metric]))
        return None

    def cell(self, row: Row, metric: Metric) -> Cell:
        """One cell as shown. Best is whoever has the best mean, ties included; a NaN is never best, nor is a
        row on other examples."""
        own = self.spread(row.system, metric.name)
        if own is None:
            return Cell("–", "", False)
        value = _number(own.mean, metric)
        if math.isfinite(own.deviation):
            value += f" ± {_number(own.deviation, metric)}"
        difference = ""
        main = self.spread(self.main, metric.name)
        compared = main is not None and row.system != self.main and not row.apart
        if main is not None and compared and math.isfinite(own.mean - main.mean):
            difference = _number(own.mean - main.mean, metric, sign=True)
        alike = [r.system for r in self.rows if not r.apart]
        means = [other.mean for name in alike if (other := self.spread(name, metric.name)) is not None]
        means = [mean for mean in means if not math.isnan(mean)]
        best = (max if metric.higher_is_better else min)(means, default=math.nan)
        interval = row.intervals.get(metric.name)
        shown = f"{_number(interval.low, metric)} to {_number(interval.high, metric)}" if interval else ""
        chance = row.p_values.get(metric.name)
        said = "" if chance is None or not difference else _chance(chance)
        is_best = own.mean == best and len(means) > 1 and not row.apart
        return Cell(value, difference, is_best, shown, said)

    def _grid(self, bold: str) -> list[list[str]]:
        columns = self.columns
        grid = [["system", *(metric.title for metric in columns), "seeds", "note"]]
        for row in self.rows:
            cells = []
            for metric in columns:
                cell = self.cell(row, metric)
                cells.append(bold.format(cell.text) if cell.best else cell.text)
            seeds = max((len(values) for values in row.values.values()), default=0)
            grid.append([row.system, *cells, str(seeds), row.note])
        return grid

    def _legend(self, best: str) -> str:
        parts = [f"in brackets: the difference to {self.main}"] if self.compares else []
        if any(self.cell(row, metric).best for row in self.rows for metric in self.columns):
            parts.append(f"{best}: best")
        if any(len(values) > 1 for row in self.rows for values in row.values.values()):
            parts.append("±: deviation over seeds")
        confidence = self.confidence
        if confidence is not None:
            parts.append(f"[ ]: {100 * confidence:g} % interval over examples")
        if any(row.p_values for row in self.rows):
            parts.append("p: chance of such a difference if there were none")
        return f"({'; '.join(parts)})" if parts else ""

    @property
    def confidence(self) -> float | None:
        """The confidence of the intervals; None where there are none."""
        return next((one.confidence for row in self.rows for one in row.intervals.values()), None)

    @property
    def compares(self) -> bool:
        """Whether there is a main system with a value, and another row to compare with it."""
        others = [row for row in self.rows if row.system != self.main and not row.apart]
        return bool(others) and any(self.spread(self.main, metric.name) for metric in self.columns)

    def text(self, width: int = 0) -> str:
        """Plain text, one line a system; a star marks the best. Columns line up with Chinese names too.

        What takes more than `width` characters (0: no limit) goes on below, under the names again.

        >>> table = ScoreTable(["accuracy", "macro_f1"])
        >>> table.add("a", accuracy=0.5, macro_f1=0.4)
        >>> print(table.text(width=40))
        system  accuracy %
        a       50.0
        <BLANKLINE>
        system  macro F1 %           seeds  note
        a       40.0                 1
        """
        grid = self._grid("{} *")
        widths = [max(_width(row[at]) for row in grid) for at in range(len(grid[0]))]
        for at in range(1, len(self.columns) + 1):
            widths[at] = max(widths[at], 19)
        blocks: list[list[int]] = [[0]]
        for unit in [[at] for at in range(1, len(self.columns) + 1)] + [[-2, -1]]:
            taken = sum(widths[at] + 2 for at in blocks[-1] + unit) - 2
            if width and taken > width and len(blocks[-1]) > 1:
                blocks.append([0])
            blocks[-1] += unit
        parts = [
            "\n".join(
                "  ".join(row[at] + " " * (widths[at] - _width(row[at])) for at in block).rstrip()
                for row in grid
            )
            for block in blocks
        ]
        legend = self._legend("*")
        if width and legend:
            legend = fill(legend, width, break_long_words=False)
        if len(parts) > 1 and legend:
            legend = f"\n{legend}"
        return "\n".join(filter(None, ["\n\n".join(parts), legend]))

    def markdown(self) -> str:
        """A Markdown table; the best is bold.

        >>> table = ScoreTable(["bleu"], main="ours")
        >>> table.add("ours", bleu=[20.0, 22.0])
        >>> print(table.markdown())
        | system | BLEU | seeds | note |
        |---|---:|---:|---|
        | ours | 21.0 ± 1.4 | 2 |  |
        """
        grid = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in self._grid("**{}**")]
        rule = "|".join(["---", *["---:"] * (len(self.columns) + 1), "---"])
        lines = ["| " + " | ".join(row) + " |" for row in grid]
        return "\n".join([lines[0], f"|{rule}|", *lines[1:]])

    def html(self) -> str:
        """An HTML table without style of its own: classes `main`, `best`, `difference`, `note`."""
        heads = ""
        for metric in self.columns:
            arrow, way = ("↑", "higher") if metric.higher_is_better else ("↓", "lower")
            small = f"<small>{arrow}<i> {way} is better</i></small>"
            heads += f'<th class="number" scope="col">{escape(metric.title)}{small}</th>'
        lines = []
        for row in self.rows:
            cells = ""
            for metric in self.columns:
                cell = self.cell(row, metric)
                value = f"<b>{escape(cell.value)}</b>" if cell.best else escape(cell.value)
                if cell.interval:
                    value += f'<span class="interval">{escape(cell.interval)}</span>'
                if cell.compared:
                    value += f'<span class="difference">{escape(cell.compared)}</span>'
                cells += f'<td class="number{" best" if cell.best else ""}">{value}</td>'
            seeds = max((len(values) for values in row.values.values()), default=0)
            kind = ' class="main"' if row.system == self.main else ""
            lines.append(
                f'<tr{kind}><th scope="row">{escape(row.system)}</th>{cells}'
                f'<td class="number">{seeds}</td><td class="note">{escape(row.note)}</td></tr>'
            )
        return (
            f'<table class="scores"><thead><tr><th scope="col">system</th>{heads}'
            f'<th class="number" scope="col">seeds</th><th scope="col">note</th></tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table>"
        )

    def rich(self) -> Table:
        """The table for a terminal: the best bold, the main system's name in colour."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="dim", caption=self._legend("bold") or None)
        table.caption_justify = "left"
        table.add_column("system")
        for metric in self.columns:
            table.add_column(metric.title, justify="right")
        table.add_column("seeds", justify="right")
        table.add_column("note", style="dim")
        for row in self.rows:
            cells: list[Text] = []
            for metric in self.columns:
                cell = self.cell(row, metric)
                text = Text(cell.value, style="bold green" if cell.best else "")
                if cell.interval:
                    text.append(f" [{cell.interval}]", style="not bold dim")
                if cell.compared:
                    text.append(f" ({cell.compared})", style="not bold dim")
                cells.append(text)
            seeds = max((len(values) for values in row.values.values()), default=0)
            name = Text(row.system, style="bold cyan" if row.system == self.main else "")
            table.add_row(name, *cells, str(seeds), Text(row.note))
        return table

    def to_dict(self) -> dict[str, Any]:
        """The table as plain values for JSON; `from_dict` is its inverse."""
        return {
            "main": self.main,
            "metrics": [vars(metric) if isinstance(metric, Metric) else metric for metric in self.metrics],
            "rows": [
                {
                    "system": row.system,
                    "note": row.note,
                    "values": {k: list(v) for k, v in row.values.items()},
                    **(
                        {"intervals": {k: vars(v) for k, v in row.intervals.items()}} if row.intervals else {}
                    ),
                    **({"p_values": dict(row.p_values)} if row.p_values else {}),
                    **({"apart": True} if row.apart else {}),
                }
                for row in self.rows
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoreTable:
        """The table that `to_dict` wrote.

        >>> table = ScoreTable(["accuracy"], main="a")
        >>> table.add("a", accuracy=[0.5, 0.75])
        >>> ScoreTable.from_dict(table.to_dict()) == table
        True
        """
        metrics = [Metric(**item) if isinstance(item, Mapping) else item for item in values["metrics"]]
        rows = [
            Row(
                row["system"],
                row["values"],
                row.get("note", ""),
                {name: Interval(**one) for name, one in row.get("intervals", {}).items()},
                row.get("p_values", {}),
                row.get("apart", False),
            )
            for row in values["rows"]
        ]
        return cls(metrics, rows, values.get("main", ""))


def _number(value: float, metric: Metric, sign: bool = False) -> str:
    text = f"{value * metric.scale:{'+' if sign else ''}.{metric.digits}f}"
    # "-0.0" says that there is a difference where none is shown.
    return text.replace("-", "") if float(text) == 0 and not sign else text


def _chance(p_value: float) -> str:
    """
    >>> _chance(0.0312), _chance(0.0004), _chance(math.nan)
    ('p 0.031', 'p < 0.001', 'p unknown')
    """
    if math.isnan(p_value):
        return "p unknown"
    return "p < 0.001" if p_value < 0.001 else f"p {p_value:.2g}"


def _width(text: str) -> int:
    """Columns of a terminal: a Han character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
