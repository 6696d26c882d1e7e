"""Sentence embeddings: a vector for each text, near those of texts that mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import Measure, gold_ranks, mean_measure, spearman, spearman_measure
from liju.finetune.classification import fit_pair
from liju.finetune.examples import Example, Unusable
from liju.finetune.predicted import predicted
from liju.finetune.regression import Regression, number_of
from liju.finetune.task import Answer, Baseline
from liju.model import Transformer
from liju.ngram import TranslationMemory
from liju.objective.contrastive import pooled
from liju.samples import Goal, Order, Sample, key_of
from liju.vocab import Tokenizer

__all__ = ["GROUP", "Embedding", "Groups"]

# Pairs that are told apart at once, at most: what a group adds beyond that is little (Henderson et al. 2017).
GROUP = 64


class Groups:
    """Pairs of texts in groups, as a contrastive Objective: a sample is a group.

    The order of the pairs is cut into groups of nearly equal size, so every pass has every pair once, each
    time beside others. What a pair is told apart from depends on the seed and the sample's number alone:
    neither micro-batches nor ranks split a group. Pairs that share a text are not each other's negatives.

    >>> from liju.objective.examples import tokenizer
    >>> rows = [("春天", "spring", ""), ("冬天", "winter", ""), ("天", "sky", "")]
    >>> groups = Groups(rows, tokenizer("encoder"), max_length=16, group=2)
    >>> groups.size, [len(groups.sample(n).parts) for n in range(2)]
    (2, [2, 4])
    """

    name = "embedding"

    def __init__(
        self,
        rows: Sequence[tuple[str, str, str]],
        tokenizer: Tokenizer,
        max_length: int,
        *,
        pooling: str = "mean",
        group: int = GROUP,
        seed: int = 0,
    ):
        self.tokenizer, self.pad, self.pooling = tokenizer, tokenizer.pad or 0, pooling
        self.texts = [
            [] if column and not any(texts) else _pieces(texts, tokenizer, max_length)[0]
            for column, texts in enumerate(zip(*rows, strict=True))
        ]
        self.size = -(-len(rows) // group)
        self.same = _shared([(first, second) for first, second, _ in rows])
        self.fingerprint = f"groups-{key_of(self.texts, self.same, pooling, group):016x}"
        self.weights = {"vector": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, max(1, len(rows)))
        self._lengths = np.array(
            [sum(len(column[i]) for column in self.texts if column) for i in range(len(rows))], np.int64
        )

    def members(self, number: int) -> np.ndarray:
        """The pairs of a group."""
        which, place = divmod(number, self.size)
        pairs = self.order.size
        begin, end = place * pairs // self.size, (place + 1) * pairs // self.size
        return self.order.take(np.arange(which * pairs + begin, which * pairs + end))

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        length = np.array([self._lengths[self.members(int(number))].sum() for number in numbers], np.int64)
        return np.stack([length, np.zeros_like(length)], axis=1)

    def sample(self, number: int) -> Sample:
        texts, roles, same = [], [], []
        for place, pair in enumerate(self.members(number)):
            for role, column in enumerate(self.texts):
                if column and column[pair]:
                    texts.append(column[pair])
                    roles.append(3 * place + role)
                    # A third text is a negative of every pair, its own included.
                    same.append(self.same[pair] if role < 2 else -1)
        return grouped(number, texts, roles, same, self.pooling)


def grouped(
    number: int, texts: Sequence[list[int]], roles: Sequence[int], same: Sequence[int], pooling: str = "mean"
) -> Sample:
    """Texts as one sample whose goal is their vectors: the mean of a text's places, or its first ("cls")."""
    sizes = np.array([len(text) for text in texts])
    starts = np.cumsum(sizes) - sizes
    places = starts if pooling == "cls" else np.arange(sizes.sum())
    counts = np.ones_like(sizes) if pooling == "cls" else sizes
    values = np.repeat(np.stack([roles, same], axis=1), counts, axis=0)
    first = np.isin(places, starts) & (values[:, 0] % 3 == 0)
    goal = Goal(places, values, first.astype(np.float32), "contrastive")
    ids = np.concatenate([np.asarray(text, np.int64) for text in texts])
    return Sample(number, ids, types=np.zeros_like(ids), goals={"vector": goal}, parts=sizes.tolist())


