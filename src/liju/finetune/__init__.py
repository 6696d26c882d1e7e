"""Fine-tune for a task with labelled examples, and load a model that answers."""

from liju.finetune.classification import Classification, Labelled
from liju.finetune.examples import Example, ExampleSet, read_examples
from liju.finetune.finetuning import finetune
from liju.finetune.freeze import freeze
from liju.finetune.generation import GenerationTask
from liju.finetune.loaded import TASKS, Loaded, find_bundle, load, pretrained_task
from liju.finetune.pretrained import FillMask, FillSpan
from liju.finetune.task import Answer, Task
from liju.finetune.translation import TranslationTask

__all__ = ["TASKS", "Answer", "Classification", "Example", "ExampleSet", "FillMask", "FillSpan"]
__all__ += ["GenerationTask", "Labelled", "Loaded", "Task", "TranslationTask", "find_bundle", "finetune"]
__all__ += ["freeze", "load", "pretrained_task", "read_examples"]
