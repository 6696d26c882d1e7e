"""liju runs: trainings side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from liju.cli.story import say_next
from liju.cli.strict_json import dumps

__all__ = ["runs"]

RIGHT = ("parameters", "step", "loss", "held_out", "best", "tokens_per_second", "mfu", "seconds")


def runs(folder: Path = Path("runs"), /, *, sort: str = "name", json: bool = False) -> None:
    """Compare the trainings under a folder: state, losses, scores, speed, and the settings that differ.

    state is running, done, stopped or failed; held_out is the loss of the last look at held-out text, best
    the lowest; score is the task's, after liju evaluate; tokens_per_second and mfu (the share of the
    machine's measured peak) are medians over the steps; seconds is the time of all steps.

    examples:
      liju runs
      liju runs first/runs --sort best
      liju runs first/runs --json

    Parameters
    ----------
    folder
        Where the runs are.
    sort
        A column, or a score of the last look (words_accuracy): the best first.
    json
        One object a training, a line each, instead of the table.
    """
    from liju.cli.run_table import COLUMNS, cells, sort_by, to_json, trainings

    found = sort_by(trainings(folder), sort)
    if json:
        for training in found:
            print(dumps(to_json(training)))
        return
    _table(COLUMNS, [cells(training) for training in found])
    for training in found:
        if training.error:
            print(f"{training.name} failed: {training.error}")
    best = next((one.name.split()[0] for one in found if one.state == "done"), found[0].name.split()[0])
    say_next(f"liju show curve {folder if best == folder.name else folder / best}")


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """A table on a terminal, else plain lines with aligned columns; columns without a cell are left out."""
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for i in kept:
            table.add_column(columns[i].replace("_", " "), justify="right" if columns[i] in RIGHT else "left")
        for row in rows:
            table.add_row(*(row[i] for i in kept))
        Console(highlight=False).print(table)
        return
    listed = [[columns[i] for i in kept], *([row[i] for i in kept] for row in rows)]
    widths = [max(len(row[k]) for row in listed) for k in range(len(kept))]
    for row in listed:
        parts = [
            text.rjust(width) if columns[i] in RIGHT else text.ljust(width)
            for text, width, i in zip(row, widths, kept, strict=True)
        ]
        print("  ".join(parts).rstrip())
