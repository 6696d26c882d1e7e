"""Labelled examples: read, checked, and split so that nothing held out is trained on (law 8)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liju.config import Finetune, Source
from liju.errors import DataError, did_you_mean
from liju.samples.order import key_of, random_of
from liju.text import Problem, Row, rows
from liju.text.dedupe import fingerprint

__all__ = [
    "Example",
    "ExampleSet",
    "Unusable",
    "check_of",
    "example_of",
    "hold_out",
    "leave_out_unknown",
    "meant",
    "read_examples",
]


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
        """What a model sees of it, as one string: examples with equal inputs are the same example."""
        return "\x1f".join(self.values[name] for name in _INPUT if name in self.values)

    @property
    def group(self) -> str:
        """What must not stand on both sides of a split: the context of a question, else the whole input."""
        return self.values.get("context", self.input)


@dataclass
class ExampleSet:
    """Examples to train on, examples held out, what was left out and why, and what was mended."""

    train: list[Example]
    test: list[Example]
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    mended: Counter[str] = field(default_factory=Counter)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            for example in part:
                digest.update(repr(sorted(example.values.items())).encode())
            digest.update(b"\n")
        return digest.hexdigest()[:16]

    def report(self) -> dict[str, Any]:
        """For the run's report."""
        return {
            "train": len(self.train),
            "test": len(self.test),
            "dropped": dict(self.dropped),
            "problems": self.problems[:100],
            **({"mended": dict(self.mended)} if self.mended else {}),
        }


def read_examples(
    settings: Finetune,
    needed: Sequence[str],
    *,
    base: Path = Path("."),
    seed: int = 0,
    errors: str = "skip",
    optional: Sequence[str] = (),
    from_row: FromRow | None = None,
    may_be_empty: Sequence[str] = (),
) -> ExampleSet:
    """Read `settings.train` and `settings.test`.

    Exact duplicates are dropped before the split. Without a test set, examples are held out by the hash of
    their input, so that equal inputs always fall on one side, and so do all questions on one context. An
    input that stands in both sets stays in the test set alone. `needed` fields must be there and not empty,
    and a held-out label must be one to train on, or the row is counted and reported with file and line (with
    errors="stop": DataError). `settings.limit` keeps an example of every label. `from_row` makes an example's
    values of a row's. Of `may_be_empty` fields only the column must be there.
    """
    found = ExampleSet([], [])
    how = (settings.fields, needed, optional, base, errors, found, from_row, may_be_empty)
    train = _read(settings.train, *how)
    if settings.test:
        test = _unique(_read(settings.test, *how), found)
        held = {example.input for example in test}
        kept = [example for example in train if example.input not in held]
        found.dropped["also in the test set"] += len(train) - len(kept)
        train = _unique(kept, found)
    else:
        unique = _unique(train, found)
        bound = int(settings.test_share * 2**64)
        test = [example for example in unique if key_of("held out", example.group) < bound]
        train = [example for example in unique if key_of("held out", example.group) >= bound]
    if not train or not test:
        raise _none("train" if not train else "test", found)
    found.test = test
    if "label" in needed:
        leave_out_unknown(found, _trained_on({example["label"] for example in train}), errors)
    if settings.limit and len(train) > settings.limit:
        drawn = random_of("limit", seed, len(train)).permutation(len(train)).tolist()
        first = set({train[i].values.get("label"): i for i in reversed(drawn)}.values())
        chosen = sorted(drawn, key=lambda i: i not in first)[: settings.limit]
        found.dropped["over finetune.limit"] += len(train) - settings.limit
        train = [train[i] for i in sorted(chosen)]
    found.train = train
    return found


# A validation set is looked at often; more examples than these make the look dearer, not surer.
ENOUGH = 2000


