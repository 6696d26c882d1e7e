"""Token tagging: a tag for each word (named entities, parts of speech), by a layer on its first piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import (
    Measure,
    accuracy,
    entities,
    entity_measure,
    entity_scores,
    f1,
    scheme_of,
    tag_measure,
)
from liju.evaluate.metrics.entities import Scheme
from liju.finetune.classification import class_weights
from liju.finetune.examples import Example, meant
from liju.finetune.predicted import predicted
from liju.finetune.tagged_rows import paired, words_and_tags
from liju.finetune.task import Answer, Baseline
from liju.model import Transformer
from liju.ngram import HiddenMarkovTagger
from liju.samples import Goal, Order, Sample, key_of
from liju.text import running
from liju.vocab import Tokenizer

__all__ = ["Tagged", "Tagging", "words_in"]


def words_in(text: str, characters: bool) -> list[str]:
    """A text as words: split at spaces, and where `characters` is true every Han character by itself.

    >>> words_in("我在 New York", characters=True)
    ['我', '在', 'New', 'York']
    """
    if not characters:
        return text.split()
    spaced = "".join(f" {c} " if ord(c) >= 0x2E80 else c for c in text)
    return spaced.split()


class Tagged:
    """Sentences of words with tags as an Objective. A sentence that is too long is several samples, cut
    between words: no word is left out. (Of a word longer than a sample, its first pieces.)

    >>> from liju.objective.examples import tokenizer
    >>> objective = Tagged([(["春", "天"], [1, 0])], tokenizer("encoder"), max_length=16)
    >>> goal = objective.sample(0).goals["tag"]
    >>> goal.values.tolist(), len(goal.places)
    ([1, 0], 2)
    """

    name = "tagging"

    def __init__(
        self,
        rows: Sequence[tuple[list[str], list[int]]],
        tokenizer: Tokenizer,
        max_length: int,
        *,
        seed: int = 0,
        loss: str = "class",
        balance: bool = False,
    ):
        self.tokenizer, self.pad, self.loss = tokenizer, tokenizer.pad or 0, loss
        room = max_length - 2
        self.pieces: list[list[list[int]]] = []  # of each sample, of each word
        self.tags: list[list[int]] = []
        self.sentence: list[tuple[int, int]] = []  # of each sample: its row, and its first word there
        flat = self._cut([words for words, _ in rows])
        for row, (of_row, (_, tags)) in enumerate(zip(flat, rows, strict=True)):
            of_row = [word[:room] for word in of_row]
            start, used = 0, 0
            for at, word in enumerate(of_row):
                if used + len(word) > room and at > start:
                    self._add(row, start, of_row[start:at], tags[start:at])
                    start, used = at, 0
                used += len(word)
            if of_row[start:]:
                self._add(row, start, of_row[start:], tags[start:])
        self.size = len(self.pieces)
        how = [] if (loss, balance) == ("class", False) else [loss, balance]
        self.fingerprint = f"tagged-{key_of(self.pieces, self.tags, *how):016x}"
        counts = np.bincount([tag for tags in self.tags for tag in tags])
        self.weight_of = class_weights(counts.astype(float)).astype(np.float32) if balance else None
        self.weights = {"tag": 1.0}
        self.label_smoothing = 0.0
        self.order = Order(self.fingerprint, seed, max(1, self.size))
        self._lengths = np.array([2 + sum(map(len, pieces)) for pieces in self.pieces], np.int64)

    def _cut(self, sentences: list[list[str]]) -> list[list[list[int]]]:
        """The pieces of each word, at least one: a word that the vocabulary cannot spell is unknown."""
        # A byte-level vocabulary tells a word in a sentence from one at its start.
        spaced = self.tokenizer.encode(" a") != self.tokenizer.encode("a")
        spelled = [
            [f" {word}" if spaced and at and ord(word[0]) < 0x2E80 else word for at, word in enumerate(words)]
            for words in sentences
        ]
        different = list(dict.fromkeys(word for words in spelled for word in words))
        unknown = self.tokenizer.unk if self.tokenizer.unk is not None else self.pad
        ids = (of_word or [unknown] for of_word in self.tokenizer.encode_batch(different))
        pieces = dict(zip(different, ids, strict=True))
        return [[pieces[word] for word in words] for words in spelled]

    def _add(self, row: int, start: int, pieces: list[list[int]], tags: list[int]) -> None:
        self.pieces.append(pieces)
        self.tags.append(tags)
        self.sentence.append((row, start))

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        length = self._lengths[self.order.take(numbers)]
        return np.stack([length, np.zeros_like(length)], axis=1)

    def sample(self, number: int) -> Sample:
        return self.at(self.order[number], number)

    def at(self, index: int, number: int) -> Sample:
        """The sample that stands at `index` in the file's order."""
        pieces = self.pieces[index]
        ids, types = self.tokenizer.pair([i for word in pieces for i in word])
        places = 1 + np.cumsum([0, *map(len, pieces[:-1])])
        tags = np.asarray(self.tags[index], np.int64)
        goal = Goal(places, tags, None if self.weight_of is None else self.weight_of[tags], self.loss)
        return Sample(number, np.asarray(ids, np.int64), types=np.asarray(types), goals={"tag": goal})


