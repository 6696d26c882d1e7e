"""The trainings under a folder, read from their files: the table of `liju runs`. Nothing here loads torch."""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from liju.errors import RequestError, did_you_mean

__all__ = ["COLUMNS", "Trained", "cells", "differences", "sort_by", "trainings"]

COLUMNS = ("name", "family", "parameters", "step", "state", "loss", "held_out", "best", "score")
COLUMNS += ("tokens_per_second", "mfu", "seconds", "differs")
HIGHER = ("score", "tokens_per_second", "mfu")  # better when higher: first
SILENT = 600.0  # seconds after which a run on another machine that writes nothing is taken for stopped
LEFT_OUT = ("checkpoints", "bundle", "documents", "tokenizer", "train", "held_out", "adapter")
OWN = ("name", "out")  # keys that differ between any two runs


@dataclass
class Trained:
    """One training: a run directory of `liju.train`, or a step of a project's run."""

    name: str
    family: str = ""
    parameters: int = 0
    step: int = 0
    steps: int = 0
    state: str = "stopped"  # running, done, stopped, failed
    error: str = ""  # of a failed one
    loss: float | None = None  # of the last step
    held_out: float | None = None  # loss of the last look
    best: float | None = None  # lowest held-out loss
    scores: dict[str, float] = field(default_factory=dict)  # of the last look
    metric: str = ""  # of the task, after `liju evaluate`
    score: float | None = None
    tokens_per_second: float | None = None  # median of the steps
    mfu: float | None = None  # median of the steps
    seconds: float = 0.0  # of all steps
    skipped: int = 0  # steps left out
    keys: dict[str, Any] = field(default_factory=dict)  # of liju.toml, or of the settings
    differs: dict[str, Any] = field(default_factory=dict)  # those in which the listed runs differ


def trainings(root: Path) -> list[Trained]:
    """Every training under a folder, by name. Of a project's run only the newest of each step, and those that
    are not finished.

    Raises RequestError where there is none.
    """
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder", hint="name the folder of the runs, e.g. runs")
    found = sorted((_read(folder, name, home) for folder, name, home in _folders(root)), key=lambda t: t.name)
    if not found:
        raise RequestError(f"{root}: no training is here", hint="liju run makes one in runs/NAME")
    for training, differing in zip(found, differences([one.keys for one in found]), strict=True):
        training.differs = differing
    return found


def _folders(root: Path) -> Iterator[tuple[Path, str, Path | None]]:
    """Folders of trainings, their names, and the project's run that each belongs to."""
    for where, inside, files in os.walk(root):
        inside[:] = sorted(n for n in inside if n not in LEFT_OUT and not n.startswith((".", "evaluate-")))
        folder = Path(where)
        if "settings.json" not in files:
            continue
        home = folder.parent if (folder.parent / "liju.toml").exists() else None
        if home is None:
            yield folder, folder.relative_to(root).as_posix(), None
            continue
        step, _, _ = folder.name.partition("-")
        newest = _json(home / "run.json").get("steps", {}).get(step)
        if newest == folder.name or not (folder / "done.json").exists():
            relative = home.relative_to(root).as_posix()
            yield folder, f"{home.name if relative == '.' else relative} {step}", home


