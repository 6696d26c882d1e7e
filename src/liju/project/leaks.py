"""Law 8, from text to test: no example that a model is evaluated on stands in the text it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from liju.finetune import ExampleSet, read_examples
from liju.finetune.examples import check_of, leave_out_unknown
from liju.finetune.inspection import inspect
from liju.finetune.reading import Unusable
from liju.project.parts import TASK_TYPES
from liju.text import documents, normalise

if TYPE_CHECKING:
    from liju.project.directory import Run
    from liju.vocab import Tokenizer

__all__ = ["Kept", "evaluation_texts", "examples_of", "inspection_of"]


def examples_of(run: Run) -> ExampleSet:
    """The labelled examples of `[finetune]`, read once a run."""
    if "examples" not in run.cache:
        section = run.project.finetune
        task = TASK_TYPES[section.task]
        try:
            found = read_examples(
                section,
                task.needed,
                base=run.base,
                seed=run.project.seed,
                errors=run.project.text.errors,
                optional=task.optional,
                from_row=getattr(task, "from_row", None),
                may_be_empty=getattr(task, "may_be_empty", ()),
            )
            made = task.of(found.train, run.project.model.max_length)  # refuses now what it cannot learn from
            leave_out_unknown(found, check_of(made), run.project.text.errors)
        except Unusable as error:  # with errors = "stop" alone
            hints = filter(None, [error.hint, "or set text.errors = 'skip'"])
            raise Unusable(error.message, "; ".join(hints), error.reason) from None
        run.cache["examples"] = found
    return run.cache["examples"]


def inspection_of(run: Run, tokenizer: Tokenizer) -> dict[str, Any]:
    """What the labelled examples are like, looked at once a run."""
    if "inspection" not in run.cache:
        run.cache["inspection"] = inspect(examples_of(run), tokenizer, run.project.model.max_length)
    return run.cache["inspection"]


def evaluation_texts(run: Run) -> frozenset[str]:
    """Every text of the held-out examples, cleaned as the training text is, its case and spaces folded."""
    if not run.project.finetune.task:
        return frozenset()
    if "evaluation" not in run.cache:
        settings = run.project.text
        found = examples_of(run)
        # With folds every example is held out once.
        held_out = [*found.test, *found.train] if run.project.finetune.folds else found.test
        texts = (text for example in held_out for name, text in example.values.items() if name != "label")
        run.cache["evaluation"] = frozenset(
            folded(normalise(text, settings.normalise, settings.repair)[0]) for text in texts
        )
    return run.cache["evaluation"]


def folded(text: str) -> str:
    """What makes two texts the same here, as for `liju.text`: their words.

    >>> folded("The  cat\\nsat")
    'the cat sat'
    """
    return " ".join(text.casefold().split())


class Kept:
    """The training texts without the evaluation examples; counts what it leaves out.

    A document that is an example goes, and so does a line of a document that is one: a file of reviews may
    be read as one document.
    """

    def __init__(self, run: Run):
        self.folder = run.ensure("text").folder / "documents"
        self.held_out = evaluation_texts(run)
        self.left_out = 0

    def __iter__(self) -> Iterator[str]:
        self.left_out = 0
        for document in documents(self.folder, "train"):
            text = self._without(document.text) if self.held_out else document.text
            if text.strip():
                yield text

    def _without(self, text: str) -> str:
        lines = text.split("\n")
        kept = [line for line in lines if folded(line) not in self.held_out] if len(lines) > 1 else lines
        self.left_out += len(lines) - len(kept)
        text = "\n".join(kept) if len(kept) < len(lines) else text
        if folded(text) in self.held_out:
            self.left_out += 1
            return ""
        return text
