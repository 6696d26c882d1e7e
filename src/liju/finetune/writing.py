"""Text to text: a source is read, a target is written: translation, summaries, answers in own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import Measure
from liju.finetune.answered import Answered, write_texts
from liju.finetune.examples import Example
from liju.finetune.task import DECODING, Answer, Baseline
from liju.model import Transformer
from liju.objective import Objective, Translation
from liju.vocab import Tokenizer
from liju.vocab.chat import ChatTemplate, Conversation

__all__ = ["TextToText", "ends_of"]


class TextToText:
    """The base of such tasks: they differ in their fields, their metric, and what is done with long sources.

    An encoder-decoder reads the source and writes the target. A decoder reads a conversation in which the
    source is the user's message, by the vocabulary's chat template, and only the target is learned.

    Where `shortens`, a source that is too long keeps its beginning; in training it is listed in `shortened`.
    Else such a pair is not trained on. A target that is too long never is: `too_long` lists them.
    """

    name = ""
    metric = ""
    higher_is_better = True
    shown: tuple[str, ...] = ()
    options: ClassVar[dict[str, Any]] = DECODING
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    shortens = True

    def __init__(self, max_length: int, start: int | None = None):
        self.max_length = max_length
        self.start = start  # what an answer begins with; None: the padding, as liju trains it
        self.decoder = False
        self.too_long: list[str] = []  # places of training pairs that do not fit
        self.shortened: list[str] = []  # places of training pairs whose source was shortened

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int):
        """The task that these training examples define."""
        return cls(max_length)

    @classmethod
    def from_description(cls, values: dict[str, Any]):
        """The task that a bundle carries."""
        return cls(values["max_length"], values.get("start"))

    def describe(self) -> dict[str, Any]:
        own = {} if self.start is None else {"start": self.start}
        return {"name": self.name, "max_length": self.max_length, **own}

    def source(self, values: Mapping[str, str]) -> str:
        """What is read."""
        raise NotImplementedError

    def target(self, values: Mapping[str, str]) -> str:
        """What is to be written."""
        raise NotImplementedError

    def prepare(self, model: Transformer) -> None:
        """Nothing to add: the words head writes."""
        self.decoder = model.config.family == "decoder"

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Objective:
        """Raises DataError where no pair fits."""
        sources = [self.source(example.values) for example in examples]
        targets = [self.target(example.values) for example in examples]
        pairs = list(zip(sources, targets, strict=True))
        made = self._conversations(pairs, tokenizer) if self.decoder else self._sequences(pairs, tokenizer)
        self.too_long = [example.place for example, row in zip(examples, made, strict=True) if row is None]
        rows = [(i, *row) for i, row in enumerate(made) if row is not None]
        self.shortened = [examples[i].place for i, _, cut in rows if cut]
        if not rows:
            raise DataError(
                f"finetune.train: every pair is longer than model.max_length {self.max_length}",
                hint="raise model.max_length",
            )
        found: list[Any] = [row for _, row, _ in rows]
        if self.decoder:
            return Answered(found, tokenizer.pad or 0, seed, settings.label_smoothing)
        return Translation(
            [source for source, _ in found],
            [target for _, target in found],
            tokenizer,
            self.max_length,
            seed,
            settings.label_smoothing,
        )

    def _sequences(
        self, pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer
    ) -> list[tuple[tuple[list[int], list[int]], bool] | None]:
        """Each pair's tokens and whether its source was shortened; None where it does not fit."""
        sources = tokenizer.encode_batch([source for source, _ in pairs])
        targets = tokenizer.target.encode_batch([target for _, target in pairs])
        found: list[tuple[tuple[list[int], list[int]], bool] | None] = []
        room = self.max_length - 1
        for source, target in zip(sources, targets, strict=True):
            long = len(source) > room
            fits = len(target) <= room and (self.shortens or not long)
            found.append(((source[:room], target), long) if fits else None)
        return found

    def _conversations(
        self, pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer
    ) -> list[tuple[Conversation, bool] | None]:
        """The same, as conversations for a decoder."""
        template = template_for(tokenizer)
        found: list[tuple[Conversation, bool] | None] = []
        for source, target in pairs:
            row = template.encode_answers(_talk(source, target), tokenizer)
            over = len(row.ids) - 1 - self.max_length
            if over > 0:
                shorter = _beginning(source, over, tokenizer) if self.shortens else ""
                row = template.encode_answers(_talk(shorter, target), tokenizer) if shorter else row
            fits = len(row.ids) - 1 <= self.max_length
            found.append((row, over > 0) if fits else None)
        return found

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        texts = [self.source(values) for values in inputs]
        if not all(text.strip() for text in texts):
            raise RequestError("the text is empty", hint='send {"text": "..."}')
        how: dict[str, Any] = {"beam": settings.beam, "length_penalty": settings.length_penalty}
        if model.config.family == "decoder":
            prompts, cut, new = self._prompts(texts, tokenizer, settings.max_new_tokens)
            how["ends"] = ends_of(tokenizer)
        else:
            assert tokenizer.eos is not None
            encoded = tokenizer.encode_batch(texts)
            prompts = [[*ids[: self.max_length - 1], tokenizer.eos] for ids in encoded]
            cut = [len(ids) > self.max_length - 1 for ids in encoded]
            how["start"] = tokenizer.pad or 0 if self.start is None else self.start
            how["ends"] = frozenset([tokenizer.eos])
            new = min(settings.max_new_tokens, self.max_length - 1)
        written = write_texts(model, tokenizer, prompts, max_new_tokens=new, **how)
        return [
            {"text": text, **({"shortened": True} if was else {})}
            for text, was in zip(written, cut, strict=True)
        ]

    def _prompts(
        self, texts: Sequence[str], tokenizer: Tokenizer, wanted: int
    ) -> tuple[list[list[int]], list[bool], int]:
        """What a decoder reads, which sources were shortened, and how many tokens it may write."""
        template = ChatTemplate.ours(tokenizer)
        new = max(1, min(wanted, self.max_length // 2))
        prompts, cut = [], []
        for text in texts:
            ids = template.encode(_talk(text), tokenizer)
            over = len(ids) + new - self.max_length
            cut.append(over > 0)
            if over > 0:
                shorter = _beginning(text, over, tokenizer)
                ids = template.encode(_talk(shorter), tokenizer) if shorter else ids[: self.max_length - new]
            prompts.append(ids[: self.max_length - new] if over > 0 else ids)
        return prompts, cut, new

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        return {name: measure.value for name, measure in self.measures(answers, examples).items()}

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """The metrics, the main one first."""
        raise NotImplementedError

    def right(self, answer: Answer, example: Example) -> bool | None:
        return True if answer["text"].strip() == self.target(example.values).strip() else None

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The simple systems beside it."""
        raise NotImplementedError


def template_for(tokenizer: Tokenizer) -> ChatTemplate:
    """The template to train with. A vocabulary without one is given liju's, which is saved with it."""
    template = ChatTemplate.ours(tokenizer)
    tokenizer.chat_template = template.source
    return template


def ends_of(tokenizer: Tokenizer) -> frozenset[int]:
    """What ends an answer: the end of a turn by the template, and the end of a text."""
    ends = ChatTemplate.ours(tokenizer).turn_ends(tokenizer)
    return ends if tokenizer.eos is None else ends | {tokenizer.eos}


def _talk(source: str, target: str | None = None) -> list[dict[str, str]]:
    answer = [] if target is None else [{"role": "assistant", "content": target}]
    return [{"role": "user", "content": source}, *answer]


def _beginning(text: str, over: int, tokenizer: Tokenizer) -> str:
    """A text without its last `over` tokens; "" where nothing is left."""
    _, ends = tokenizer.encode_with_ends(text)
    kept = len(ends) - over
    # Tokens may join differently at the cut: one is given up for that.
    return text[: ends[kept - 2]].rstrip() if kept > 1 else ""
