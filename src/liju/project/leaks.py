"""Law 8, from text to test: no example that a model is evaluated on stands in the text it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from liju.finetune import ExampleSet, read_examples
from liju.project.parts import TASK_TYPES
from liju.text import documents, fingerprint, normalise

if TYPE_CHECKING:
    from liju.project.run import Run

__all__ = ["Kept", "evaluation_texts", "examples_of"]


def examples_of(run: Run) -> ExampleSet:
    """The labelled examples of `[finetune]`, read once a run."""
    if "examples" not in run.cache:
        section = run.project.finetune
        task = TASK_TYPES[section.task]
        run.cache["examples"] = read_examples(
            section,
            task.needed,
            base=run.base,
            seed=run.project.seed,
            errors=run.project.text.errors,
            optional=task.optional,
        )
    return run.cache["examples"]


def evaluation_texts(run: Run) -> frozenset[str]:
    """Fingerprints of every text of the held-out examples, cleaned as the training text is."""
    if not run.project.finetune.task:
        return frozenset()
    if "evaluation" not in run.cache:
        settings = run.project.text
        texts = (
            text
            for example in examples_of(run).test
            for name, text in example.values.items()
            if name != "label"
        )
        run.cache["evaluation"] = frozenset(
            fingerprint(normalise(text, settings.normalise, settings.repair)[0]) for text in texts
        )
    return run.cache["evaluation"]


class Kept:
    """The training texts without those that are evaluation examples; counts what it leaves out."""

    def __init__(self, run: Run):
        self.folder = run.ensure("text").folder / "documents"
        self.held_out = evaluation_texts(run)
        self.left_out = 0

    def __iter__(self) -> Iterator[str]:
        self.left_out = 0
        for document in documents(self.folder, "train"):
            if self.held_out and fingerprint(document.text) in self.held_out:
                self.left_out += 1
            else:
                yield document.text
