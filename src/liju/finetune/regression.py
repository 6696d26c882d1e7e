"""Regression: a number for each text, or for each pair of texts (semantic similarity, ratings, prices)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from liju.config import Evaluate, Finetune
from liju.errors import DataError
from liju.evaluate import Measure, mean_measure, pearson, pearson_measure, spearman, spearman_measure
from liju.finetune.classification import Labelled, ask_pairs, outputs_of
from liju.finetune.examples import Example
from liju.finetune.task import Answer, Baseline
from liju.model import Transformer
from liju.ngram import TranslationMemory
from liju.vocab import Tokenizer

__all__ = ["Regression", "number_of", "overlap"]


def number_of(example: Example) -> float:
    """The score of an example. Raises DataError, with its file and line, where it is not a number.

    >>> number_of(Example({"text": "a", "score": "2.5"}, "sts.tsv:2"))
    2.5
    """
    try:
        return _number(example["score"])
    except DataError as error:
        raise DataError(f"{example.place}: {error.message}", hint=error.hint) from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"score {text!r:.60} is not a number", hint="with a decimal point, as 3.8")
    return value


def overlap(first: str, second: str, orders: Sequence[int] = (1, 2, 3)) -> float:
    r"""The cosine of two texts' counts of character n-grams, $a \cdot b / (\lVert a \rVert \lVert b \rVert)$.

    >>> overlap("a cat", "a cat"), overlap("cat", "dog")
    (1.0, 0.0)
    """
    a, b = (
        Counter(text[i : i + n] for n in orders for i in range(len(text) - n + 1))
        for text in (first.strip().lower(), second.strip().lower())
    )
    above = sum(count * b[gram] for gram, count in a.items())
    below = sum(count**2 for count in a.values()) * sum(count**2 for count in b.values())
    return round(above / math.sqrt(below), 12) if below else 0.0


class Regression:
    r"""A number for each text or pair. The targets are standardised while training, $(y - \mu) / \sigma$ over
    the training examples; answers are in the user's units."""

    name = "regression"
    metric = "spearman"
    higher_is_better = True
    shown: tuple[str, ...] = ("spearman", "pearson", "mse")
    options: ClassVar[dict[str, Any]] = {}
    asked: tuple[str, ...] = ("text", "pair")
    needed: tuple[str, ...] = ("text", "score")
    optional: tuple[str, ...] = ("pair",)

    def __init__(self, max_length: int, mean: float = 0.0, deviation: float = 1.0, pairs: bool = False):
        self.max_length, self.mean, self.deviation, self.pairs = max_length, mean, deviation, pairs

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Regression:
        scores = np.array([number_of(example) for example in examples])
        if not scores.std() > 1e-12 * max(1.0, float(np.abs(scores).max())):
            raise DataError(
                f"finetune.train: every example has the score {scores[0]:g}", hint="give scores that differ"
            )
        pairs = any("pair" in example.values for example in examples)
        return cls(max_length, float(scores.mean()), float(scores.std()), pairs)

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Regression:
        own = {key: values[key] for key in ("mean", "deviation", "pairs") if key in values}
        return cls(values["max_length"], **own)

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "max_length": self.max_length,
            "mean": self.mean,
            "deviation": self.deviation,
            "pairs": self.pairs,
        }

    def prepare(self, model: Transformer) -> None:
        model.add_head("label", 1)

    @staticmethod
    def from_row(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """An example's values of a row's. Raises DataError where the score is not a number."""
        stripped = {name: value.strip() for name, value in values.items()}
        _number(stripped["score"])
        return stripped, []

    @staticmethod
    def check(examples: Sequence[Example]) -> None:
        """Raise DataError for a score that is not a number."""
        for example in examples:
            number_of(example)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Labelled:
        rows = [
            (e["text"], e.values.get("pair", ""), (number_of(e) - self.mean) / self.deviation)
            for e in examples
        ]
        decoder = tokenizer.cls is None
        return Labelled(rows, tokenizer, self.max_length, decoder=decoder, seed=seed, loss="number")

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        ask_pairs(inputs, self.pairs)
        if not inputs:
            return []
        outputs, shortened = outputs_of(model, tokenizer, inputs, self.max_length)
        values = self.mean + self.deviation * outputs[:, 0].double().numpy()
        return [
            {"label": f"{value:.4g}", "value": value, **({"shortened": True} if cut else {})}
            for value, cut in zip(values.tolist(), shortened, strict=True)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        self.check(examples)
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        """Spearman, Pearson (0 where the answers are one number: it orders nothing), mean squared error."""
        got, want = [a["value"] for a in answers], [number_of(e) for e in examples]
        squared = float(np.mean((np.array(got) - np.array(want)) ** 2))
        found = {"spearman": spearman(got, want), "pearson": pearson(got, want)}
        return {**{name: 0.0 if np.isnan(v) else v for name, v in found.items()}, "mse": squared}

    def right(self, answer: Answer, example: Example) -> None:
        return None

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        got, want = [a["value"] for a in answers], [number_of(e) for e in examples]
        found: dict[str, Measure] = {
            "spearman": spearman_measure(got, want),
            "pearson": pearson_measure(got, want),
        }
        nothing = mean_measure([0.0] * len(got))
        found = {name: nothing if np.isnan(one.value) else one for name, one in found.items()}
        squares = ((np.array(got) - np.array(want)) ** 2).tolist()
        return {**found, "mse": mean_measure(squares, higher_is_better=False)}

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The mean; of pairs, a line through their n-gram overlap; of texts, the nearest one's score."""
        found, scores = [], np.array([number_of(example) for example in train])
        paired = all("pair" in example.values for example in (*train, *test))

        def answers(values: Sequence[float]) -> list[Answer]:
            return [{"label": f"{value:.4g}", "value": float(value)} for value in values]

        def line() -> list[Answer]:
            x, new = (
                np.array([[1.0, overlap(e["text"], e["pair"])] for e in part]) for part in (train, test)
            )
            return answers((new @ np.linalg.lstsq(x, scores, rcond=None)[0]).tolist())

        def nearest() -> list[Answer]:
            memory = TranslationMemory().fit([e["text"] for e in train], [str(s) for s in scores])
            return answers([scores[memory.nearest(example["text"])[0][0]] for example in test])

        if "majority" in wanted:
            note = f"always {scores.mean():.4g}"
            found.append(Baseline("mean", note, lambda: answers([scores.mean()] * len(test))))
        if "ngram" in wanted:
            note = "least squares on the cosine of character n-grams"
            note = note if paired else "the score of the nearest training text"
            found.append(Baseline("n-gram", note, line if paired else nearest))
        return found
