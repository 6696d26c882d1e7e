"""Clean documents on disk: Parquet files in the order of their ids, and a reader that streams them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from liju.errors import DataError, MissingExtra
from liju.text.document import Document
from liju.text.report import TextReport

__all__ = ["SPLITS", "ShardWriter", "documents", "parquet"]

SPLITS = ("train", "held_out")
# Characters in one row group: what a reader holds at a time.
_GROUP = 4_000_000


def parquet() -> tuple[Any, Any]:
    """pyarrow and pyarrow.parquet. Raises MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "text") from None
    return pyarrow, pyarrow.parquet


class ShardWriter:
    """One Parquet file, opened at its first row; row groups are cut by the characters in them, so that equal
    rows give equal bytes."""

    def __init__(self, path: Path, extra: dict[str, str] | None = None):
        arrow, self._parquet = parquet()
        columns = {name: arrow.string() for name in ("id", "text", "source", "language", "licence")}
        columns["changes"] = arrow.list_(arrow.string())
        columns |= {name: getattr(arrow, kind)() for name, kind in (extra or {}).items()}
        self.schema = arrow.schema(list(columns.items()))
        self._table = arrow.table
        self._path = path
        self._writer: Any = None
        self._rows: list[Sequence[Any]] = []
        self._characters = 0

    def add(self, row: Sequence[Any]) -> None:
        """Append one row: the values of the schema's columns. Raises OSError."""
        self._rows.append(row)
        self._characters += len(row[1])
        if self._characters >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write a row group."""
        if not self._rows:
            return
        if self._writer is None:
            # Not the parents: a worker that outlives a stopped run must not bring its folder back.
            self._path.parent.mkdir(exist_ok=True)
            self._writer = self._parquet.ParquetWriter(self._path, self.schema, compression="zstd")
        columns = dict(zip(self.schema.names, map(list, zip(*self._rows, strict=True)), strict=True))
        self._writer.write_table(self._table(columns, schema=self.schema))
        self._rows, self._characters = [], 0

    def close(self) -> None:
        """Write what is left and end the file."""
        self.flush()
        if self._writer is not None:
            self._writer.close()


def documents(out: Path, split: str = "train") -> Iterator[Document]:
    """The documents that `clean` left in `out`, in the order of their ids, some rows in memory at a time.

    That order is one of the text alone: it depends on no file name, no file order and no number of workers,
    and the first documents are an even sample of all. Raises DataError where cleaning never finished.
    """
    out = Path(out)
    if split not in SPLITS:
        raise DataError(f"no split {split!r}", hint=f"one of {', '.join(SPLITS)}")
    TextReport.load(out)
    _, reader = parquet()
    for path in sorted((out / split).glob("*.parquet")):
        try:
            with reader.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        yield Document(**row)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}", hint="clean again") from None
