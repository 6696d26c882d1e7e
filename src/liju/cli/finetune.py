"""liju finetune: train for a task with labelled examples."""

from __future__ import annotations

from liju.cli.launch import train_where
from liju.cli.story import open_project, say_next, shown_path, split_words

__all__ = ["finetune"]


def finetune(
    *words: str,
    resume: bool = False,
    quiet: bool = False,
    on: str = "",
    output: str = "",
    profile: bool = False,
    tensorboard: bool = False,
    search: str = "",
    trials: int = 8,
    minutes: float = 0.0,
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
        With --search: try this many combinations; the better half goes on, at 25 % and at 50 % of the steps.
    minutes
        With --search: begin no further trial after this time; 0 is no limit.
    apply
        With --search: write the best values into the project file.
    """
    if search:
        return look_for(words, [name.strip() for name in search.split(",")], trials, minutes, apply, quiet)
    opened = train_where(words, "finetune", on, resume, quiet, output, profile, tensorboard)
    if opened is not None:
        say_next(f"liju evaluate {split_words(words)[0]}", f'liju predict {shown_path(opened.folder)} "..."')


def look_for(
    words: tuple[str, ...], keys: list[str], trials: int, minutes: float, apply: bool, quiet: bool
) -> None:
    """The search, its table, and what to do with it."""
    from liju.project.search import apply_values
    from liju.project.search import search as find

    keys = [key.removeprefix("finetune.") for key in keys]
    opened = open_project(words, quiet=quiet)
    found = find(opened, keys, trials, minutes)
    for line in found.lines():
        print(line)
    path, _ = split_words(words)
    if apply:
        apply_values(path, found.best.values)
        print(f"wrote {', '.join(keys)} into {path}")
        say_next(f"liju finetune {path}")
    else:
        say_next(f"liju finetune {path} {' '.join(found.overrides)}")
