"""`liju finetune --search`: a few values of some keys, scored on held-out training examples."""

from __future__ import annotations

import json
import math
import re
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from liju.config import Finetune, Model, Project, without_effect
from liju.config.lines import key_lines
from liju.config.writing import toml
from liju.errors import ConfigError, RankError, TrainingError, did_you_mean
from liju.finetune import finetune, hold_out
from liju.project.directory import Run, Stopped, write_json, write_text
from liju.project.keys import key
from liju.project.leaks import examples_of
from liju.project.measuring import metric_named
from liju.project.parts import TASK_TYPES, trained
from liju.samples.order import random_of

__all__ = ["Search", "Trial", "apply_values", "grid", "search"]

# What a key is tried at: factors of the file's value, or values beside it.
FACTORS = {
    "learning_rate": (1, 3, 1 / 3, 10, 0.1),
    "muon_learning_rate": (1, 2, 0.5, 4, 0.25),
    "batch_tokens": (1, 0.5, 2, 0.25, 4),
    "epochs": (1, 2, 0.5),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("adamw", "muon"),
    "warmup": (0.1, 0.0, 0.06, 0.2),
    "dropout": (0.1, 0.0, 0.2, 0.3),
    "label_smoothing": (0.0, 0.1, 0.05),
    "layer_decay": (1.0, 0.9, 0.8, 0.65),
    "trainable": ("all", "top-2", "lora-8", "gradual"),
}
# Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943): a quarter of the steps for all trials,
# half of them for the better half, all of them for the better half of those. A look is a quarter.
LOOKS = (1, 2, 4)


@dataclass
class Trial:
    """Values that were tried: how many quarters of the training, the score there, and the seconds it took."""

    number: int
    values: dict[str, Any]
    looks: int = 0
    score: float = math.nan
    seconds: float = 0.0


@dataclass
class Search:
    """The trials, the best first, and the best one's values as overrides."""

    metric: str
    higher_is_better: bool
    trials: list[Trial]
    validation: int
    folder: Path

    @property
    def best(self) -> Trial:
        return self.trials[0]

    @property
    def overrides(self) -> list[str]:
        return [f"finetune.{name}={_plain(value)}" for name, value in self.best.values.items()]

    def lines(self) -> list[str]:
        """The table, a line a trial."""
        metric = metric_named(self.metric)
        names = list(self.best.values)
        head = ["trial", *names, "trained", metric.title, "seconds"]
        rows = [head]
        for one in self.trials:
            score = "–" if math.isnan(one.score) else f"{one.score * metric.scale:.{metric.digits}f}"
            told = [_plain(one.values[name]) for name in names]
            mark = " (the file's)" if one.number == 0 else ""
            rows.append([f"{one.number}{mark}", *told, f"{25 * one.looks} %", score, f"{one.seconds:.0f}"])
        widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
        return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def grid(
    settings: Finetune, keys: Sequence[str], seed: int = 0, model: Model | None = None
) -> list[dict[str, Any]]:
    """What to try, in order: the file's own values first, then the other combinations, in an order drawn by
    the seed. No two are the same training: a key without effect beside the others has its usual value.

    Raises ConfigError for a key that is not searched, or changes nothing with these settings.

    >>> tried = grid(Finetune(learning_rate=1e-3, dropout=0.2), ["learning_rate", "dropout"])
    >>> len(tried), tried[0]
    (20, {'learning_rate': 0.001, 'dropout': 0.2})
    """
    axes = []
    for name in keys:
        known = [*FACTORS, *VALUES]
        if name not in known:
            hint = did_you_mean(name, known) or f"one of {', '.join(known)}"
            raise ConfigError(f"--search: {name!r} is not searched", hint=hint)
        own = getattr(settings, name)
        if name in FACTORS:
            kind = type(own)
            found = [own] + [kind(float(f"{own * factor:.3g}")) for factor in FACTORS[name][1:]]
        else:
            found = [own, *(value for value in VALUES[name] if value != own)]
        axes.append(list(dict.fromkeys(found)))
    if not axes or len(set(keys)) < len(keys):
        raise ConfigError("--search names each key once", hint="--search learning_rate,batch_tokens")
    project = Project(finetune=settings, model=model or Model())
    combined = [_settled(project, dict(zip(keys, values, strict=True))) for values in product(*axes)]
    more = [name for values in combined for name in values if name not in keys]
    names = [*keys, *dict.fromkeys(more)]  # those that had to go back to what is usual, too
    combined = [{name: values.get(name, getattr(settings, name)) for name in names} for values in combined]
    combined = [values for i, values in enumerate(combined) if values not in combined[:i]]
    for name, axis in zip(keys, axes, strict=True):
        if len({values[name] for values in combined}) == 1:
            _, what, hint = _idle(project, {name: axis[1]})[0]
            raise ConfigError(f"--search {name}: {what}", hint=hint)
    order = random_of("search", seed, len(combined)).permutation(len(combined)).tolist()
    return [combined[0], *(combined[i] for i in order if i != 0)]


