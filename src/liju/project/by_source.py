"""The loss of a fine-tuned model on the held-out examples of each source, where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from liju.errors import LijuError
from liju.finetune import Example
from liju.objective import held_out
from liju.objective.cells import combined
from liju.project.groups import KEYS
from liju.project.parts import TASK_TYPES
from liju.samples import Origins
from liju.text import resolve

if TYPE_CHECKING:
    from liju.finetune import Task
    from liju.model import Transformer
    from liju.project.directory import Run
    from liju.vocab import Tokenizer

__all__ = ["losses_by_source"]


def losses_by_source(
    run: Run, model: Transformer, tokenizer: Tokenizer, task: Task, examples: Sequence[Example]
) -> dict[str, float]:
    """`loss`, and `loss/source/...` for each source of the project file that held-out examples are of;
    nothing where they are of one. Losses are plain: without label smoothing, and no label weighs more than
    another.

    A source whose examples the task cannot learn from (all too long) has none.
    """
    sources = np.array(_sources(run, examples))
    if len(set(sources.tolist())) < 2:
        return {}
    # Of its own: an objective notes in its task what was too long to train on.
    own = TASK_TYPES[task.name].from_description(dict(task.describe()))
    settings = run.project.finetune.model_copy(update={"balance": "none", "label_smoothing": 0.0})
    found: dict[str, dict[str, float]] = {}
    weights: dict[str, float] = {}
    for name in dict.fromkeys(sources.tolist()):
        those = [example for example, source in zip(examples, sources, strict=True) if source == name]
        try:
            objective = own.objective(those, tokenizer, settings, run.project.seed)
            found[name] = held_out(model, objective)
        except LijuError:
            continue
        weights = objective.weights
    if len(found) < 2:
        return {}
    parts = {f"{KEYS['source']}{name}": scores["loss"] for name, scores in found.items()}
    return {"loss": combined(list(found.values()), weights)["loss"], **parts}


def _sources(run: Run, examples: Sequence[Example]) -> list[str]:
    """The source of each example, the rarest as "other" where there are many."""
    section = run.project.finetune
    named: dict[str, str] = {}
    for source in (*section.train, *section.test):
        named |= {file.name: source.path for file in resolve(source, run.base)}
    origins = Origins(("", source_at(example.place, named)) for example in examples)
    return origins.labels("source", np.arange(len(examples))).tolist()


def source_at(place: str, named: dict[str, str]) -> str:
    """The source of the file that a place is in.

    >>> source_at("a/b.json: question 3/x", {"a/b.json": "a/*.json"}), source_at("b.tsv:2", {})
    ('a/*.json', 'b.tsv')
    """
    files = [file for file in named if place == file or place.startswith(f"{file}:")]
    return named[max(files, key=len)] if files else place.split(":")[0]