def _pieces(
    texts: Sequence[str], tokenizer: Tokenizer, max_length: int
) -> tuple[list[list[int]], list[bool]]:
    """The tokens of each text, with those that begin and end it, and whether it was shortened; nothing of
    an empty text."""
    found, shortened = [], []
    for text, ids in zip(texts, tokenizer.encode_batch(list(texts)), strict=True):
        fitted, _ = fit_pair(ids, [], max_length - 2)
        shortened.append(len(fitted) < len(ids))
        found.append(tokenizer.pair(fitted)[0] if text.strip() else [])
    return found, shortened


def _shared(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """A number for each pair, equal where two share a text, or share one with a third.

    >>> _shared([("a", "x"), ("b", "y"), ("a", "y"), ("c", "z")])
    [0, 0, 0, 3]
    """
    parent = list(range(len(pairs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[str, int] = {}
    for i, pair in enumerate(pairs):
        for text in pair:
            a, b = sorted((root(seen.setdefault(text, i)), root(i)))
            parent[b] = a
    return [root(i) for i in range(len(pairs))]


class Embedding:
    """A vector for each text: the mean of the encoder's outputs (or the first one's, `pooling` "cls"), of
    length 1.

    It learns from pairs of texts that mean the same; a field `negative` may hold a text that does not. Where
    examples have a `score` instead, those above the middle of the training scores are such pairs, and
    Spearman's correlation of the scores with the cosines is the metric.
    """

    name = "embedding"
    higher_is_better = True
    options: ClassVar[dict[str, Any]] = {}
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ("text", "pair")
    optional: tuple[str, ...] = ("negative", "score")

    def __init__(self, max_length: int, pooling: str = "mean", middle: float | None = None):
        self.max_length, self.pooling, self.middle = max_length, pooling, middle
        self.metric = "mrr" if middle is None else "spearman"
        ranks = ("recall_at_1", "recall_at_10", "mrr")
        self.shown: tuple[str, ...] = ranks if middle is None else ("spearman", *ranks)

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Embedding:
        scored = ["score" in example.values for example in examples]
        if not any(scored):
            return cls(max_length)
        if not all(scored):
            raise DataError(f"{examples[scored.index(False)].place}: no score, where others have one")
        scores = [number_of(example) for example in examples]
        if min(scores) == max(scores):
            raise DataError(f"finetune.train: every pair has the score {scores[0]:g}", hint="leave it out")
        return cls(max_length, middle=(min(scores) + max(scores)) / 2)

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Embedding:
        return cls(values["max_length"], values.get("pooling", "mean"), values.get("middle"))

    def describe(self) -> dict[str, Any]:
        own = {} if self.middle is None else {"middle": self.middle}
        return {"name": self.name, "max_length": self.max_length, "pooling": self.pooling, **own}

    def prepare(self, model: Transformer) -> None:
        """Nothing to add: the vectors are the encoder's own outputs."""

    @staticmethod
    def from_row(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """An example's values of a row's. Raises DataError where a score is not a number."""
        stripped = {name: value.strip() for name, value in values.items()}
        return Regression.from_row(stripped) if "score" in stripped else (stripped, [])

    def check(self, examples: Sequence[Example]) -> None:
        """Raise Unusable for an example without a score, where the scores are what is judged."""
        for example in examples:
            if self.middle is not None and "score" not in example.values:
                hint = "examples that are trained on have one"
                raise Unusable(f"{example.place}: no score", hint, "no score")

    def same(self, example: Example) -> bool:
        """Whether the texts of an example mean the same."""
        return self.middle is None or number_of(example) > self.middle

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Groups:
        """Groups of as many pairs as a step has tokens for, at most GROUP."""
        if tokenizer.cls is None:
            raise DataError("embedding needs an encoder", hint='[model] family = "encoder"')
        if settings.trainable == "head":
            raise DataError("finetune.trainable = 'head': an embedding has no head", hint="top-2, or all")
        rows = [(e["text"], e["pair"], e.values.get("negative", "")) for e in examples if self.same(e)]
        if len(rows) < 2:
            raise DataError("finetune.train: fewer than two pairs", hint="a pair is told apart from others")
        some = rows[:: max(1, len(rows) // 1000)]
        tokens = sum(map(len, tokenizer.encode_batch([text for row in some for text in row]))) / len(some)
        group = int(np.clip(settings.batch_tokens / (tokens + 4), 2, min(GROUP, len(rows))))
        return Groups(rows, tokenizer, self.max_length, pooling=self.pooling, group=group, seed=seed)

    def tokens(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text."""
        return [len(ids) for ids in _pieces(texts, tokenizer, self.max_length)[0]]

    def vectors(
        self, model: Transformer, tokenizer: Tokenizer, texts: Sequence[str]
    ) -> Float[np.ndarray, "text d_model"]:
        """The vector of each text, of length 1."""
        return self._vectors(model, tokenizer, _pieces(texts, tokenizer, self.max_length)[0])

    @torch.inference_mode()
    def _vectors(
        self, model: Transformer, tokenizer: Tokenizer, pieces: Sequence[list[int]]
    ) -> Float[np.ndarray, "text d_model"]:
        samples = [grouped(i, [ids], [0], [0], self.pooling) for i, ids in enumerate(pieces)]
        result = np.zeros((len(pieces), model.config.d_model), np.float32)
        for batch, hidden in predicted(model, samples, "vector", tokenizer.pad or 0):
            text = batch.targets["vector"].sample
            assert text is not None
            result[list(batch.samples)] = pooled(hidden, text, len(batch.samples)).cpu().numpy()
        return result

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        texts = [values.get("text", "") for values in inputs]
        if not all(text.strip() for text in texts):
            raise RequestError("the text is empty", hint='send {"text": "..."}')
        if not texts:
            return []
        pieces, shortened = _pieces(texts, tokenizer, self.max_length)
        vectors = self._vectors(model, tokenizer, pieces)
        return [
            {"vector": vector.tolist(), **({"shortened": True} if cut else {})}
            for vector, cut in zip(vectors, shortened, strict=True)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        """Of each example the pair that its text finds among all pairs, the rank of its own, the cosine."""
        second = list(dict.fromkeys(example["pair"] for example in examples))
        a = self.vectors(model, tokenizer, [example["text"] for example in examples])
        b = self.vectors(model, tokenizer, second)
        return self._found(examples, second, lambda part: a[part] @ b.T)

    def _found(self, examples: Sequence[Example], second: Sequence[str], similar: Any) -> list[Answer]:
        """similar: of some examples (a slice) the similarity to each text of `second`."""
        place = {text: at for at, text in enumerate(second)}
        own = np.array([place[example["pair"]] for example in examples])
        answers: list[Answer] = []
        for start in range(0, len(examples), 1000):
            part = slice(start, start + 1000)
            scores = similar(part)
            ranks = gold_ranks(scores, own[part].tolist())
            for row, rank, at in zip(scores, ranks.tolist(), own[part], strict=True):
                # Not "score": how sure an answer is is another matter.
                answers.append(
                    {"text": second[int(row.argmax())], "rank": int(rank), "cosine": float(row[at])}
                )
        return answers

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        """Recall@1, recall@10 and MRR over the pairs that mean the same; Spearman over those with a score."""
        ranks = [a["rank"] for a, e in zip(answers, examples, strict=True) if self.same(e)]
        found = {} if self.middle is None else {"spearman": self._spearman(answers, examples)}
        return found | {
            "recall_at_1": float(np.mean([rank <= 1 for rank in ranks])) if ranks else 0.0,
            "recall_at_10": float(np.mean([rank <= 10 for rank in ranks])) if ranks else 0.0,
            "mrr": float(np.mean([1 / rank for rank in ranks])) if ranks else 0.0,
        }

    @staticmethod
    def _spearman(answers: Sequence[Answer], examples: Sequence[Example]) -> float:
        value = spearman([a["cosine"] for a in answers], [number_of(e) for e in examples])
        return 0.0 if np.isnan(value) else value

    def right(self, answer: Answer, example: Example) -> bool | None:
        return answer["rank"] == 1 if self.same(example) else None

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """All on the same examples: with scores, Spearman alone, since only some of them are to be found."""
        if self.middle is not None:
            got = [a["cosine"] for a in answers]
            found = spearman_measure(got, [number_of(e) for e in examples])
            return {"spearman": mean_measure([0.0] * len(got)) if np.isnan(found.value) else found}
        ranks = [answer["rank"] for answer in answers]
        return {
            "mrr": mean_measure([1 / rank for rank in ranks]),
            "recall_at_1": mean_measure([float(rank <= 1) for rank in ranks]),
            "recall_at_10": mean_measure([float(rank <= 10) for rank in ranks]),
        }

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """TF-IDF of character n-grams."""

        def nearest() -> list[Answer]:
            second = list(dict.fromkeys(example["pair"] for example in test))
            memory = TranslationMemory().fit(second, second)

            def similar(part: slice) -> np.ndarray:
                found = np.zeros((len(test[part]), len(second)))
                for row, example in zip(found, test[part], strict=True):
                    for at, cosine in memory.nearest(example["text"], len(second)):
                        row[at] = cosine
                return found

            return self._found(test, second, similar)

        note = "cosine of character n-grams' TF-IDF"
        return [Baseline("n-gram", note, nearest)] if "ngram" in wanted else []
