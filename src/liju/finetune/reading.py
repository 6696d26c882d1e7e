"""Rows to labelled examples: fields found under the names that columns have, and what is no example named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from liju.config import Source
from liju.errors import DataError, did_you_mean
from liju.text import Problem, Row, rows
from liju.text.composed import composed

if TYPE_CHECKING:
    from liju.finetune.examples import ExampleSet

__all__ = ["Example", "FromRow", "Reader", "Unusable", "absent", "example_of", "known_fields", "leave_out"]

# Fields that a model sees.
_INPUT = ("text", "pair", "source", "question", "context", "messages")
# A row's values to an example's, and what was mended; raises DataError for a bad one.
FromRow = Callable[[Mapping[str, str]], tuple[dict[str, str], list[str]]]


@dataclass(frozen=True)
class Example:
    """One labelled example: its fields (`text`, `pair`, `label`, `source`, `target`; of questions `question`,
    `context` and `answers`) and where it stands."""

    values: dict[str, str]
    place: str

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def input(self) -> str:
        """What a model sees of it, as one string: examples with equal inputs are the same example. In one
        Unicode form, since the vocabulary makes no difference between them."""
        return composed("\x1f".join(self.values[name] for name in _INPUT if name in self.values))

    @property
    def group(self) -> str:
        """What must not stand on both sides of a split: the context of a question, else the whole input."""
        return composed(self.values["context"]) if "context" in self.values else self.input


class Unusable(DataError):
    """A row that is no example. `reason`: why, in few words, to count by."""

    def __init__(self, message: str, hint: str, reason: str):
        super().__init__(message, hint)
        self.reason = reason


def example_of(
    row: Row,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    fields: Mapping[str, str] | None = None,
    from_row: FromRow | None = None,
    may_be_empty: Sequence[str] = (),
) -> tuple[Example, list[str]]:
    """The example that a row is, and what was mended in it.

    `fields`: the columns of those fields that have another name there. Raises Unusable, with file and line.

    >>> from liju.text import Row
    >>> row = Row({"review": " good ", "label": "1"}, "a.csv:2")
    >>> example_of(row, ["text", "label"], fields={"text": "review"})
    (Example(values={'text': 'good', 'label': '1'}, place='a.csv:2'), [])
    """
    values, missing = {}, []
    for name in (*needed, *optional):
        column = (fields or {}).get(name, name)
        value = _value(row.values, column)
        # What is compared to the letter is compared in one Unicode form.
        value = composed(value) if name in ("label", "labels", "tags") else value
        if value.strip():
            values[name] = value if from_row else value.strip()
        elif name in needed and not (name in may_be_empty and column in row.values):
            missing.append(column)
    if missing:
        hint = did_you_mean(missing[0], row.values) or f"this row has {', '.join(row.values)}"
        hint = f"nothing is in {missing[0]!r}" if missing[0] in row.values else hint
        raise Unusable(f"{row.place}: no {' and no '.join(missing)}", hint, f"no {missing[0]}")
    mended: list[str] = []
    if from_row is not None:
        try:
            values, mended = from_row(values)
        except DataError as error:
            raise Unusable(f"{row.place}: {error.message}", error.hint, "bad example") from None
    return Example(values, row.place), mended


def known_fields(fields: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise DataError for a name that is none of the task's fields."""
    for name in fields:
        if name not in known:
            hint = did_you_mean(name, known) or f"its fields are {', '.join(known)}"
            raise DataError(f"finetune.fields: the task has no field {name!r}", hint=hint)


def absent(
    fields: Mapping[str, str], optional: Sequence[str], columns: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Columns that were named for an optional field and that no row had: what is wrong, and what to do.

    >>> list(absent({"text": "a", "pair": "bb"}, ["pair"], {"a", "b"}))
    [("no row has 'bb', for pair", "did you mean 'b'?")]
    """
    for name, column in fields.items():
        plain = "tags" if column.startswith("tags:") else column
        if name in optional and plain not in columns:
            hint = did_you_mean(plain, columns) or f"they have {', '.join(sorted(columns))}"
            yield f"no row has {column!r}, for {name}", hint


@dataclass
class Reader:
    """Reads the examples of sources; what cannot be one is noted in `found`."""

    fields: dict[str, str]
    needed: Sequence[str]
    optional: Sequence[str]
    base: Path
    errors: str
    found: ExampleSet
    from_row: FromRow | None
    may_be_empty: Sequence[str]
    columns: set[str] = field(default_factory=set)  # all that a row had

    def read(self, sources: Iterable[Source]) -> list[Example]:
        how = (self.needed, self.optional, self.fields, self.from_row, self.may_be_empty)
        stop, found, examples = self.errors == "stop", self.found, []
        for source in sources:
            bad: list[Problem] = []
            for row in rows(source, self.base, errors="stop" if stop else "skip", problems=bad):
                self.columns.update(row.values)
                try:
                    example, mended = example_of(row, *how)
                except Unusable as error:
                    if stop:
                        raise
                    leave_out(found, error)
                    continue
                found.mended.update(mended)
                found.problems += [f"{row.place}: {what}" for what in mended]
                examples.append(example)
            for problem in bad:
                found.dropped[problem.reason] += 1
                found.problems.append(str(problem))
        return examples

    def missing(self) -> None:
        """Raise DataError for a column that was named for an optional field and that no row has."""
        for told, hint in absent(self.fields, self.optional, self.columns):
            raise DataError(f"finetune.fields: {told}", hint=hint)


def leave_out(found: ExampleSet, error: Unusable) -> None:
    """Count a row that is no example, and note it by file and line."""
    found.dropped[error.reason] += 1
    found.problems.append(f"{error.message} ({error.hint})" if error.hint else error.message)


def _value(values: Mapping[str, str], column: str) -> str:
    """A column's value. "tags:nr" of a tagged corpus is yes where a word has that tag, else no.

    >>> _value({"text": "江泽民", "tags": "nr"}, "tags:nr"), _value({"text": "新年", "tags": "t"}, "tags:nr")
    ('yes', 'no')
    """
    name, colon, tag = column.partition(":")
    if colon and name == "tags" and "tags" in values:
        return "yes" if tag in (values["tags"] + " " + values.get("compounds", "")).split() else "no"
    return values.get(column, "")
