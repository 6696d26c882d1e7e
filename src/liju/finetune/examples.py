"""Labelled examples: read, checked, and split so that nothing held out is trained on (law 8)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liju.config import Finetune
from liju.errors import DataError, did_you_mean
from liju.finetune.reading import Example, FromRow, Reader, Unusable, example_of, known_fields, leave_out
from liju.finetune.repeats import Repeats, one_each, unique
from liju.samples.order import key_of, random_of
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

    def left_out(self, repeats: Repeats) -> list[Example]:
        """Note what `unique` and `one_each` leave out; gives what they keep."""
        kept, dropped, told = repeats
        self.dropped.update(dropped)
        self.problems += told
        return kept

    def report(self) -> dict[str, Any]:
        """For the run's report: the first hundred problems, and how many there are."""
        return {
            "train": len(self.train),
            "test": len(self.test),
            "dropped": dict(self.dropped),
            "problems": self.problems[:100],
            "problem_count": len(self.problems),
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

    Exact copies are dropped before the split, and so are examples that contradict each other (`unique`); a
    test set has each input once (`one_each`). Without a test set, examples are held out by the hash of
    their input, so that equal inputs always fall on one side, and so do all questions on one context. An
    input that stands in both sets stays in the test set alone. `needed` fields must be there and not empty,
    a `pair` must be there where other training examples have one, and a held-out label must be one to train
    on, or the row is counted and reported with file and line (with errors="stop": DataError).
    `settings.limit` keeps an example of every label. `from_row` makes an example's values of a row's. Of
    `may_be_empty` fields only the column must be there.

    Raises DataError for a name in `settings.fields` that is no field, and for a column named there that no
    row has.
    """
    known_fields(settings.fields, (*needed, *optional))
    found = ExampleSet([], [])
    reader = Reader(settings.fields, needed, optional, base, errors, found, from_row, may_be_empty)
    train, test = reader.read(settings.train), reader.read(settings.test)
    if train or test:
        reader.missing()
    if "pair" in optional and any("pair" in example.values for example in train):
        train, test = (_with_pair(part, found, errors) for part in (train, test))
    if settings.test:
        test = found.left_out(unique(test))
        held = {example.input for example in test}
        kept = [example for example in train if example.input not in held]
        found.dropped["also in the test set"] += len(train) - len(kept)
        train = found.left_out(unique(kept))
    else:
        train = found.left_out(unique(train))
        bound = int(settings.test_share * 2**64)
        test = [example for example in train if key_of("held out", example.group) < bound]
        train = [example for example in train if key_of("held out", example.group) >= bound]
        if bool(train) != bool(test):
            raise _one_side(len(train or test), settings.test_share, "test" if train else "train")
    found.test = found.left_out(one_each(test))
    if not train or not test:
        raise _none("train" if not train else "test", found)
    if "label" in needed:
        leave_out_unknown(found, _trained_on({example["label"] for example in train}), errors)
    found.train = _limited(train, settings.limit, seed, found)
    return found


def _limited(train: list[Example], limit: int, seed: int, found: ExampleSet) -> list[Example]:
    """`limit` of the examples, drawn by the seed, one of every label at least; 0: all."""
    if not limit or len(train) <= limit:
        return train
    drawn = random_of("limit", seed, len(train)).permutation(len(train)).tolist()
    first = set({train[i].values.get("label"): i for i in reversed(drawn)}.values())
    if len(first) > limit:
        raise DataError(
            f"finetune.limit: {limit} {'example' if limit == 1 else 'examples'} of {len(first)} labels",
            hint="one of each at least; 0 takes all examples",
        )
    chosen = sorted(drawn, key=lambda i: i not in first)[:limit]
    found.dropped["over finetune.limit"] += len(train) - limit
    return [train[i] for i in sorted(chosen)]


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


def _with_pair(examples: Sequence[Example], found: ExampleSet, errors: str) -> list[Example]:
    kept = []
    for example in examples:
        if "pair" in example.values:
            kept.append(example)
            continue
        error = _no_pair(example)
        if errors == "stop":
            raise error
        leave_out(found, error)
    return kept


def _no_pair(example: Example) -> Unusable:
    return Unusable(f"{example.place}: no pair", "examples that are trained on have one", "no pair")


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
                raise _no_pair(example)

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
            reason = getattr(error, "reason", "label not trained on")
            if errors == "stop":
                raise Unusable(problem, error.hint, reason) from None
            found.dropped[reason] += 1
            found.problems.append(f"{problem} ({error.hint})" if error.hint else problem)
            continue
        kept.append(example)
    found.test = kept
    if not kept:
        raise _none("test", found)


def _one_side(count: int, share: float, part: str) -> DataError:
    which = "is held out" if part == "test" else "is left to train on"
    return DataError(
        f"finetune.{part}: of {count} {'example' if count == 1 else 'different examples'} none {which} "
        f"(test_share {share:g})",
        hint="more examples, another finetune.test_share, or files of their own in finetune.test",
    )


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
