"""What labelled examples are like, before anything is trained on them: lengths, labels, doubtful labels,
duplicates between training and test set, contradictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from liju.finetune.duplicates import letters, near_pairs
from liju.finetune.examples import Example, ExampleSet
from liju.finetune.repeats import judged
from liju.ngram import NgramClassifier
from liju.samples import key_of
from liju.vocab import Tokenizer

__all__ = ["doubtful", "inspect", "told"]

ENOUGH = 20_000  # examples that are looked at closely; the first by their hash
SHOWN = 20  # of each kind
SEEN = ("text", "pair", "source", "question", "context")


def inspect(examples: ExampleSet, tokenizer: Tokenizer, max_length: int) -> dict[str, Any]:
    """The figures, and with each kind of problem the first examples of it by file and line.

    Nothing is changed and no test example's answer is used but for its own report.
    """
    train = _some(examples.train)
    labels = Counter(example.values["label"] for example in examples.train if "label" in example.values)
    found: dict[str, Any] = {
        "examples": len(examples.train),
        "looked_at": len(train),
        "lengths": _lengths(train, tokenizer, max_length),
        "labels": dict(labels.most_common()),
        "odd_labels": _odd_labels(list(labels)),
        "between": _between(train, _some(examples.test)),
        "contradictions": _contradictions(train),
    }
    if len(labels) > 1 and len(labels) <= 50:
        found["doubtful"] = doubtful(train)
    return found


def _some(examples: Sequence[Example]) -> Sequence[Example]:
    if len(examples) <= ENOUGH:
        return examples
    return sorted(examples, key=lambda one: key_of("inspected", one.input))[:ENOUGH]


def _lengths(examples: Sequence[Example], tokenizer: Tokenizer, max_length: int) -> dict[str, Any]:
    """Tokens of the inputs with special ones."""
    sizes = np.zeros(len(examples), np.int64)
    for name in SEEN:
        there = [at for at, example in enumerate(examples) if name in example.values]
        if name == "text" and any("source" in example.values for example in examples):
            continue
        ids = tokenizer.encode_batch([examples[at][name] for at in there])
        for at, one in zip(there, ids, strict=True):
            sizes[at] += len(one) + (2 if sizes[at] == 0 else 1)
    longest = int(sizes.argmax())
    return {
        "median": float(np.median(sizes)),
        "95 %": float(np.percentile(sizes, 95)),
        "longest": int(sizes.max()),
        "at": examples[longest].place,
        "limit": max_length,
        "over": int((sizes > max_length).sum()),
    }


def _short(example: Example, most: int = 100) -> str:
    text = " | ".join(example.values[name] for name in SEEN if name in example.values)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _between(train: Sequence[Example], test: Sequence[Example]) -> dict[str, Any]:
    """Test examples that stand in the training set but for spaces, case and punctuation, or nearly."""
    texts = [example.input for example in [*train, *test]]
    found: dict[int, tuple[int, float]] = {}
    # A training text may stand behind another of the same letters: what counts is each test example's best.
    for one, other, alike in near_pairs(texts):
        if one < len(train) <= other and alike > found.get(other, (0, 0.0))[1]:
            found[other] = one, alike
    rows = [
        {
            "place": test[at - len(train)].place,
            "other": train[one].place,
            "alike": round(alike, 3),
            "text": _short(test[at - len(train)]),
        }
        for at, (one, alike) in sorted(found.items(), key=lambda item: (-item[1][1], item[0]))
    ]
    same = sum(row["alike"] == 1 for row in rows)
    return {"same": same, "near": len(rows) - same, "test": len(test), "examples": rows[:SHOWN]}


def _contradictions(train: Sequence[Example]) -> dict[str, Any]:
    """Training examples with the same letters and another label, other labels or tags, or another score."""
    groups: dict[str, list[Example]] = {}
    for example in train:
        if judged(example) and letters(example.input):
            groups.setdefault(letters(example.input), []).append(example)
    rows = []
    for members in groups.values():
        if any(_judgement(example) != _judgement(members[0]) for example in members[1:]):
            places = ", ".join(f"{example.place} {_answer(example)!r:.60}" for example in members[:4])
            rows.append({"places": places, "text": _short(members[0])})
    return {"count": len(rows), "examples": rows[:SHOWN]}


def _judgement(example: Example) -> dict[str, Any]:
    """How an example is judged; of tags those of words with letters."""
    found = judged(example)
    if "tags" in found and "words" in example.values:
        pairs = zip(example["words"].split(), example["tags"].split(), strict=False)
        found["tags"] = [(letters(word), tag) for word, tag in pairs if letters(word)]
    return found


def _answer(example: Example) -> str:
    return " ".join(example[name] for name in judged(example))


# What tables and programs write where there is nothing.
_NOTHING = ("nan", "none", "null", "n/a", "na", "nil")


def _odd_labels(labels: Sequence[str]) -> list[list[str]]:
    """Labels that may be one label (1 and 1.0, True and true), and each that may mean that there is none.

    >>> _odd_labels(["1", "1.0", "good", "Good ", "nan", "2"])
    [['1', '1.0'], ['good', 'Good '], ['nan']]
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        plain = letters(label) or label
        with suppress(ValueError):
            plain = f"{float(label):g}"
        groups.setdefault(plain, []).append(label)
    return [group for group in groups.values() if len(group) > 1 or group[0].strip().casefold() in _NOTHING]


