"""What metrics.jsonl has, for TensorBoard: the file stays the truth, this is a copy to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from liju.errors import MissingExtra

__all__ = ["Board", "scalars"]


def scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a line of metrics.jsonl by their names there; what lies within is written `outer/inner`.

    >>> list(scalars({"step": 7, "loss": 2.5, "heads": {"words": 2.0}, "skipped": "loss 9"}))
    [('loss', 2.5), ('heads/words', 2.0)]
    >>> list(scalars({"step": 7, "evaluation": {"loss": 2.5, "loss/zh": 3.0}, "rank_seconds": [0.5]}))
    [('evaluation/loss', 2.5), ('evaluation/loss/zh', 3.0), ('rank_seconds/0', 0.5)]
    """
    for name, value in line.items():
        if name == "step":
            continue
        if isinstance(value, list | tuple):
            value = {str(i): one for i, one in enumerate(value)}
        if isinstance(value, Mapping):
            yield from ((f"{name}/{inner}", number) for inner, number in scalars(value))
        elif isinstance(value, int | float):
            yield name, float(value)


class Board:
    """Event files in `folder`/tensorboard. Events after `step`, of a run that is gone on with, are left out
    by TensorBoard, as `Run.rewind` takes their lines away.

    Raises MissingExtra where the package is not installed.
    """

    def __init__(self, folder: Path, step: int = 0):
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            raise MissingExtra("tensorboard", "tensorboard") from None
        where, purge = folder / "tensorboard", step + 1 if step else None
        self._writer = SummaryWriter(str(where), purge_step=purge, flush_secs=30)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def line(self, line: Mapping[str, Any]) -> None:
        """Tell a line of metrics.jsonl."""
        for name, value in scalars(line):
            self._writer.add_scalar(name, value, line["step"])

    def sample(self, line: Mapping[str, Any]) -> None:
        """Tell a line of samples.jsonl."""
        self._writer.add_text("sample", line["text"], line["step"])
