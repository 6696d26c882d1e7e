"""Fine-tune for a task with labelled examples, and load a model that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["TASKS", "Answer", "Baseline", "Classification", "Example", "ExampleSet", "FillMask", "FillSpan"]
__all__ += ["Answering", "Questions"]
__all__ += ["Embedding", "Groups", "Multilabel", "Regression", "class_weights"]
__all__ += [
    "GenerationTask",
    "Labelled",
    "Loaded",
    "Tagged",
    "Tagging",
    "Task",
    "TranslationTask",
    "find_bundle",
    "finetune",
]
__all__ += [
    "DoRALinear",
    "LoRALinear",
    "add_lora",
    "base_of",
    "load_adapted",
    "load_adapter",
    "lora_layers",
    "merge_lora",
    "remove_lora",
    "save_adapter",
]
__all__ += ["GenerativeAnswering", "InstructionTask", "SummarisationTask"]
__all__ += ["freeze", "gradually", "hold_out", "load", "pretrained_task", "read_examples", "steps_of"]

if TYPE_CHECKING:
    from liju.finetune.adapted import base_of, load_adapted
    from liju.finetune.adapters import load_adapter, save_adapter
    from liju.finetune.answering import Answering
    from liju.finetune.bundles import find_bundle, steps_of
    from liju.finetune.classification import Classification, Labelled, class_weights
    from liju.finetune.embedding import Embedding, Groups
    from liju.finetune.examples import Example, ExampleSet, hold_out, read_examples
    from liju.finetune.finetuning import finetune
    from liju.finetune.generation import GenerationTask
    from liju.finetune.instruction import InstructionTask
    from liju.finetune.loaded import TASKS, Loaded, load, pretrained_task
    from liju.finetune.lora import DoRALinear, LoRALinear, add_lora, lora_layers, merge_lora, remove_lora
    from liju.finetune.multilabel import Multilabel
    from liju.finetune.pretrained import FillMask, FillSpan
    from liju.finetune.regression import Regression
    from liju.finetune.summarisation import SummarisationTask
    from liju.finetune.tagging import Tagged, Tagging
    from liju.finetune.task import Answer, Baseline, Task
    from liju.finetune.trainable import freeze
    from liju.finetune.translation import TranslationTask
    from liju.finetune.unfreeze import gradually
    from liju.finetune.windows import Questions
    from liju.finetune.written_answers import GenerativeAnswering

# Where each public name lives. It is imported at first use, so that finding a bundle needs no torch.
_HOME = {
    **dict.fromkeys(("base_of", "load_adapted"), "adapted"),
    **dict.fromkeys(("load_adapter", "save_adapter"), "adapters"),
    **dict.fromkeys(("DoRALinear", "LoRALinear", "add_lora", "lora_layers"), "lora"),
    **dict.fromkeys(("merge_lora", "remove_lora"), "lora"),
    **dict.fromkeys(("find_bundle", "steps_of"), "bundles"),
    **dict.fromkeys(("Classification", "Labelled", "class_weights"), "classification"),
    **dict.fromkeys(("Embedding", "Groups"), "embedding"),
    "Multilabel": "multilabel",
    "Regression": "regression",
    **dict.fromkeys(("Example", "ExampleSet", "hold_out", "read_examples"), "examples"),
    **dict.fromkeys(("TASKS", "Loaded", "load", "pretrained_task"), "loaded"),
    **dict.fromkeys(("FillMask", "FillSpan"), "pretrained"),
    **dict.fromkeys(("Answer", "Baseline", "Task"), "task"),
    **dict.fromkeys(("Tagged", "Tagging"), "tagging"),
    "Answering": "answering",
    "Questions": "windows",
    "GenerationTask": "generation",
    "GenerativeAnswering": "written_answers",
    "InstructionTask": "instruction",
    "SummarisationTask": "summarisation",
    "TranslationTask": "translation",
    "finetune": "finetuning",
    "freeze": "trainable",
    "gradually": "unfreeze",
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'liju.finetune' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"liju.finetune.{_HOME[name]}"), name)
