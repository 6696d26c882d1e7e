"""Text classification: a layer on the first token (encoder) or the last (decoder)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import Measure, accuracy, accuracy_measure, f1, f1_measure, matthews, matthews_measure
from liju.finetune.examples import Example, meant
from liju.finetune.predicted import predicted
from liju.finetune.task import Answer, Baseline
from liju.model import Transformer
from liju.ngram import NgramClassifier
from liju.samples import Goal, Order, Sample, key_of
from liju.vocab import Tokenizer

__all__ = ["Classification", "Labelled", "ask_pairs", "class_weights", "fit_pair", "outputs_of"]


def fit_pair(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Shorten the longer of the two until both fit, keeping its head and its tail.

    The middle goes, because what a text is about stands at its ends (Sun et al. 2019): the first quarter
    of the room is the head.

    >>> fit_pair([1, 2, 3, 4, 5, 6], [], room=4)
    ([1, 4, 5, 6], [])
    """
    keep_second = min(len(second), max(room - len(first), room // 2))
    keep_first = min(len(first), room - keep_second)
    return _ends(first, keep_first), _ends(second, keep_second)


def _ends(ids: list[int], size: int) -> list[int]:
    if size >= len(ids):
        return ids
    head = -(-size // 4)
    return ids[:head] + ids[len(ids) - (size - head) :]


def class_weights(counts: Float[np.ndarray, " label"]) -> Float[np.ndarray, " label"]:
    r"""The weight of an example of each label, $w_y = \frac{N}{K n_y}$: inverse to how often it occurs, and 1
    as a mean over the examples (King and Zeng 2001; scikit-learn's "balanced").

    >>> class_weights(np.array([1, 3])).round(3).tolist()
    [2.0, 0.667]
    """
    return counts.sum() / (len(counts) * np.maximum(counts, 1.0))


class Labelled:
    """Texts, or pairs of texts, with what is to be predicted of each, as an Objective.

    `loss` is one of `liju.objective.KINDS`: of "class" and "focal" a row's value is the number of its label,
    of "number" a number, of "flags" a 0 or 1 for every label. `balance` weighs labels by `class_weights`.

    >>> from liju.objective.examples import tokenizer
    >>> objective = Labelled([("春天", "", 1)], tokenizer("encoder"), max_length=16)
    >>> sample = objective.sample(0)
    >>> sample.goals["label"].values, sample.goals["label"].places
    (array([1]), array([0]))
    """

    name = "classification"

    def __init__(
        self,
        rows: Sequence[tuple[str, str, Any]],
        tokenizer: Tokenizer,
        max_length: int,
        *,
        decoder: bool = False,
        seed: int = 0,
        loss: str = "class",
        balance: bool = False,
    ):
        self.tokenizer, self.decoder, self.pad = tokenizer, decoder, tokenizer.pad or 0
        self.loss, self.labels = loss, [label for _, _, label in rows]
        self.weight_of = class_weights(np.bincount(self.labels).astype(float)) if balance else None
        first = tokenizer.encode_batch([text for text, _, _ in rows])
        second = tokenizer.encode_batch([pair for _, pair, _ in rows])
        self.shortened: list[bool] = []
        self.pieces = []
        for a, b in zip(first, second, strict=True):
            fitted = fit_pair(a, b, max_length - (3 if b else 2))
            self.shortened.append(fitted != (a, b))
            self.pieces.append(fitted)
        how = [] if (loss, balance) == ("class", False) else [loss, balance]
        self.fingerprint = f"labelled-{key_of(self.pieces, self.labels, decoder, *how):016x}"
        self.size = len(rows)
        self.weights = {"label": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, max(1, self.size))
        self._lengths = np.array([len(self._ids(*piece)[0]) for piece in self.pieces])

    def _ids(self, first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
        if not self.decoder:
            return self.tokenizer.pair(first, second or None)
        assert self.tokenizer.bos is not None and self.tokenizer.eos is not None
        between = [self.tokenizer.eos] if second else []
        ids = [self.tokenizer.bos, *first, *between, *second, self.tokenizer.eos]
        return ids, [0] * len(ids)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        length = self._lengths[self.order.take(numbers)]
        sides = [np.zeros_like(length), length] if self.decoder else [length, np.zeros_like(length)]
        return np.stack(sides, axis=1)

    def sample(self, number: int) -> Sample:
        return self.at(self.order[number], number)

    def at(self, index: int, number: int) -> Sample:
        """The example that stands at `index` in the file's order."""
        ids, types = self._ids(*self.pieces[index])
        text = np.asarray(ids, np.int64)
        label = self.labels[index]
        weight = None if self.weight_of is None else np.array([self.weight_of[label]], np.float32)
        place = np.array([len(text) - 1 if self.decoder else 0])
        goals = {"label": Goal(place, np.array([label]), weight, self.loss)}
        if self.decoder:
            return Sample(number, decoder=text, goals=goals)
        return Sample(number, encoder=text, types=np.asarray(types), goals=goals)


@torch.inference_mode()
def outputs_of(
    model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], max_length: int
) -> tuple[Float[Tensor, "input output"], list[bool]]:
    """What the label head says of each input, and whether an input was too long and was shortened."""
    rows = [(values["text"], values.get("pair", ""), 0) for values in inputs]
    objective = Labelled(rows, tokenizer, max_length, decoder=tokenizer.cls is None)
    samples = [objective.at(i, i) for i in range(len(rows))]
    result: list[Tensor] = [torch.zeros(0)] * len(rows)
    for batch, outputs in predicted(model, samples, "label", objective.pad):
        for i, found in zip(batch.samples, outputs.float().cpu(), strict=True):
            result[i] = found
    return torch.stack(result), objective.shortened


def ask_pairs(inputs: Sequence[dict[str, str]], pairs: bool) -> None:
    """Raise RequestError for an input without a text, or without its pair where the model judges pairs."""
    for values in inputs:
        if not values.get("text", "").strip():
            raise RequestError("the text is empty", hint='send {"text": "..."}')
        if pairs and not values.get("pair", "").strip():
            raise RequestError("this model judges pairs", hint='send {"text": "...", "pair": "..."}')


class Classification:
    """One label for each text, or each pair of texts with token types."""

    name = "classification"
    metric = "accuracy"
    higher_is_better = True
    shown: tuple[str, ...] = ("accuracy", "macro_f1", "matthews")
    options: ClassVar[dict[str, Any]] = {}
    asked: tuple[str, ...] = ("text", "pair")
    needed: tuple[str, ...] = ("text", "label")
    optional: tuple[str, ...] = ("pair",)

    def __init__(self, labels: Sequence[str], max_length: int, pairs: bool = False):
        self.labels, self.max_length, self.pairs = list(labels), max_length, pairs
        self.number = {label: i for i, label in enumerate(self.labels)}

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Classification:
        labels = sorted({example["label"] for example in examples})
        if len(labels) < 2:
            raise DataError(
                f"finetune.train: every example has the label {labels[0]!r}", hint="give at least two labels"
            )
        return cls(labels, max_length, any("pair" in example.values for example in examples))

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Classification:
        return cls(values["labels"], values["max_length"], values.get("pairs", False))

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "labels": self.labels,
            "max_length": self.max_length,
            "pairs": self.pairs,
        }

    def prepare(self, model: Transformer) -> None:
        model.add_head("label", len(self.labels))

    def check(self, examples: Sequence[Example]) -> None:
        """Raise DataError for a label that training did not have."""
        for example in examples:
            if example["label"] not in self.number:
                hint = meant(example["label"], self.labels)
                raise DataError(f"{example.place}: unknown label {example['label']!r}", hint=hint)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Labelled:
        self.check(examples)
        rows = [(e["text"], e.values.get("pair", ""), self.number[e["label"]]) for e in examples]
        return Labelled(
            rows,
            tokenizer,
            self.max_length,
            decoder=tokenizer.cls is None,
            seed=seed,
            loss="focal" if settings.balance == "focal" else "class",
            balance=settings.balance == "weights",
        )

    def probabilities(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]]
    ) -> tuple[np.ndarray, list[bool]]:
        """The probability of each label, [input label], and whether an input was too long and shortened."""
        logits, shortened = outputs_of(model, tokenizer, inputs, self.max_length)
        return logits.softmax(-1).numpy(), shortened

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        ask_pairs(inputs, self.pairs)
        if not inputs:
            return []
        table, shortened = self.probabilities(model, tokenizer, inputs)
        return [
            {
                "label": self.labels[int(row.argmax())],
                "score": float(row.max()),
                "scores": dict(zip(self.labels, row.tolist(), strict=True)),
                **({"shortened": True} if cut else {}),
            }
            for row, cut in zip(table, shortened, strict=True)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        self.check(examples)
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        predicted = [answer["label"] for answer in answers]
        truth = [example["label"] for example in examples]
        return {
            "accuracy": accuracy(predicted, truth),
            "macro_f1": f1(predicted, truth, "macro"),
            "matthews": matthews(predicted, truth),
        }

    def right(self, answer: Answer, example: Example) -> bool:
        return answer["label"] == example["label"]

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        got, want = [a["label"] for a in answers], [e["label"] for e in examples]
        labels = sorted({*self.labels, *got, *want})
        return {
            "accuracy": accuracy_measure(got, want),
            "macro_f1": f1_measure(got, want, labels=labels),
            "matthews": matthews_measure(got, want, labels),
        }

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The most frequent label, and an n-gram model of each label's texts."""
        order, found = 5, []
        most = Counter(example["label"] for example in train).most_common(1)[0][0]

        def likeliest() -> list[Answer]:
            model = NgramClassifier(order).fit([e.input for e in train], [e["label"] for e in train])
            return [{"label": label} for label in model.predict([example.input for example in test])]

        if "majority" in wanted:
            found.append(
                Baseline("majority class", f"always {most!r}", lambda: [{"label": most} for _ in test])
            )
        if "ngram" in wanted:
            note = f"Kneser-Ney of characters, order {order}, a label each"
            found.append(Baseline("n-gram", note, likeliest))
        return found
