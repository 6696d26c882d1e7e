"""Generation: continued next-word training on a user's own texts, bits per byte, and writing on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from liju.config import Evaluate, Finetune
from liju.errors import RequestError
from liju.evaluate import Measure, bits_per_byte, bits_per_byte_measure
from liju.finetune.answered import nats_of, write_texts
from liju.finetune.examples import Example
from liju.finetune.task import SAMPLING, Answer, Baseline
from liju.model import Transformer
from liju.objective import Causal
from liju.samples import key_of
from liju.vocab import Tokenizer

__all__ = ["GenerationTask", "Texts"]


class Texts:
    """Encoded texts in memory, with the face of token shards.

    >>> texts = Texts([[5, 6], [7]])
    >>> texts.document(1), texts.document_bounds
    (array([7]), array([0, 2, 3]))
    """

    def __init__(self, ids: Sequence[Sequence[int]]):
        self._ids = [np.asarray(one, np.int64) for one in ids]
        self.document_bounds = np.cumsum([0, *map(len, ids)])
        self.fingerprint = f"{key_of([list(one) for one in ids]):016x}"

    def document(self, number: int) -> np.ndarray:
        return self._ids[number]


class GenerationTask:
    """Writes on. Scored by bits per byte of held-out text."""

    name = "generation"
    metric = "bits_per_byte"
    higher_is_better = False
    shown: tuple[str, ...] = ("bits_per_byte",)
    options: ClassVar[dict[str, Any]] = SAMPLING
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ("text",)
    optional: tuple[str, ...] = ()

    def __init__(self, max_length: int):
        self.max_length = max_length

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> GenerationTask:
        return cls(max_length)

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> GenerationTask:
        return cls(values["max_length"])

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "max_length": self.max_length}

    def prepare(self, model: Transformer) -> None:
        """Nothing to add: the words head writes."""

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Causal:
        texts = Texts(tokenizer.encode_batch([example["text"] for example in examples]))
        return Causal(texts, tokenizer, self.max_length, seed)

    def answer(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        inputs: Sequence[dict[str, str]],
        settings: Evaluate,
        stop: str | Sequence[str] = (),
        **sampling: Any,
    ) -> list[Answer]:
        # GPT and Qwen have no token that begins a text.
        first = [] if tokenizer.bos is None else [tokenizer.bos]
        # The most recent tokens are kept where prompt and answer do not fit together.
        room = max(1, self.max_length - 1 - settings.max_new_tokens)
        encoded = tokenizer.encode_batch([values["text"] for values in inputs])
        prompts = [[*first, *ids[-room:]] for ids in encoded]
        if not all(prompts):
            raise RequestError("the prompt is empty", hint="this model has no token that begins a text")
        new = min(settings.max_new_tokens, self.max_length - 2)
        if new < 1:
            raise RequestError(f"a model of max_length {self.max_length} has no room to write")
        outputs = write_texts(
            model,
            tokenizer,
            prompts,
            ends=frozenset(() if tokenizer.eos is None else [tokenizer.eos]),
            max_new_tokens=new,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            **sampling,
        )
        return [
            {"text": text, **({"shortened": True} if len(prompt) > room else {})}
            for text, prompt in zip(outputs, encoded, strict=True)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        """The nats of each text, all of its tokens and its end."""
        texts = Texts(tokenizer.encode_batch([example["text"] for example in examples]))
        objective = Causal(texts, tokenizer, self.max_length)
        owner = objective.pieces.spans(np.arange(objective.size))[0]
        nats = np.bincount(owner, nats_of(model, objective, objective.size), len(examples))
        return [{"nats": float(value)} for value in nats]

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        size = sum(len(example["text"].encode()) for example in examples)
        return {"bits_per_byte": bits_per_byte(sum(answer["nats"] for answer in answers), size)}

    def right(self, answer: Answer, example: Example) -> bool | None:
        return None

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        sizes = [len(example["text"].encode()) for example in examples]
        return {"bits_per_byte": bits_per_byte_measure([answer["nats"] for answer in answers], sizes)}

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """None here: an n-gram model wants the pre-training text too, which the evaluation step has."""
        return []