def hold_out(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """What is left to train on, and a validation set: a `share` of the training examples, 2,000 at most.

    By the hash of the input with case and spaces folded, so that equal inputs fall on one side, whatever else
    is read (law 8: the test set is not touched). Raises DataError where a side would be empty.

    >>> some = [Example({"text": f"text {i % 50}", "label": "a"}, f"x:{i}") for i in range(100)]
    >>> train, validation = hold_out(some, 0.2)
    >>> len(train) + len(validation), {e.input for e in train} & {e.input for e in validation}
    (100, set())
    """
    keys = [key_of("validation", fingerprint(example.group)) for example in examples]
    bound = int(share * 2**64)
    below = sorted(key for key in keys if key < bound)
    bound = below[ENOUGH] if len(below) > ENOUGH else bound
    held = [example for example, key in zip(examples, keys, strict=True) if key < bound]
    train = [example for example, key in zip(examples, keys, strict=True) if key >= bound]
    if not held or not train:
        raise DataError(
            f"finetune.validation: {share:g} of {len(examples)} examples leaves "
            f"{'none to validate' if not held else 'none to train'} on",
            hint="another share, or finetune.patience = 0",
        )
    return train, held


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
        if value.strip():
            values[name] = value if from_row else value.strip()
        elif name in needed and not (name in may_be_empty and column in row.values):
            missing.append(column)
    if missing:
        hint = did_you_mean(missing[0], row.values) or f"this row has {', '.join(row.values)}"
        raise Unusable(f"{row.place}: no {' and no '.join(missing)}", hint, f"no {missing[0]}")
    mended: list[str] = []
    if from_row is not None:
        try:
            values, mended = from_row(values)
        except DataError as error:
            raise Unusable(f"{row.place}: {error.message}", error.hint, "bad example") from None
    return Example(values, row.place), mended


def _read(
    sources: Iterable[Source],
    fields: dict[str, str],
    needed: Sequence[str],
    optional: Sequence[str],
    base: Path,
    errors: str,
    found: ExampleSet,
    from_row: FromRow | None,
    may_be_empty: Sequence[str],
) -> list[Example]:
    examples = []
    for source in sources:
        bad: list[Problem] = []
        for row in rows(source, base, errors="stop" if errors == "stop" else "skip", problems=bad):
            try:
                example, mended = example_of(row, needed, optional, fields, from_row, may_be_empty)
            except Unusable as error:
                if errors == "stop":
                    raise
                found.dropped[error.reason] += 1
                found.problems.append(f"{error.message} ({error.hint})" if error.hint else error.message)
                continue
            found.mended.update(mended)
            found.problems += [f"{row.place}: {what}" for what in mended]
            examples.append(example)
        for problem in bad:
            found.dropped[problem.reason] += 1
            found.problems.append(str(problem))
    return examples


def _value(values: Mapping[str, str], column: str) -> str:
    """A column's value. "tags:nr" of a tagged corpus is yes where a word has that tag, else no.

    >>> _value({"text": "江泽民", "tags": "nr"}, "tags:nr"), _value({"text": "新年", "tags": "t"}, "tags:nr")
    ('yes', 'no')
    """
    name, colon, tag = column.partition(":")
    if colon and name == "tags" and "tags" in values:
        return "yes" if tag in (values["tags"] + " " + values.get("compounds", "")).split() else "no"
    return values.get(column, "")


def _unique(examples: list[Example], found: ExampleSet) -> list[Example]:
    """The first of each input. An input with two labels is a contradiction: all of its examples go."""
    first: dict[str, Example] = {}
    answers: dict[str, set[str]] = {}
    for example in examples:
        first.setdefault(example.input, example)
        answers.setdefault(example.input, set()).add(example.values.get("label", ""))
    contradicting = {text for text, labels in answers.items() if len(labels) > 1}
    kept = [example for text, example in first.items() if text not in contradicting]
    both = sum(example.input in contradicting for example in examples)
    found.dropped["same text with different labels"] += both
    found.dropped["duplicate"] += len(examples) - len(kept) - both
    return kept


Check = Callable[[Sequence[Example]], None]


def check_of(task: Any) -> Check:
    """What raises DataError for an example that a trained task could not be right about, with file and line:
    the task's own `check`, and a pair that is missing where the model judges pairs."""
    own: Check | None = getattr(task, "check", None)
    pairs = bool(getattr(task, "pairs", False))

    def check(examples: Sequence[Example]) -> None:
        if own is not None:
            own(examples)
        for example in examples:
            if pairs and "pair" not in example.values:
                hint = "examples that are trained on have one"
                raise Unusable(f"{example.place}: no pair", hint, "no pair")

    return check


def leave_out_unknown(found: ExampleSet, check: Check, errors: str = "skip") -> None:
    """Leave out the held-out examples that `check` raises for: those with a label that none is trained on, of
    which no answer could be right. They are counted, and named by file and line.

    With errors="stop" the first of them raises DataError; so does a set of which nothing is left.

    >>> def check(examples):
    ...     for example in examples:
    ...         if example["label"] != "good":
    ...             raise DataError(f"{example.place}: unknown label {example['label']!r}", "known: good")
    >>> rows = [Example({"text": "a", "label": label}, f"x:{i}") for i, label in enumerate(["good", "god"])]
    >>> found = ExampleSet([], rows)
    >>> leave_out_unknown(found, check)
    >>> len(found.test), found.problems
    (1, ["x:1: unknown label 'god': held out, no answer could be right (known: good)"])
    """
    kept = []
    for example in found.test:
        try:
            check([example])
        except DataError as error:
            problem = f"{error.message}: held out, no answer could be right"
            if errors == "stop":
                raise DataError(problem, hint=error.hint) from None
            found.dropped[getattr(error, "reason", "label not trained on")] += 1
            found.problems.append(f"{problem} ({error.hint})" if error.hint else problem)
            continue
        kept.append(example)
    found.test = kept
    if not kept:
        raise _none("test", found)


def _none(part: str, found: ExampleSet) -> DataError:
    return DataError(
        f"finetune.{part}: no usable example ({_told(found.dropped) or 'the files are empty'})",
        hint="; ".join(found.problems[:3]) or "name files with examples",
    )


def _trained_on(labels: set[str]) -> Check:
    def check(examples: Sequence[Example]) -> None:
        for example in examples:
            if example["label"] not in labels:
                hint = meant(example["label"], sorted(labels))
                raise DataError(f"{example.place}: label {example['label']!r}", hint=hint)

    return check


def meant(label: str, known: Sequence[str]) -> str:
    """The hint at a label that is not known: which one may be meant, or the first of those that are.

    >>> meant("posit", ["negative", "positive"]), meant("x", ["negative", "positive"])
    ("did you mean 'positive'?", 'known: negative, positive')
    """
    return did_you_mean(label, known) or f"known: {', '.join(known[:20])}"


def _told(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
