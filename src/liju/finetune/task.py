"""What a user fine-tunes for: a task reads examples, makes samples, owns a head, answers, and is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from liju.config import Evaluate, Finetune
from liju.finetune.examples import Example
from liju.model import Transformer
from liju.objective import Objective
from liju.vocab import Tokenizer

__all__ = ["Answer", "Task"]

# What a model answers to one input; always has `label` or `text`.
Answer = dict[str, Any]


class Task(Protocol):
    """One task. Everything it must remember is in `describe()`, which the bundle carries."""

    name: str
    metric: str  # the number that the table is sorted by
    higher_is_better: bool
    needed: tuple[str, ...]  # fields that an example must have
    optional: tuple[str, ...]
    max_length: int

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Task:
        """The task that these training examples define."""
        ...

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Task:
        """The task that a bundle carries."""
        ...

    def describe(self) -> dict[str, Any]: ...

    def prepare(self, model: Transformer) -> None:
        """Put the task's output layer on the model."""
        ...

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Objective:
        """What to train on."""
        ...

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        """The model's answers, in the order of the inputs."""
        ...

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        """Answers to examples, with whatever their scores need besides."""
        ...

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        """The metrics of these answers."""
        ...

    def right(self, answer: Answer, example: Example) -> bool | None:
        """Whether an answer is right; None where that is a matter of degree."""
        ...
