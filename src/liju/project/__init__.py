"""A project file and its run directory: every step that is not up to date, in order.

way        open a project file and do its steps
directory  the run directory: a folder a step, named by what it depends on
steps      the steps, each a function from a run and a new folder to a summary
keys       what a step's output depends on
parts      from sections of the file to model, objective and task
preset     what follows from a preset for the keys that the file leaves out
start      a project that starts from a model folder
search     a few values of some keys, scored on held-out training examples
splits     whether the labelled examples can be parted as the file asks
leaks      no evaluation example in the training text (law 8)
laws       the laws, checked on the very model that was trained
compare    the fine-tuned model beside simpler systems
views      samples as the model sees them
groups     which held-out samples are of which language and source
by_source  the loss of a fine-tuned model on the held-out examples of each source
story      report.html; story_examples: its part about the labelled examples
checking   what a project file will do, before it is done
template   a project file that runs as it is
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["STEPS", "Check", "Done", "Run", "Stopped", "check", "do", "new", "open_run", "run", "write_story"]

if TYPE_CHECKING:
    from liju.project.checking import Check, check
    from liju.project.directory import Done, Run, Stopped
    from liju.project.steps import STEPS
    from liju.project.story import write_story
    from liju.project.template import new
    from liju.project.way import do, open_run, run

# Where each public name lives. It is imported at first use: `liju new` and `liju show` need no torch.
_HOME = {
    **dict.fromkeys(("Check", "check"), "checking"),
    **dict.fromkeys(("Done", "Run", "Stopped"), "directory"),
    **dict.fromkeys(("do", "open_run", "run"), "way"),
    "STEPS": "steps",
    "new": "template",
    "write_story": "story",
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'liju.project' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"liju.project.{_HOME[name]}"), name)