def doubtful(examples: Sequence[Example], parts: int = 5, order: int = 4) -> dict[str, Any]:
    r"""Labels that a classifier which has not seen the example doubts: confident learning (Northcutt, Jiang &
    Chuang 2021, arXiv:1911.00068).

    $\hat p(x)$ is that of an n-gram classifier trained on the other parts. The threshold of label $j$ is the
    mean of $\hat p_j(x)$ over the examples labelled $j$. Among the examples labelled $i$ that have some label
    above its threshold, the share for which the likeliest such label is $j$ says how many of all that are
    labelled $i$ are $j$: so many, those with the largest $\hat p_j(x) - \hat p_i(x) > 0$, are doubtful.

    >>> rows = [Example({"text": f"good day {i}", "label": "+"}, f"x:{i}") for i in range(9)]
    >>> rows += [Example({"text": f"bad luck {i}", "label": "-"}, f"y:{i}") for i in range(9)]
    >>> rows += [Example({"text": "good days", "label": "-"}, "z:1")]
    >>> [one["place"] for one in doubtful(rows)["examples"]]
    ['z:1']
    """
    labels = sorted({example["label"] for example in examples})
    texts, number = [example.input for example in examples], {name: i for i, name in enumerate(labels)}
    given = np.array([number[example["label"]] for example in examples])
    keys = np.argsort([key_of("doubt", letters(text)) for text in texts], kind="stable")
    part = np.empty(len(texts), np.int64)
    part[keys] = np.arange(len(texts)) % parts
    p = np.zeros((len(texts), len(labels)))
    for one in range(parts):
        rest, held = np.flatnonzero(part != one), np.flatnonzero(part == one)
        if not len(held) or not len(rest):
            continue
        model = NgramClassifier(order).fit([texts[i] for i in rest], [labels[given[i]] for i in rest])
        logs = model.logprob([texts[i] for i in held])
        # Every n-gram counts as evidence of its own, which it is not: the mean over the text is less sure.
        logs = logs / np.sqrt(np.maximum([[len(texts[i])] for i in held], 1))
        chance = np.exp(logs - logs.max(axis=1, keepdims=True))
        columns = [number[name] for name in model.labels]
        p[held[:, None], columns] = chance / chance.sum(axis=1, keepdims=True)
    thresholds = np.array([p[given == j, j].mean() for j in range(len(labels))])
    sure = np.where(p >= thresholds, p, -1.0)
    likeliest, any_is = sure.argmax(axis=1), sure.max(axis=1) > 0
    joint = np.zeros((len(labels), len(labels)))
    np.add.at(joint, (given[any_is], likeliest[any_is]), 1)
    counts = np.bincount(given, minlength=len(labels))
    joint *= (counts / np.maximum(joint.sum(axis=1), 1))[:, None]  # of all examples, not of those counted
    picked: dict[int, tuple[float, int]] = {}
    for i in range(len(labels)):
        for j in range(len(labels)):
            own = np.flatnonzero(given == i)
            margin = p[own, j] - p[own, i]
            most = np.argsort(-margin, kind="stable")[: 0 if i == j else round(joint[i, j])]
            for at, by in zip(own[most].tolist(), margin[most].tolist(), strict=True):
                if by > picked.get(at, (0.0, 0))[0]:
                    picked[at] = by, j
    chosen = sorted(picked, key=lambda at: (-picked[at][0], at))
    rows = [
        {
            "place": examples[i].place,
            "label": labels[given[i]],
            "likelier": labels[picked[i][1]],
            "text": _short(examples[i]),
        }
        for i in chosen[:SHOWN]
    ]
    right = float((p.argmax(axis=1) == given).mean())
    return {"count": len(chosen), "accuracy": round(right, 4), "examples": rows}


def told(found: dict[str, Any]) -> list[str]:
    """The short form, a line of the story each."""
    sizes, between = found["lengths"], found["between"]
    over = f", {sizes['over']:,} over the {sizes['limit']} of model.max_length" if sizes["over"] else ""
    lines = [
        f"tokens: median {sizes['median']:.0f}, 95 % up to {sizes['95 %']:.0f}, "
        f"longest {sizes['longest']:,} ({sizes['at']}){over}"
    ]
    labels = found["labels"]
    if labels:
        most = list(labels.items())
        shown = ", ".join(f"{name} {count:,}" for name, count in most[:6])
        more = f" and {len(most) - 6} more" if len(most) > 6 else ""
        ratio = most[0][1] / most[-1][1]
        lines.append(
            f"labels: {shown}{more}" + (f"; {ratio:.0f} to 1: see finetune.balance" if ratio >= 5 else "")
        )
    for group in found.get("odd_labels", [])[:3]:
        shown = ", ".join(f"{name!r} {labels[name]:,}" for name in group[:4])
        what = "labels that may be one" if len(group) > 1 else "a label that may mean that there is none"
        lines.append(f"{what}: {shown}")
    if between["same"] or between["near"]:
        first = between["examples"][0]
        lines.append(
            f"test examples in the training set but for spaces and punctuation: {between['same']:,}; "
            f"nearly: {between['near']:,}; e.g. {first['place']} and {first['other']}"
        )
    contradictions = found["contradictions"]
    if contradictions["count"]:
        first = contradictions["examples"][0]
        other = "label" if labels else "answer"
        lines.append(f"same words, another {other}: {contradictions['count']:,}, e.g. {first['places']}")
    doubt = found.get("doubtful")
    if doubt and doubt["count"]:
        first = doubt["examples"][0]
        lines.append(
            f"doubtful labels: {doubt['count']:,}, e.g. {first['place']} {first['label']!r}, "
            f"likelier {first['likelier']!r}"
        )
    return lines
