"""The measures of a task's answers: what intervals, paired tests, slices and worst mistakes are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liju.evaluate import (
    METRICS,
    Calibration,
    Measure,
    Metric,
    Slice,
    calibration,
    calibration_of_labels,
    groups_of,
    mean_measure,
    slices,
    whole,
    worst,
)
from liju.finetune import Answer, Example, Task

__all__ = ["calibration_of", "measures_of", "metric_named", "mistakes_of", "shown", "sliced"]

# Fields that hold the right answer.
EXPECTED = ("label", "labels", "score", "target", "tags", "summary", "answer", "answers")
# Resamples of an interval: its ends move by less than a tenth of its width from one draw to the next.
RESAMPLES = 1000


def measures_of(task: Task, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
    """The measures of one system's answers, by the name of the metric; the task's main metric first.

    A task that says nothing of them has the share of right answers, or none.

    >>> from liju.finetune import Classification
    >>> test = [Example({"text": "a", "label": "pos"}, "x:1"), Example({"text": "b", "label": "neg"}, "x:2")]
    >>> found = measures_of(Classification(["neg", "pos"], 16), [{"label": "pos"}] * 2, test)
    >>> {name: round(measure.value, 3) for name, measure in found.items()}
    {'accuracy': 0.5, 'macro_f1': 0.333, 'matthews': 0.0}
    """
    own = getattr(task, "measures", None)
    if own is not None:
        return own(answers, examples)
    right = [task.right(answer, example) for answer, example in zip(answers, examples, strict=True)]
    if any(one is None for one in right):
        return {}
    return {"accuracy": mean_measure([float(bool(one)) for one in right])}


# Tasks whose answer has the probability of being right, and what is right then. The score of a sentence's
# tags is the mean over its words, of no one answer.
SURE = {
    "classification": "",
    "answering": "Right: one of the references, to the letter.",
    "multilabel": "Each label of each text: how likely it is said to be, and how often it is there.",
}


def calibration_of(
    task: Task, answers: Sequence[Answer], examples: Sequence[Example], bins: int = 10
) -> tuple[Calibration | None, str]:
    """Whether answers are right as often as their probability says, where they have one; and what was asked.

    >>> from liju.finetune import Classification
    >>> test = [Example({"text": "a", "label": "pos"}, "x:1"), Example({"text": "b", "label": "neg"}, "x:2")]
    >>> given = [{"label": "pos", "score": 0.75}] * 2
    >>> calibration_of(Classification(["neg", "pos"], 16), given, test)[0].error
    0.25
    """
    sure = [float(answer["score"]) for answer in answers if answer.get("score") is not None]
    if task.name not in SURE or len(sure) < len(answers) or np.isnan(sure).any():
        return None, ""
    if task.name == "multilabel":
        expected = [json.loads(example["labels"]) for example in examples]
        found = calibration_of_labels([answer["scores"] for answer in answers], expected, bins)
        return found, SURE[task.name]
    right = [bool(task.right(answer, example)) for answer, example in zip(answers, examples, strict=True)]
    return calibration(np.minimum(sure, 1.0).tolist(), right, bins), SURE[task.name]  # 1 + a rounding


def metric_named(name: str) -> Metric:
    """How a metric is shown; one that METRICS does not know, as it is.

    >>> metric_named("bleu").title, metric_named("novelty").title
    ('BLEU', 'novelty')
    """
    return METRICS.get(name) or Metric(name, name, digits=3)


def sliced(
    measures: dict[str, Measure], examples: Sequence[Example], resamples: int = RESAMPLES
) -> list[tuple[str, Slice, list[Slice]]]:
    """The main metric on the whole test set and on its parts, by length, label and language: name, whole,
    parts. Nothing where the examples cannot be cut."""
    groups = groups_of([example.values for example in examples])
    if not measures or not groups:
        return []
    name, measure = next(iter(measures.items()))
    if name == "bleu" and "chrf" in measures:  # BLEU of a few sentences says little
        name, measure = "chrf", measures["chrf"]
    return [(name, whole(measure, resamples=resamples), slices(measure, groups, resamples=resamples))]


def mistakes_of(
    task: Task,
    answers: Sequence[Answer],
    examples: Sequence[Example],
    measures: dict[str, Measure],
    most: int = 12,
) -> tuple[str, list[dict[str, Any]]]:
    """What the worst mistakes are, and they themselves as values of the report's `Example`.

    Of answers that are right or wrong: the wrong ones, the surest first. Of others: those with the worst
    value of the main metric on their own (a translation's chrF, a text's bits per byte).
    """
    right = [task.right(answer, example) for answer, example in zip(answers, examples, strict=True)]
    if any(one is False for one in right):
        sure = [answer.get("score") for answer in answers]
        scores = [-float(s or 0) if r is False else np.nan for s, r in zip(sure, right, strict=True)]
        chosen, says = worst(scores, most), "Wrong answers, the surest first."
        return says, [shown(answers[at], examples[at], False) for at in chosen]
    # A correlation says nothing of one example.
    told = (name for name, measure in measures.items() if not np.isnan(measure.each).all())
    name = "chrf" if "chrf" in measures else next(told, "")
    if not name or None not in right:
        return "", []
    measure, metric = measures[name], metric_named(name)
    each = measure.each * (1 if measure.higher_is_better else -1)
    chosen = [at for at in worst(each.tolist(), most) if right[at] is not True]
    says = (
        f"Those with the {'lowest' if measure.higher_is_better else 'highest'} {metric.title} on their own."
    )
    rows = []
    for at in chosen:
        value = f"{measure.each[at] * metric.scale:.{metric.digits}f}"
        rows.append({**shown(answers[at], examples[at], None), "note": f"{metric.title} {value}"})
    return says, rows


def _snippet(answer: Answer, values: Mapping[str, str], around: int = 100) -> str:
    """The part of a context where the answer is; its beginning where that is not in it."""
    context, place = values["context"], answer.get("begin")
    if place is None:
        place = max(0, context.find(str(answer.get("text", ""))))
    begin, end = max(0, place - around), min(len(context), place + 2 * around)
    return f"{'…' if begin else ''}{context[begin:end]}{'…' if end < len(context) else ''}"


def shown(answer: Answer, example: Example, right: bool | None) -> dict[str, Any]:
    """An example and its answer as values of the report's `Example`."""
    values = example.values
    expected = next((values[name] for name in EXPECTED if name in values), "")
    answered = str(answer.get("label", answer.get("text", "")))
    if "begin" in answer and "answers" in values:  # characters of a context: the first reference
        known = json.loads(values["answers"])
        expected = known[0]["text"] if known else "(no answer)"
        answered = answered or "(no answer)"
    return {
        "text": values.get("text", values.get("source", values.get("question", ""))),
        "pair": values.get("pair", _snippet(answer, values) if "context" in values else ""),
        "expected": expected,
        "answered": answered,
        "score": answer.get("score"),
        "right": right,
        "place": example.place,
    }
