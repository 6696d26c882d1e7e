"""The table of scores: every system, every metric, over the same seeds, whoever wins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any

from liju.errors import DataError, did_you_mean
from liju.evaluate.significance.spread import Spread, spread

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["METRICS", "Cell", "Metric", "Row", "ScoreTable"]


@dataclass(frozen=True)
class Metric:
    """How a number is shown: times `scale`, with `digits`; and which way is better."""

    name: str
    title: str
    higher_is_better: bool = True
    scale: float = 1.0
    digits: int = 1


# The metrics that liju computes. Shares are shown in percent.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy %", scale=100),
        Metric("macro_f1", "macro F1 %", scale=100),
        Metric("micro_f1", "micro F1 %", scale=100),
        Metric("bleu", "BLEU"),
        Metric("chrf", "chrF"),
        Metric("exact", "exact match %", scale=100),
        Metric("bits_per_byte", "bits per byte", higher_is_better=False, digits=3),
        Metric("perplexity", "perplexity", higher_is_better=False, digits=2),
        Metric("loss", "loss (nats)", higher_is_better=False, digits=3),
    )
}


@dataclass(frozen=True)
class Row:
    """One system: for each metric its value under each seed, and a remark."""

    system: str
    values: Mapping[str, Sequence[float]]
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One number as shown: `value` ("86.2 ± 0.4"), `difference` to the main system ("-3.1"), best or not."""

    value: str
    difference: str
    best: bool


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

    def add(self, system: str, note: str = "", **values: float | Sequence[float]) -> None:
        """Add a system; each value is a number or one number a seed. Raises DataError for a metric that the
        table does not have, and for a system that is already in it."""
        known = [metric.name for metric in self.columns]
        for name in values:
            if name not in known:
                raise DataError(f"the table has no metric {name!r}", hint=did_you_mean(name, known))
        if any(row.system == system for row in self.rows):
            raise DataError(f"the system {system!r} is already in the table")
        lists = {
            name: [float(value)] if isinstance(value, int | float | Real) else [float(item) for item in value]
            for name, value in values.items()
        }
        self.rows.append(Row(system, {name: value for name, value in lists.items() if value}, note))

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
        """One cell as shown. Best is whoever has the best mean, ties included; a NaN is never best."""
        own = self.spread(row.system, metric.name)
        if own is None:
            return Cell("–", "", False)
        value = _number(own.mean, metric)
        if math.isfinite(own.deviation):
            value += f" ± {_number(own.deviation, metric)}"
        difference = ""
        main = self.spread(self.main, metric.name)
        if main is not None and row.system != self.main and math.isfinite(own.mean - main.mean):
            difference = _number(own.mean - main.mean, metric, sign=True)
        means = [other.mean for r in self.rows if (other := self.spread(r.system, metric.name)) is not None]
        means = [mean for mean in means if not math.isnan(mean)]
        best = (max if metric.higher_is_better else min)(means, default=math.nan)
        return Cell(value, difference, own.mean == best and len(means) > 1)

    def _grid(self, bold: str) -> list[list[str]]:
        columns = self.columns
        grid = [["system", *(metric.title for metric in columns), "seeds", "note"]]
        for row in self.rows:
            cells = []
            for metric in columns:
                cell = self.cell(row, metric)
                text = cell.value + (f" ({cell.difference})" if cell.difference else "")
                cells.append(bold.format(text) if cell.best else text)
            seeds = max((len(values) for values in row.values.values()), default=0)
            grid.append([row.system, *cells, str(seeds), row.note])
        return grid

    def _legend(self, best: str) -> str:
        parts = [f"in brackets: the difference to {self.main}"] if self.compares else []
        parts.append(f"{best}: best")
        if any(len(values) > 1 for row in self.rows for values in row.values.values()):
            parts.append("±: deviation over seeds")
        return f"({'; '.join(parts)})"

    @property
    def compares(self) -> bool:
        """Whether there is a main system with a value to compare with."""
        return any(self.spread(self.main, metric.name) for metric in self.columns)

    def text(self) -> str:
        """Plain text, one line a system; a star marks the best. Columns line up with Chinese names too."""
        grid = self._grid("{} *")
        widths = [max(_width(row[at]) for row in grid) for at in range(len(grid[0]))]
        for at in range(1, len(self.columns) + 1):
            widths[at] = max(widths[at], 19)
        lines = [
            "  ".join(
                text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in grid
        ]
        return "\n".join([*lines, self._legend("*")])

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
                if cell.difference:
                    value += f'<span class="difference">{escape(cell.difference)}</span>'
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

        table = Table(box=None, pad_edge=False, header_style="dim", caption=self._legend("bold"))
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
                if cell.difference:
                    text.append(f" ({cell.difference})", style="not bold dim")
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
        rows = [Row(row["system"], row["values"], row.get("note", "")) for row in values["rows"]]
        return cls(metrics, rows, values.get("main", ""))


def _number(value: float, metric: Metric, sign: bool = False) -> str:
    text = f"{value * metric.scale:{'+' if sign else ''}.{metric.digits}f}"
    # "-0.0" says that there is a difference where none is shown.
    return text.replace("-", "") if float(text) == 0 and not sign else text


def _width(text: str) -> int:
    """Columns of a terminal: a Han character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
