"""What a user fine-tunes for: a task reads examples, makes samples, owns a head, answers, and is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from liju.config import Evaluate, Finetune
from liju.evaluate import Measure
from liju.finetune.examples import Example
from liju.model import Transformer
from liju.objective import Objective
from liju.vocab import Tokenizer

__all__ = ["DECODING", "SAMPLING", "Answer", "Baseline", "Task"]

# What a model answers to one input; always has `label` or `text`.
Answer = dict[str, Any]


# How a text is searched for, where a request does not say.
_SEARCH = ("beam", "length_penalty", "max_new_tokens")
DECODING: dict[str, Any] = {name: Evaluate.model_fields[name].default for name in _SEARCH}

# And how it is drawn.
SAMPLING: dict[str, Any] = {
    "max_new_tokens": DECODING["max_new_tokens"],
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "seed": 0,
    "stop": [],
}


@dataclass(frozen=True)
class Baseline:
    """A system without a network: its name in the table, a remark, and how to have its answers."""

    name: str
    note: str
    answers: Callable[[], list[Answer]]


class Task(Protocol):
    """One task. Everything it must remember is in `describe()`, which the bundle carries.

    A task may have more, which is used where it is there: `from_row` makes an example's values of a row's,
    `may_be_empty` names fields of which only the column must be there, `check(examples)` raises DataError for
    an example that the trained model could not be right about (a label it has not), and
    `settle(model, tokenizer, examples, validation)` finds out with the trained network what is then part of
    `describe()`, on training examples alone (law 8).
    """

    name: str
    metric: str  # the number that the table is sorted by
    higher_is_better: bool
    shown: tuple[str, ...]  # the metrics that the score table shows, of `score`
    options: ClassVar[dict[str, Any]]  # what a request may choose, and what it is when it does not
    asked: tuple[str, ...]  # fields of a request: a plain text is the first, its pair the second
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

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """A measure for each metric that has one, under its name, the main one first: what intervals,
        paired tests and slices are made of."""
        ...

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The simple systems beside it, of those `wanted` by evaluate.baselines."""
        ...

    def right(self, answer: Answer, example: Example) -> bool | None:
        """Whether an answer is right; None where that is a matter of degree."""
        ...