class Tagging:
    """A tag for each word. Tags of a scheme (BIO, BIOES, BMES, BILOU) are scored by entity F1, others by
    accuracy and macro F1 over words."""

    name = "tagging"
    higher_is_better = True
    options: ClassVar[dict[str, Any]] = {}
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ("words", "tags")
    optional: tuple[str, ...] = ("text",)

    def __init__(self, labels: Sequence[str], max_length: int, characters: bool = False):
        self.labels, self.max_length, self.characters = list(labels), max_length, characters
        self.number = {label: i for i, label in enumerate(self.labels)}
        self.scheme: Scheme | None = _scheme(self.labels)
        self.metric = "entity_f1" if self.scheme else "accuracy"
        self.shown: tuple[str, ...] = ("entity_f1", "accuracy") if self.scheme else ("accuracy", "macro_f1")

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Tagging:
        labels = sorted({tag for example in examples for tag in example["tags"].split()})
        if len(labels) < 2:
            raise DataError("finetune.train: all words have one tag", hint="look at the columns of the file")
        for example in examples:
            _words(example)
        han = [w for e in examples[:1000] for w in e["words"].split() if ord(w[0]) >= 0x2E80]
        return cls(labels, max_length, bool(han) and sum(map(len, han)) < 1.05 * len(han))

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Tagging:
        return cls(values["labels"], values["max_length"], values.get("characters", False))

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "labels": self.labels,
            "max_length": self.max_length,
            "characters": self.characters,
        }

    def prepare(self, model: Transformer) -> None:
        model.add_head("tag", len(self.labels))

    @staticmethod
    def from_row(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """An example's values of a row's; words and tags are parted by spaces, or lists. Raises DataError
        where not every word has a tag.

        >>> Tagging.from_row({"words": '["Ada", "lives"]', "tags": '["B-PER", "O"]'})[0]
        {'text': 'Ada lives', 'words': 'Ada lives', 'tags': 'B-PER O'}
        """
        words, tags = words_and_tags(values["words"], values["tags"])
        text = values.get("text", "").strip() or running(words)
        return {"text": text, "words": " ".join(words), "tags": " ".join(tags)}, []

    def check(self, examples: Sequence[Example]) -> None:
        """Raise DataError for a tag that training did not have, or tags that do not match the words."""
        for example in examples:
            _words(example)
            for tag in example["tags"].split():
                if tag not in self.number:
                    hint = meant(tag, self.labels)
                    raise DataError(f"{example.place}: unknown tag {tag!r}", hint=hint)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Tagged:
        if tokenizer.cls is None:
            raise DataError("tagging needs an encoder", hint='[model] family = "encoder"')
        self.check(examples)
        rows = [(_words(e), [self.number[tag] for tag in e["tags"].split()]) for e in examples]
        loss = "focal" if settings.balance == "focal" else "class"
        balance = settings.balance == "weights"
        return Tagged(rows, tokenizer, self.max_length, seed=seed, loss=loss, balance=balance)

    @torch.inference_mode()
    def tags(
        self, model: Transformer, tokenizer: Tokenizer, sentences: Sequence[list[str]]
    ) -> list[list[tuple[str, float]]]:
        """The tag of each word of each sentence, with its probability."""
        objective = Tagged([(words, [0] * len(words)) for words in sentences], tokenizer, self.max_length)
        found = [[("", 0.0)] * len(words) for words in sentences]
        samples = [objective.at(i, i) for i in range(objective.size)]
        for batch, outputs in predicted(model, samples, "tag", objective.pad):
            surest, number = outputs.float().softmax(-1).max(-1)
            # Targets stand in the order of the rows, and in a row in the order of its places.
            given = zip(number.tolist(), surest.tolist(), strict=True)
            for sample in batch.samples:
                row, start = objective.sentence[sample]
                for at in range(len(objective.tags[sample])):
                    label, score = next(given)
                    found[row][start + at] = (self.labels[label], score)
        return found

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        sentences = []
        for values in inputs:
            words = values["words"].split() if "words" in values else None
            words = words or words_in(values.get("text", ""), self.characters)
            if not words:
                raise RequestError("the text is empty", hint='send {"text": "..."}')
            sentences.append(words)
        return [
            self._answer(words, found)
            for words, found in zip(sentences, self.tags(model, tokenizer, sentences), strict=True)
        ]

    def _answer(self, words: list[str], found: list[tuple[str, float]]) -> Answer:
        tags = [tag for tag, _ in found]
        answer: Answer = {
            "label": " ".join(tags),
            "words": words,
            "tags": tags,
            "score": float(np.mean([score for _, score in found])),
        }
        if self.scheme:
            answer["entities"] = [
                {"type": kind, "text": running(words[begin:end]), "begin": begin, "end": end}
                for kind, begin, end in entities(tags, self.scheme)
            ]
        return answer

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        self.check(examples)
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        predicted = [answer["label"].split() for answer in answers]
        truth = [example["tags"].split() for example in examples]
        flat = [tag for tags in predicted for tag in tags], [tag for tags in truth for tag in tags]
        scores = {"accuracy": accuracy(*flat)}
        if self.scheme:
            return {"entity_f1": entity_scores(predicted, truth, self.scheme).f1, **scores}
        return {**scores, "macro_f1": f1(*flat, "macro")}

    def right(self, answer: Answer, example: Example) -> bool:
        return answer["label"] == " ".join(example["tags"].split())

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        got, want = [a["label"].split() for a in answers], [e["tags"].split() for e in examples]
        words = {"accuracy": tag_measure(got, want)}
        if self.scheme:
            return {"entity_f1": entity_measure(got, want, self.scheme), **words}
        return {**words, "macro_f1": tag_measure(got, want, "macro", self.labels)}

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """Each word's most frequent tag, and a hidden Markov model."""
        words, tags = [e["words"].split() for e in train], [e["tags"].split() for e in train]
        found = []

        def frequent() -> list[Answer]:
            counts: dict[str, Counter[str]] = {}
            for sentence, own in zip(words, tags, strict=True):
                for word, tag in zip(sentence, own, strict=True):
                    counts.setdefault(word, Counter())[tag] += 1
            usual = Counter(tag for own in tags for tag in own).most_common(1)[0][0]
            best = {word: own.most_common(1)[0][0] for word, own in counts.items()}
            return [{"label": " ".join(best.get(w, usual) for w in e["words"].split())} for e in test]

        def likeliest() -> list[Answer]:
            tagger = HiddenMarkovTagger().fit(words, tags)
            return [{"label": " ".join(tagger.tag(example["words"].split()))} for example in test]

        if "majority" in wanted:
            found.append(Baseline("most frequent tag", "of each word", frequent))
        if "ngram" in wanted:
            found.append(Baseline("n-gram", "hidden Markov model of tags, order 2", likeliest))
        return found


def _scheme(labels: Sequence[str]) -> Scheme | None:
    """The scheme of the tags, or None: parts of speech and the like have none."""
    if "O" not in labels or not any("-" in label for label in labels):
        return None
    try:
        return scheme_of([labels])
    except DataError:
        return None


def _words(example: Example) -> list[str]:
    try:
        return paired(example["words"].split(), example["tags"].split())[0]
    except DataError as error:
        raise DataError(f"{example.place}: {error.message}", hint=error.hint) from None
