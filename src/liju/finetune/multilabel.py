"""Classification with several labels, or none, for each text (topics, toxicity, kinds of complaints)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import (
    Measure,
    accuracy_measure,
    f1_measure,
    label_scores,
    multilabel_f1,
    subset_accuracy,
)
from liju.finetune.classification import Labelled, ask_pairs, outputs_of
from liju.finetune.examples import Example, meant
from liju.finetune.task import Answer, Baseline
from liju.finetune.thresholds import HALF, f1_threshold
from liju.model import Transformer
from liju.ngram import NgramClassifier
from liju.vocab import Tokenizer

__all__ = ["Multilabel", "labels_in"]


def labels_in(text: str) -> list[str]:
    """The labels that a field holds, sorted: parted by commas, a JSON list, or the keys of a JSON object with
    the value true, 1, or spans (those with false, 0 or null are not meant).

    Raises DataError for a list or an object that is not whole, and for another value of a label.

    >>> labels_in("sport, money"), labels_in('["Film, TV"]'), labels_in("")
    (['money', 'sport'], ['Film, TV'], [])
    >>> labels_in('{"toxic": false, "rude": true}')
    ['rude']
    """
    found: Any = text.split(",")
    if text.strip().startswith(("[", "{")):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            found = [label for label, value in found.items() if _has(text, label, value)]
        if not isinstance(found, list) or not all(type(one) in (str, int) for one in found):
            hint = 'sport,money or ["sport", "money"]'
            raise DataError(f"labels {text!r:.60} are no list of labels", hint=hint)
    return sorted({str(label).strip() for label in found} - {""})


def _has(text: str, label: str, value: Any) -> bool:
    """Whether the value beside a label says that the text has it."""
    if isinstance(value, dict | list):  # its spans
        return True
    if value not in (None, False, True):  # 0 and 1 equal them
        raise DataError(
            f"labels {text!r:.60}: {label!r} is {value!r:.20}, neither yes nor no",
            hint="true or false, 1 or 0",
        )
    return bool(value)


def _of(example: Example) -> list[str]:
    try:
        return labels_in(example.values.get("labels", ""))
    except DataError as error:
        raise DataError(f"{example.place}: {error.message}", hint=error.hint) from None


class Multilabel:
    """Each label yes or no by itself. A text has a label where its probability is above the label's
    threshold: the one with the best F1 on the validation part, where there is one (`f1_threshold`), else 1/2.
    A request may name another `threshold` for all."""

    name = "multilabel"
    metric = "micro_f1"
    higher_is_better = True
    shown: tuple[str, ...] = ("micro_f1", "macro_f1", "subset_accuracy")
    options: dict[str, Any] = {"threshold": HALF}  # noqa: RUF012
    asked: tuple[str, ...] = ("text", "pair")
    needed: tuple[str, ...] = ("text", "labels")
    optional: tuple[str, ...] = ("pair",)
    may_be_empty: tuple[str, ...] = ("labels",)

    def __init__(
        self,
        labels: Sequence[str],
        max_length: int,
        pairs: bool = False,
        thresholds: Mapping[str, float] | None = None,
    ):
        self.labels, self.max_length, self.pairs = list(labels), max_length, pairs
        self._choose(thresholds)

    def _choose(self, thresholds: Mapping[str, float] | None) -> None:
        """thresholds: of each label; None: 1/2 for all."""
        self.thresholds = None
        if thresholds is not None:
            self.thresholds = {label: float(thresholds.get(label, HALF)) for label in self.labels}
        # Where each label has its own, no one number is what a request has without it.
        self.options = {"threshold": HALF if thresholds is None else None}

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Multilabel:
        labels = sorted({label for example in examples for label in _of(example)})
        if not labels:
            raise DataError(
                "finetune.train: no example has a label", hint="name the column: fields.labels = '...'"
            )
        return cls(labels, max_length, any("pair" in example.values for example in examples))

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Multilabel:
        return cls(
            values["labels"], values["max_length"], values.get("pairs", False), values.get("thresholds")
        )

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "labels": self.labels,
            "max_length": self.max_length,
            "pairs": self.pairs,
            **({} if self.thresholds is None else {"thresholds": self.thresholds}),
        }

    def prepare(self, model: Transformer) -> None:
        model.add_head("label", len(self.labels))
        self._choose(None)  # those of another training say nothing of this one

    def settle(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        validation: Sequence[Example] = (),
    ) -> None:
        """Choose each label's threshold on the validation part; without one all stay at 1/2."""
        if not validation:
            return
        self.check(validation)
        inputs = [example.values for example in validation]
        table = outputs_of(model, tokenizer, inputs, self.max_length)[0].sigmoid().T.tolist()
        own = [_of(example) for example in validation]
        self._choose(
            {
                label: f1_threshold(row, [label in labels for labels in own])
                for label, row in zip(self.labels, table, strict=True)
            }
        )

    @staticmethod
    def from_row(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """An example's values of a row's, its labels as a JSON list. Raises DataError where they are none."""
        stripped = {name: value.strip() for name, value in values.items()}
        labels = json.dumps(labels_in(stripped.get("labels", "")), ensure_ascii=False)
        return {**stripped, "labels": labels}, []

    def check(self, examples: Sequence[Example]) -> None:
        """Raise DataError for a label that training did not have."""
        known = set(self.labels)
        for example in examples:
            for label in _of(example):
                if label not in known:
                    hint = meant(label, self.labels)
                    raise DataError(f"{example.place}: unknown label {label!r}", hint=hint)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Labelled:
        self.check(examples)
        rows = []
        for example in examples:
            own = _of(example)
            flags = [float(label in own) for label in self.labels]
            rows.append((example["text"], example.values.get("pair", ""), flags))
        loss = "focal-flags" if settings.balance == "focal" else "flags"
        decoder = tokenizer.cls is None
        return Labelled(rows, tokenizer, self.max_length, decoder=decoder, seed=seed, loss=loss)

    def answer(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        inputs: Sequence[dict[str, str]],
        settings: Evaluate,
        threshold: float | None = None,
    ) -> list[Answer]:
        if threshold is not None and not 0 <= threshold <= 1:
            raise RequestError(f"threshold: {threshold} is no probability", hint="between 0 and 1")
        ask_pairs(inputs, self.pairs)
        if not inputs:
            return []
        outputs, shortened = outputs_of(model, tokenizer, inputs, self.max_length)
        above = self.thresholds if threshold is None else dict.fromkeys(self.labels, threshold)
        above = above or dict.fromkeys(self.labels, HALF)
        answers = []
        for row, cut in zip(outputs.sigmoid().tolist(), shortened, strict=True):
            scores = dict(zip(self.labels, row, strict=True))
            labels = [label for label, score in scores.items() if score > above[label]]
            # The probability of the least likely of the yeses and noes that are said.
            score = min(p if label in labels else 1 - p for label, p in scores.items())
            answers.append({**_told(labels), "score": score, "scores": scores})
            if cut:
                answers[-1]["shortened"] = True
        return answers

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        self.check(examples)
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        """Micro and macro F1, the share of texts with all labels right, and the F1 of each label."""
        got, want = [a["labels"] for a in answers], [_of(e) for e in examples]
        return {
            "micro_f1": multilabel_f1(got, want, "micro"),
            "macro_f1": multilabel_f1(got, want, "macro"),
            "subset_accuracy": subset_accuracy(got, want),
            **{f"f1 of {one.label}": one.f1 for one in label_scores(got, want)},
        }

    def right(self, answer: Answer, example: Example) -> bool:
        return answer["labels"] == _of(example)

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        got, want = [a["labels"] for a in answers], [_of(e) for e in examples]
        return {
            "micro_f1": f1_measure(got, want, "micro", self.labels),
            "macro_f1": f1_measure(got, want, "macro", self.labels),
            "subset_accuracy": accuracy_measure(got, want),
        }

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The most frequent label, and for each label an n-gram model of the texts with and without it."""
        order, found = 4, []
        counts = Counter(label for example in train for label in _of(example))

        def likeliest() -> list[Answer]:
            texts, new = [example.input for example in train], [example.input for example in test]
            answers: list[list[str]] = [[] for _ in test]
            for label in self.labels:
                has = [str(label in _of(example)) for example in train]
                for i, one in enumerate(NgramClassifier(order).fit(texts, has).predict(new)):
                    answers[i] += [label] if one == "True" else []
            return [_told(labels) for labels in answers]

        if "majority" in wanted:
            most = counts.most_common(1)[0][0]
            found.append(
                Baseline("most frequent label", f"always {most!r}", lambda: [_told([most]) for _ in test])
            )
        if "ngram" in wanted:
            note = f"Kneser-Ney of characters, order {order}, with and without each label"
            found.append(Baseline("n-gram", note, likeliest))
        return found


def _told(labels: Sequence[str]) -> Answer:
    return {"label": ", ".join(labels), "labels": list(labels)}
