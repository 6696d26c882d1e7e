"""liju finetune: train for a task with labelled examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liju.cli.again import again
from liju.cli.launch import train_where
from liju.cli.story import open_project, say_next, shown_path, split_words
from liju.errors import ConfigError

__all__ = ["finetune"]


def finetune(
    *words: str,
    resume: bool = False,
    quiet: bool = False,
    on: str = "",
    output: str = "",
    profile: bool = False,
    tensorboard: bool = False,
    search: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    apply: bool = False,
) -> None:
    """Train for a task with labelled examples (step 5).

    Steps before it that are not up to date are done first.

    examples:
      liju finetune first
      liju finetune first finetune.trainable=head finetune.learning_rate=1e-3
      liju finetune first --search learning_rate,batch_tokens --trials 6

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    on
        Where: local:2 (two ranks on this machine), slurm:4x8 (a script for 4 machines with 8 GPUs each),
        ray:4. See the page on scale.
    output
        File for the Slurm script (shown, when left out).
    profile
        Look at a few steps: a table of where the time went, and a trace.
    tensorboard
        Write what metrics.jsonl has for TensorBoard too.
    search
        Keys of [finetune] to try values of, separated by commas: optimizer, learning_rate,
        muon_learning_rate, batch_tokens, epochs, warmup, dropout, label_smoothing, layer_decay, trainable.
        Scored on a part of the training examples; the test set is not looked at.
    trials
        With --search: try this many combinations (8 when left out); the better half goes on, at 25 % and at
        50 % of the steps.
    minutes
        With --search: begin no further trial after this time; 0 is no limit.
    apply
        With --search: write the best values into the project file.
    """
    alone = {"trials": trials is not None, "minutes": minutes is not None, "apply": apply}
    if search is None:
        _refuse(alone, "is for --search", "e.g. --search learning_rate")
        opened = train_where(words, "finetune", on, resume, quiet, output, profile, tensorboard)
        if opened is not None:
            say_next(again("evaluate", words), f'liju predict {shown_path(opened.folder)} "..."')
        return
    others = {"on": on, "output": output, "profile": profile, "tensorboard": tensorboard}
    _refuse(others, "has no effect with --search", "leave it out; trials run here, one at a time")
    keys = [name.strip().removeprefix("finetune.") for name in search.split(",")]
    look_for(words, keys, 8 if trials is None else trials, minutes or 0.0, apply, quiet)


def _refuse(flags: Mapping[str, object], why: str, hint: str) -> None:
    """Raise ConfigError for the first of these flags that was given."""
    for name, given in flags.items():
        if given:
            raise ConfigError(f"--{name} {why}", hint=hint)


def _without(words: Sequence[str], found: Sequence[str]) -> list[str]:
    """The words without overrides of the keys that `found` has.

    >>> _without(["name=b", "first", "finetune.epochs=2"], ["finetune.epochs=3"])
    ['name=b', 'first']
    """
    keys = {override.partition("=")[0] for override in found}
    return [word for word in words if "=" not in word or word.partition("=")[0].strip() not in keys]


def look_for(
    words: tuple[str, ...], keys: list[str], trials: int, minutes: float, apply: bool, quiet: bool
) -> None:
    """The search, its table, and what to do with it."""
    from liju.project.search import apply_values
    from liju.project.search import search as find

    opened = open_project(words, quiet=quiet)
    found = find(opened, keys, trials, minutes)
    for line in found.lines():
        print(line)
    others = _without(words, found.overrides)
    if not apply:
        say_next(again("finetune", [*others, *found.overrides]))
        return
    path, _ = split_words(words)
    apply_values(path, found.best.values)
    print(f"wrote {', '.join(found.best.values)} into {path}")
    say_next(again("finetune", others))
