"""`rows`: labelled examples as they stand in the files, each with its place, bad ones named or counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from liju.config import Source
from liju.errors import DataError, did_you_mean
from liju.text.encoding import Damaged, detect
from liju.text.passages import Passage, asked, pairs, passages, stop
from liju.text.records import records
from liju.text.report import Problem
from liju.text.sources import File, resolve
from liju.text.tables import TABLES, table_records

__all__ = ["Row", "rows"]

# What a source of each format gives without any column of its own.
_TEXT = ("text", "lines", "tagged", "conll", "spans", "html", "python")
_WORDS = ("tagged", "conll", "spans")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled example: its values by name, and its place: "reviews.csv:3", or the third object of an
    array "rows.json:#3"."""

    values: dict[str, str]
    place: str


def rows(
    source: Source,
    base: Path = Path("."),
    fields: Mapping[str, str] | None = None,
    errors: Literal["skip", "stop"] = "stop",
    problems: list[Problem] | None = None,
) -> Iterator[Row]:
    """The examples of `source` in the order of its files and lines.

    The values of csv, tsv and jsonl are all columns as strings; of gettext and of lines with a target,
    "source" and "target"; of SQuAD "question", "context", "answers" and "id"; of the others "text", of tagged
    corpora also "words" and "tags", with spaces. The source's `label` is the value "label". `fields` maps a
    name to the column that holds it ({"text": "sentence"}): the value is then there under that name too, and
    a row that lacks it, or has nothing but spaces in it, is bad.

    A bad row or file raises DataError naming file and line, or with errors="skip" is added to `problems`.
    A missing source or column always raises: nothing of it could be read.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.csv").write_text("review,stars\\n很好,5\\nbad\\n")
    >>> found = []
    >>> list(rows(Source(path="a.csv"), folder, {"text": "review"}, "skip", found))
    [Row(values={'review': '很好', 'stars': '5', 'text': '很好'}, place='a.csv:2')]
    >>> print(*found)
    a.csv:3: 1 column where the header has 2
    """
    wanted = dict(fields or {})
    for file in resolve(source, base):
        if not file.format:
            continue
        for item in _of_file(file, wanted):
            if isinstance(item, Problem):
                if errors == "stop" or item.reason in ("missing column", "uneven pair"):
                    raise stop(item)
                if problems is not None:
                    problems.append(item)
            else:
                yield item


def _of_file(file: File, wanted: dict[str, str]) -> Iterator[Row | Problem]:
    is_text = file.format in _TEXT and not file.target
    if is_text:
        has = ["text", *(["words", "tags"] if file.format in _WORDS else [])]
        _check(file, wanted, [*has, *(["label"] if file.label else [])])
        for item in passages(file):
            if isinstance(item, Problem):
                yield item
            else:
                values = {"text": _plain(item)}
                if item.words is not None:
                    words, tags, compounds = item.words
                    values |= {"words": " ".join(words), "tags": " ".join(tags)}
                    values |= {"compounds": " ".join(compounds)} if compounds else {}
                yield from _row(file, item.line, values, wanted)
        return
    columns = [column for column in wanted.values() if not (file.label and column == "label")]
    if file.format in TABLES:
        for record in table_records(file, columns):
            if isinstance(record, Problem):
                yield record
            else:
                yield from _row(file, record[0], record[1], wanted)
        return
    try:
        encoding = detect(file.path)
        if encoding.problem:
            yield Problem(file.name, "", encoding.problem, encoding.problem.split(" (")[0], fatal=True)
        elif file.format == "gettext" or file.target:
            _check(file, wanted, ["source", "target"])
            for pair in pairs(file, encoding):
                if isinstance(pair, Problem):
                    yield pair
                else:
                    yield from _row(file, pair[0], {"source": pair[1], "target": pair[2]}, wanted)
        elif file.format == "squad":
            _check(file, wanted, ["question", "context", "answers", "id"])
            for question in asked(file, encoding):
                if isinstance(question, Problem):
                    yield question
                else:
                    yield Row(question.values, f"{file.name}: {question.place}")
        else:
            for record in records(file, encoding, columns):
                if isinstance(record, Problem):
                    yield record
                else:
                    yield from _row(file, record[0], record[1], wanted)
    except Damaged as error:
        yield Problem(file.name, "", str(error), "damaged", fatal=True)
    except OSError as error:
        yield Problem(file.name, "", error.strerror or str(error), "unreadable", fatal=True)


def _plain(passage: Passage) -> str:
    return passage.text.rstrip("\n")


def _check(file: File, wanted: dict[str, str], has: list[str]) -> None:
    for name, column in wanted.items():
        if column not in has:
            raise DataError(
                f"{file.name}: no {column!r} in a file of format {file.format!r}, for {name}",
                hint=did_you_mean(column, has) or f"it has {', '.join(has)}",
            )


def _row(file: File, line: int, values: dict[str, str], wanted: dict[str, str]) -> Iterator[Row | Problem]:
    if file.label and not values.get("label"):
        values = {**values, "label": file.label}
    columns, values = values, dict(values)
    for name, column in wanted.items():
        values[name] = columns[column]
        if not values[name].strip():
            yield Problem(file.name, str(line), f"nothing in {column!r}", "bad row")
            return
    yield Row(values, f"{file.name}:{line}" if line else file.name)
