"""Examples with the same input: copies, contradictions, and further answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from liju.finetune.reading import Example

__all__ = ["Repeats", "judged", "one_each", "unique"]

# How an example is judged, by field, and what to call several of them. Two judgements contradict each other.
JUDGED = {"label": "labels", "labels": "labels", "tags": "tags", "score": "scores"}
# What is to be written, or told apart: there may be several for one input.
WRITTEN = ("target", "summary", "answer", "answers", "negative")

# The examples that are kept; how many others there are, by reason; what is to be told by file and line.
Repeats = tuple[list[Example], Counter[str], list[str]]


def judged(example: Example) -> dict[str, Any]:
    """The judgements of an example, so that equal ones are equal: 2.5 is 2.50.

    >>> judged(Example({"text": "a", "score": "2.50"}, "x:1"))
    {'score': 2.5}
    """
    values: dict[str, Any] = {name: example.values[name] for name in JUDGED if name in example.values}
    if "tags" in values:
        values["tags"] = example.values.get("words"), values["tags"]
    if "score" in values:
        with suppress(ValueError):  # the task refuses what is no number
            values["score"] = float(values["score"])
    return values


def unique(examples: Sequence[Example]) -> Repeats:
    """The examples without copies, and without those that contradict each other: of two judgements of one
    input all go, and so do a question's answers where another row says that it has none. Different texts to
    be written are different examples.

    >>> rows = [("a", "x"), ("a", "x"), ("b", "x"), ("b", "y")]
    >>> rows = [Example({"text": t, "label": l}, f"x:{i}") for i, (t, l) in enumerate(rows, 1)]
    >>> kept, dropped, told = unique(rows)
    >>> [example.place for example in kept], dict(dropped)
    (['x:1'], {'same text with different labels': 2, 'duplicate': 1})
    >>> told
    ['x:3 and x:4: same text with different labels']
    """
    dropped: Counter[str] = Counter()
    told: list[str] = []
    kept: list[Example] = []
    seen: set[tuple[str, tuple[str, ...]]] = set()
    wrong = {
        text: what
        for text, members in _by_input(examples).items()
        if len(members) > 1 and (what := _contradiction(members, told))
    }
    for what in wrong.values():
        dropped[what] = 0
    for example in examples:
        key = example.input, _written(example)
        if what := wrong.get(example.input):
            dropped[what] += 1
        elif key in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(key)
            kept.append(example)
    return kept, dropped, told


def one_each(examples: Sequence[Example]) -> Repeats:
    """One example for each input, as a test set needs it, where an input is answered once: the answers to one
    question become references of it; of other texts to be written the first is the one to score by.

    >>> rows = [Example({"question": "Who?", "answers": f'["{name}"]'}, "x:1") for name in ("Ada", "A. L.")]
    >>> one_each(rows)[0][0]["answers"]
    '["Ada", "A. L."]'
    """
    kept: list[Example] = []
    dropped: Counter[str] = Counter()
    told: list[str] = []
    for first, *others in _by_input(examples).values():
        if others and "answers" in first.values:
            found = [one for example in (first, *others) for one in json.loads(example["answers"])]
            distinct = [one for at, one in enumerate(found) if one not in found[:at]]
            answers = json.dumps(distinct, ensure_ascii=False)
            kept.append(replace(first, values={**first.values, "answers": answers}))
            told += [f"{one.place}: a further answer to {first.place}, a reference of it" for one in others]
            dropped["further answer, now a reference"] += len(others)
        else:
            kept.append(first)
            told += [f"{one.place}: another text to write for {first.place}, held out" for one in others]
            dropped["another text for a test example"] += len(others)
    return kept, dropped, told


def _by_input(examples: Sequence[Example]) -> dict[str, list[Example]]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.input, []).append(example)
    return groups


def _written(example: Example) -> tuple[str, ...]:
    return tuple(f"{name}\x1f{example.values[name]}" for name in WRITTEN if name in example.values)


def _contradiction(members: Sequence[Example], told: list[str]) -> str:
    """In which way examples with one input contradict each other, if they do."""
    what = ""
    first = judged(members[0])
    for other in map(judged, members[1:]):
        for name in JUDGED:
            if first.get(name) != other.get(name):
                what = what or f"same text with different {JUDGED[name]}"
    if len({example.values.get("answers") == "[]" for example in members}) > 1:
        what = "same question with and without an answer"
    if what:
        places = " and ".join(example.place for example in members[:4])
        more = f" and {len(members) - 4} more" if len(members) > 4 else ""
        told.append(f"{places}{more}: {what}")
    return what