def _idle(project: Project, values: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The keys of [finetune] that have no effect with these values: key, why, what to do."""
    settings = project.finetune.model_copy(update=values)
    found = without_effect(project.model_copy(update={"finetune": settings}))
    return [problem for problem, _ in found if problem[0].startswith("finetune.")]


def _settled(project: Project, values: dict[str, Any]) -> dict[str, Any]:
    """The values, with what is usual for each key that has no effect beside them."""
    while idle := _idle(project, values):
        name = idle[0][0].removeprefix("finetune.")
        values = {**values, name: Finetune.model_fields[name].default}
    return values


def search(run: Run, keys: Sequence[str], trials: int = 8, minutes: float = 0.0) -> Search:
    """Try up to `trials` combinations, for `minutes` at most (0: no limit), on the validation part of the
    training examples. Every trial is a run of its own and goes on where it was stopped.
    """
    project = run.project
    if not project.finetune.task:
        raise ConfigError("[finetune] task is empty", hint="a search scores a task")
    if trials < 2:
        raise ConfigError(f"--trials {trials}: there is nothing to compare", hint="at least 2")
    if not minutes >= 0:
        raise ConfigError(f"--minutes {minutes:g} is no time", hint="0 is no limit")
    values = grid(project.finetune, keys, project.seed, project.model)[:trials]
    began = time.monotonic()
    examples = examples_of(run).train
    task = TASK_TYPES[project.finetune.task].of(examples, project.model.max_length)
    train, held = hold_out(examples, project.finetune.validation)
    start = run.ensure("pretrain").folder
    tried = [Trial(i, one) for i, one in enumerate(values)]
    folder = run.folder / f"search-{key(run.key('finetune'), *sorted(keys))}"
    run.tell(
        f"{len(tried)} trials on {len(train):,} examples, scored on {len(held):,} others ({task.metric})"
    )
    sign = 1 if task.higher_is_better else -1
    alive, out_of_time = tried, False
    for looks in LOOKS:
        for trial in alive:
            out_of_time |= bool(minutes) and time.monotonic() - began > 60 * minutes
            if out_of_time and (trial is not alive[0] or looks > 1):
                break
            try:
                _take(run, task, start, folder / f"trial-{key(trial.values)}", trial, looks, train, held)
            except RankError:
                raise
            except TrainingError as error:  # what cannot be trained so is the worst, not the end
                trial.looks, trial.score = looks, math.nan
                run.tell(f"  trial {trial.number}: {error.message}")
                continue
            metric = metric_named(task.metric)
            told = ", ".join(f"{name} {_plain(value)}" for name, value in trial.values.items())
            run.tell(
                f"  trial {trial.number}, {25 * looks} %: {metric.title} "
                f"{trial.score * metric.scale:.{metric.digits}f} ({told})"
            )
        if out_of_time:
            run.tell(f"  {minutes:g} minutes are over")
            break
        alive = sorted(alive, key=lambda one: (math.isnan(one.score), -sign * one.score, one.number))
        alive = alive[: max(1, math.ceil(len(alive) / 2))]
    tried.sort(key=lambda one: (-one.looks, math.isnan(one.score), -sign * one.score, one.number))
    found = Search(task.metric, task.higher_is_better, tried, len(held), folder)
    write_json(
        folder / "search.json",
        {"metric": task.metric, "validation": len(held), "trials": [_kept(one) for one in tried]},
    )
    return found


def _kept(trial: Trial) -> dict[str, Any]:
    return {**vars(trial), "score": None if math.isnan(trial.score) else trial.score}


def _take(
    run: Run, task: Any, start: Path, folder: Path, trial: Trial, looks: int, train: Any, held: Any
) -> None:
    """Train a trial up to a look, or read that it was."""
    record = folder / f"look-{looks}.json"
    if not record.exists():
        project = run.project
        own = trained(start)
        settings = project.finetune.model_copy(update={**trial.values, "patience": 0})
        began = time.monotonic()
        result = finetune(
            own.model,
            own.tokenizer,
            task,
            train,
            settings,
            folder / "training",
            seed=project.seed,
            device=project.device,
            precision=project.pretrain.precision,
            resume=(folder / "training").exists(),
            validation=held,
            looks=LOOKS[-1],
            stop_after=looks,
            live=run.live(f"trial {trial.number}") if run.live else None,
        )
        lines = (folder / "training" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        if result.stopped and sum('"evaluation"' in line for line in lines) < looks:
            raise Stopped(
                f"the search stopped in trial {trial.number}", hint="the same command goes on from there"
            )
        seconds = round(time.monotonic() - began, 1)
        score = float(result.scores[task.metric])
        write_json(record, {"score": None if math.isnan(score) else score, "seconds": seconds})
    told = json.loads(record.read_text(encoding="utf-8"))
    trial.looks, trial.score = looks, math.nan if told["score"] is None else told["score"]
    trial.seconds += told["seconds"]


def apply_values(path: str | Path, values: dict[str, Any]) -> None:
    """Write values of [finetune] into a project file; everything else stays as it is, comments too.

    Raises ConfigError where the file would no longer say what is meant (a value over several lines).
    """
    path = Path(path)
    path = path / "liju.toml" if path.is_dir() else path
    text = path.read_text(encoding="utf-8-sig")
    lines, places = text.split("\n"), key_lines(text)
    missing = []
    for name, value in values.items():
        at = places.get(("finetune", name))
        if at is None:
            missing.append(f"{name} = {toml(value)}")
            continue
        pattern = rf"(\b{name}\s*=\s*)(\"[^\"]*\"|'[^']*'|[^#\s]+)"
        lines[at - 1] = re.sub(pattern, lambda m, v=value: m[1] + toml(v), lines[at - 1], count=1)
    if missing:
        heads = [i for i, line in enumerate(lines) if re.match(r"\s*\[finetune\]", line)]
        if heads:
            lines[heads[0] + 1 : heads[0] + 1] = missing
        else:
            lines += ["[finetune]", *missing, ""]
    changed = "\n".join(lines)
    try:
        tree = tomllib.loads(changed)
        wrong = [name for name, value in values.items() if tree["finetune"].get(name) != value]
    except tomllib.TOMLDecodeError:
        wrong = list(values)
    if wrong:
        raise ConfigError(
            f"{path}: {', '.join(wrong)} cannot be written in place", hint="copy the overrides by hand"
        )
    write_text(path, changed)