def _read(folder: Path, name: str, home: Path | None) -> Trained:
    written = _json(folder / "settings.json")
    settings, network = written.get("settings", {}), written.get("model", {})
    training = Trained(name, network.get("family", ""), network.get("parameters", 0))
    training.steps = settings.get("steps", 0)
    lines = list(_lines(folder / "metrics.jsonl"))
    steps = [line for line in lines if "loss" in line]
    looks = [line["evaluation"] for line in lines if "evaluation" in line]
    training.step = max((line.get("step", 0) for line in lines), default=0)
    training.skipped = sum("skipped" in line for line in lines)
    training.seconds = sum(line.get("seconds", 0.0) for line in lines)
    if steps:
        training.loss = steps[-1]["loss"]
        training.tokens_per_second = _median(steps, "tokens_per_second")
        training.mfu = _median(steps, "mfu")
    if looks:
        training.scores = looks[-1]
        losses = [look["loss"] for look in looks if "loss" in look]
        training.held_out, training.best = (losses[-1], min(losses)) if losses else (None, None)
    training.state, training.error = _state(folder, training)
    if home is None:
        training.keys = _flat(settings)
        return training
    try:
        project = tomllib.loads((home / "liju.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        project = {}
    training.keys = _flat(project)
    training.family = training.family or str(training.keys.get("model.family", ""))
    if name.endswith(" finetune"):
        _add_score(training, home)
    done = _json(folder / "done.json").get("summary", {})
    training.parameters = training.parameters or done.get("parameters", 0)
    return training


def _add_score(training: Trained, home: Path) -> None:
    """The task's metric, where the run was evaluated."""
    folder = _json(home / "run.json").get("steps", {}).get("evaluate", "-")
    summary = _json(home / folder / "done.json").get("summary", {})
    table = summary.get("table", {})
    for row in table.get("rows", []):
        values = row.get("values", {}).get(summary.get("metric", ""))
        if row.get("system") == table.get("main") and values:
            training.metric, training.score = summary["metric"], statistics.fmean(values)


def _state(folder: Path, training: Trained) -> tuple[str, str]:
    """What a run is at now. One that says that it runs, and whose process is gone, was killed: stopped."""
    status = _json(folder / "status.json")
    state = status.get("state", "")
    if not state:  # written by a liju that had no status.json
        return ("done" if training.steps and training.step >= training.steps else "stopped"), ""
    if state != "running":
        return state, status.get("error", "")
    if status.get("host") == socket.gethostname():
        return ("running" if _alive(status.get("pid", 0)) else "stopped"), ""
    log = folder / "metrics.jsonl"
    recent = log.exists() and time.time() - log.stat().st_mtime < SILENT
    return ("running" if recent else "stopped"), ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return pid > 0


def _median(lines: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [line[name] for line in lines if isinstance(line.get(name), int | float)]
    return statistics.median(values) if values else None


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """
    >>> _flat({"model": {"d_model": 8, "switches": {"bias": True}}, "seed": 0})
    {'model.d_model': 8, 'model.switches.bias': True, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def differences(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each run the keys whose values are not the same in all; a key that a run lacks is left out of it.

    >>> differences([{"seed": 0, "steps": 5, "name": "a"}, {"seed": 1, "steps": 5, "name": "b"}])
    [{'seed': 0}, {'seed': 1}]
    """
    missing = object()
    names = list(dict.fromkeys(key for run in runs for key in run if key not in OWN))
    varied = [n for n in names if any(run.get(n, missing) != runs[0].get(n, missing) for run in runs[1:])]
    return [{name: run[name] for name in varied if name in run} for run in runs]


def sort_by(found: Sequence[Trained], column: str) -> list[Trained]:
    """The best first: highest of scores and speeds, lowest of losses and sizes; a run without it comes last.
    A score of the last look is a column too. Raises RequestError for a column that no run has."""
    known = {*COLUMNS[:-1], *(name for one in found for name in one.scores)}
    if column not in known:
        raise RequestError(f"no column {column!r}", did_you_mean(column, known) or ", ".join(COLUMNS[:-1]))

    def value(one: Trained) -> Any:
        return getattr(one, column) if hasattr(one, column) else one.scores.get(column)

    with_it = [one for one in found if value(one) is not None]
    rest = [one for one in found if value(one) is None]
    higher = column in HIGHER or column.endswith(("accuracy", "f1"))
    return [*sorted(with_it, key=value, reverse=higher), *rest]


def cells(training: Trained) -> list[str]:
    """A row of the table, a cell a column of COLUMNS.

    >>> cells(Trained("first pretrain", "decoder", 1200, 5, 10, loss=2.5, mfu=0.31, seconds=75))[3:6]
    ['5/10', 'stopped', '2.500']
    """

    def number(value: float | None, how: str) -> str:
        return "" if value is None else format(value, how)

    t = training
    state = f"{t.state}, {t.skipped} skipped" if t.skipped else t.state
    score = f"{t.metric} {t.score:.3f}" if t.score is not None else ""
    differs = " ".join(f"{key}={_short(value)}" for key, value in t.differs.items())
    minutes, seconds = divmod(round(t.seconds), 60)
    return [
        *(t.name, t.family, f"{t.parameters:,}" if t.parameters else "", f"{t.step}/{t.steps}", state),
        *(number(t.loss, ".3f"), number(t.held_out, ".3f"), number(t.best, ".3f"), score),
        *(number(t.tokens_per_second, ",.0f"), number(t.mfu, ".0%"), f"{minutes}:{seconds:02d}", differs),
    ]


def _short(value: Any, most: int = 32) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def to_json(training: Trained) -> dict[str, Any]:
    """Everything but the keys that all runs share."""
    return {key: value for key, value in asdict(training).items() if key != "keys"}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines: one that is being written, or that a kill cut short, is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
