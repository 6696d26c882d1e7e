"""The labelled examples in `report.html`: what was left out and where, and what the others are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liju.evaluate import Inspected
from liju.finetune.thresholds import LEAST

__all__ = ["examples_story", "left_out"]


def examples_story(tuned: Mapping[str, Any]) -> list[Inspected]:
    """All that the summary of a fine-tuning tells of its examples."""
    return [
        *left_out(tuned["examples"]),
        *_too_long(tuned),
        *_inspected(tuned.get("inspection")),
        *_thresholds(tuned.get("thresholds")),
    ]


def left_out(examples: Mapping[str, Any]) -> list[Inspected]:
    """Labelled examples that were left out or mended: how many and why, and each by file and line.

    `examples`: the counts `dropped` and `mended`, the `problems`, and how many there were of these.
    """
    found = []
    for title, name in {"Left out": "dropped", "Mended": "mended"}.items():
        rows = [[why, count] for why, count in examples.get(name, {}).items() if count]
        found += [Inspected(title, ["why", "examples"], rows)] if rows else []
    problems = examples.get("problems", [])
    if problems:
        count = examples.get("problem_count", len(problems))
        note = f"The first {len(problems):,} of {count:,}." if count > len(problems) else ""
        rows = [[problem] for problem in problems]
        found.append(Inspected("Where, and what is wrong", ["file, line, problem"], rows, note))
    return found


def _too_long(tuned: Mapping[str, Any]) -> list[Inspected]:
    """Examples that were too long for the model, by file and line."""
    found = []
    for title, name in {"Too long: not trained on": "too_long", "Too long: cut": "shortened"}.items():
        if tuned.get(name):
            places = tuned.get(f"{name}_at", [])
            note = f"{tuned[name]:,}" + (
                f", the first {len(places):,} of them:" if tuned[name] > len(places) else ""
            )
            found.append(Inspected(title, ["place"], [[place] for place in places], note))
    return found


def _inspected(seen: dict[str, Any] | None) -> list[Inspected]:
    """The look at the labelled examples before training, each kind of problem with its first examples."""
    if not seen:
        return []
    sizes, between, doubt = seen["lengths"], seen["between"], seen.get("doubtful")
    names = ("median", "95 %", "longest", "over")
    found = [
        Inspected(
            "Lengths",
            ["median", "95 %", "longest", f"over {sizes['limit']}"],
            [[round(sizes[name]) for name in names]],
            f"Tokens of {seen['looked_at']:,} training examples. The longest is {sizes['at']}.",
        )
    ]
    if seen["labels"]:
        total = sum(seen["labels"].values())
        rows = [[name, count, f"{100 * count / total:.1f} %"] for name, count in seen["labels"].items()]
        found.append(Inspected("Labels", ["label", "examples", "share"], rows[:50]))
    found.append(
        Inspected(
            "Test examples in the training set",
            ["test", "training", "alike", "text"],
            [[row["place"], row["other"], row["alike"], row["text"]] for row in between["examples"]],
            f"Of {between['test']:,}: {between['same']:,} but for spaces, case and punctuation, "
            f"{between['near']:,} nearly. Exact copies were taken out of the training set.",
        )
    )
    if seen["contradictions"]["count"]:
        rows = [[row["places"], row["text"]] for row in seen["contradictions"]["examples"]]
        found.append(Inspected("Same words, another label", ["places", "text"], rows))
    if doubt and doubt["count"]:
        rows = [[row["place"], row["label"], row["likelier"], row["text"]] for row in doubt["examples"]]
        note = (
            f"{doubt['count']:,} labels are doubted by an n-gram classifier that has not seen the example; "
            f"it is right about {100 * doubt['accuracy']:.1f} % of all. The most doubtful first."
        )
        found.append(Inspected("Doubtful labels", ["place", "label", "likelier", "text"], rows, note))
    return found


def _thresholds(found: dict[str, float] | None) -> list[Inspected]:
    """From which probability on each label is said, where that was chosen."""
    if not found:
        return []
    note = (
        "A text has a label where its probability is above this: the best F1 of the label on the validation "
        f"part, which is of the training examples; 1/2 with fewer than {LEAST} of them there."
    )
    rows = [[label, f"{at:.3f}"] for label, at in found.items()]
    return [Inspected("Thresholds", ["label", "threshold"], rows[:100], note)]
