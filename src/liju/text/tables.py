"""Tables that are not text: Parquet files, and data sets of Hugging Face's `datasets`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liju.errors import DataError, MissingExtra, did_you_mean
from liju.text.records import Record, invalid
from liju.text.report import Problem
from liju.text.sources import File

__all__ = ["TABLES", "table_records"]

TABLES = ("parquet", "datasets")


def table_records(file: File, required: Iterable[str] = ()) -> Iterator[Record | Problem]:
    """(row, values) of every row of a Parquet file or a data set, from 1; all values as strings, labels of
    `datasets` by their names, also in lists, lists and structs as JSON. A cell without a value is not there.

    Raises MissingExtra without pyarrow or `datasets`, DataError for a data set that cannot be had.
    """
    read = _parquet if file.format == "parquet" else _data_set
    for item in read(file, list(required)):
        if isinstance(item, Problem):
            yield item
            continue
        number, row = item
        # NaN is what pandas has where there is nothing.
        values = {name: _string(value) for name, value in row.items() if value is not None and value == value}
        missing = [name for name in required if name not in values]
        if missing:
            yield Problem(file.name, str(number), f"nothing in {missing[0]!r}", "bad row")
        elif any(map(invalid, values.values())):
            yield Problem(file.name, str(number), "half of a surrogate pair", "bad row")
        else:
            yield number, values


Rows = Iterator[tuple[int, dict[str, Any]] | Problem]


def _parquet(file: File, required: list[str]) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "text") from None
    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            if missing := _missing(file, table.schema_arrow.names, required):
                yield missing
                return
            number = 0
            for batch in table.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        yield Problem(file.name, "", f"not a whole Parquet file: {error}", "damaged", fatal=True)


def _data_set(file: File, required: list[str]) -> Rows:
    try:
        import datasets  # type: ignore[import-not-found]
    except ImportError:
        raise MissingExtra("datasets", "datasets") from None
    name, *rest = file.path.split(":") if not os.path.isdir(file.path) else [file.path]
    if os.path.isdir(name):
        try:
            found = datasets.load_from_disk(name)
        except (OSError, ValueError) as error:
            hint = "a folder that save_to_disk wrote, or DatasetDict's folder with :split"
            raise DataError(f"{file.name}: no saved data set: {error}", hint=hint) from None
    else:
        *config, split = rest or ["train"]
        try:
            found = datasets.load_dataset(name, *config, split=split)
        except (OSError, ValueError, RuntimeError) as error:
            hint = "without a network: save_to_disk elsewhere, and name the folder"
            raise DataError(f"{file.name}: cannot be had: {str(error)[:300]}", hint=hint) from None
    if isinstance(found, Mapping):
        split = rest[-1] if rest else "train"
        if split not in found:
            hint = did_you_mean(split, found) or f"it has {', '.join(found)}: NAME:split"
            raise DataError(f"{file.name}: no split {split!r}", hint=hint)
        found = found[split]
    if missing := _missing(file, found.column_names, required):
        yield missing
        return
    names = {
        column: label
        for column, kind in found.features.items()
        if (label := _label_of(kind, datasets.ClassLabel)) is not None
    }
    for number, row in enumerate(found, 1):
        for column, label in names.items():
            row[column] = _named(row[column], label)
        yield number, row


def _label_of(kind: Any, label: type) -> Any:
    """The labels of a column, or of the items of a column of lists; None where it has none."""
    while not isinstance(kind, label):
        # A list is Sequence(kind) or List(kind), and [kind] in older versions.
        kind = kind[0] if isinstance(kind, list) and kind else getattr(kind, "feature", None)
        if kind is None:
            return None
    return kind


def _named(value: Any, label: Any) -> Any:
    if isinstance(value, list):
        return [_named(one, label) for one in value]
    # -1 is a label that is not known, as in the test sets of GLUE.
    return None if value is None or value < 0 else label.int2str(value)


def _missing(file: File, columns: list[str], required: list[str]) -> Problem | None:
    missing = [name for name in required if name not in columns]
    what = f"no column {missing[0]!r} among {', '.join(columns)[:200]}" if missing else ""
    return Problem(file.name, "", what, "missing column", fatal=True) if missing else None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, bytes) else repr(value)
