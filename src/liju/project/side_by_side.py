"""Two or more trained models on the same labelled data: one table, intervals, paired tests, one report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liju.config import Evaluate, Source
from liju.errors import RequestError
from liju.evaluate import (
    METRICS,
    McNemar,
    Measure,
    ScoreTable,
    approximate_randomisation,
    bootstrap,
    holm,
    mcnemar,
    paired_bootstrap,
)
from liju.finetune import Answer, Example, Loaded, load
from liju.project.labelled import Errors, notes_on, read_labelled
from liju.project.measuring import measures_of, metric_named
from liju.project.side_by_side_page import write_comparison
from liju.project.tell import named, room

__all__ = ["Comparison", "Pair", "System", "side_by_side"]


@dataclass(frozen=True)
class System:
    """One model's part: its answers, their scores, their measures, and the seconds that it took."""

    name: str
    model: Loaded
    answers: Sequence[Answer]
    scores: Mapping[str, float]
    measures: dict[str, Measure]
    seconds: float


@dataclass(frozen=True)
class Pair:
    """A system beside the first on one metric: the difference (its minus the first's) and its interval, the
    p-values of approximate randomisation (corrected by Holm for several systems) and of the paired bootstrap,
    and for right and wrong answers McNemar's test."""

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    randomisation: float
    bootstrap: float
    right: McNemar | None = None


@dataclass
class Comparison:
    """What was found. `left_out` counts examples by reason, `problems` names them by file and line; `notes`
    tell of examples that a model was trained on, and of copies."""

    task: str
    examples: list[Example]
    systems: list[System]
    table: ScoreTable
    pairs: list[Pair]
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    report: Path | None = None
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        told = [f"{len(self.examples):,} examples, {self.task}"]
        if self.left_out:
            counts = ", ".join(f"{count:,} {why}" for why, count in self.left_out.items())
            told.append(f"left out: {counts}")
        elif self.problems:
            told.append(f"mended: {len(self.problems):,}")
        told += named(self.problems, where=" in the report" if self.report else "")
        told += self.notes
        told += ["", *self.table.text(room()).splitlines()]
        for pair in self.pairs:
            metric = metric_named(pair.metric)
            low, difference, high = (
                f"{value * metric.scale:+.{metric.digits}f}"
                for value in (pair.low, pair.difference, pair.high)
            )
            told += ["", f"{pair.second} beside {pair.first}, {metric.title}: {difference} ({low} to {high})"]
            told.append(
                f"  chance of it if there were no difference: {pair.randomisation:.3g} (approximate "
                f"randomisation), {pair.bootstrap:.3g} (paired bootstrap)"
            )
            if pair.right is not None:
                told.append(
                    f"  right in {pair.first} alone: {pair.right.only_first:,}, in {pair.second} alone: "
                    f"{pair.right.only_second:,}; McNemar p {pair.right.p_value:.3g}"
                )
        return told

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "task": self.task,
            "examples": len(self.examples),
            "left_out": dict(self.left_out),
            "problems": self.problems,
            "notes": self.notes,
            "table": self.table.to_dict(),
            "pairs": [
                {**vars(pair), "right": vars(pair.right) if pair.right else None} for pair in self.pairs
            ],
            "seconds": {system.name: round(system.seconds, 3) for system in self.systems},
            "report": str(self.report) if self.report else None,
        }


def side_by_side(
    models: Sequence[str | Path],
    data: str | Path | Source,
    *,
    fields: Mapping[str, str] | None = None,
    errors: Errors = "stop",
    settings: Evaluate | None = None,
    report: str | Path | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Score run directories or model folders on the labelled examples of a file, the first against the rest.

    `fields` maps a field of the task to the column that holds it. An example without a needed field, or with
    a label that the models do not know, stops it (`errors="stop"`), or is left out, counted and named. Every
    model answers with the same settings. Nothing is trained. `report` is where the page goes, if anywhere.

    Raises RequestError where the models are for different tasks or have different labels, and for fewer than
    one of `resamples`; DataError for an example that cannot be used, BundleError where a path holds no model.
    """
    if not models:
        raise RequestError("no model", hint="name a run directory or a model folder")
    if resamples < 1:
        raise RequestError(f"{resamples} resamples tell nothing", hint="1 or more; 2000 is usual")
    paths = _names(models)
    loaded = {name: load(path, device) for name, path in paths.items()}
    first = next(iter(loaded.values()))
    _same_task(loaded)
    found, problems, left_out = read_labelled(first, data, fields or {}, errors)
    settings = settings or Evaluate()
    systems = []
    for name, model in loaded.items():
        begin = time.monotonic()
        answers = model._task.evaluate(model.model, model.tokenizer, found, settings)
        seconds = time.monotonic() - begin
        tell(f"{name}: {len(found):,} examples in {seconds:.1f} s")
        scores = model._task.score(answers, found)
        systems.append(
            System(name, model, answers, scores, measures_of(model._task, answers, found), seconds)
        )
    metrics = sorted(systems[0].scores, key=lambda name: (name != first._task.metric, _place(name)))
    pairs = _pairs(systems, found, metrics, resamples, confidence, seed)
    table = ScoreTable([metric_named(name) for name in metrics], main=systems[0].name if pairs else "")
    for system in systems:
        table.add(
            system.name,
            f"{sum(p.numel() for p in system.model.model.parameters()):,} parameters, {system.seconds:.1f} s",
            intervals={
                name: bootstrap(one, confidence, resamples, seed)
                for name, one in system.measures.items()
                if name in metrics and one.size > 1
            },
            p_values={pair.metric: pair.randomisation for pair in pairs if pair.second == system.name},
            **{name: system.scores[name] for name in metrics},
        )
    result = Comparison(first.task, found, systems, table, pairs, left_out, problems)
    result.notes = notes_on(paths, found)
    if report is not None:
        result.report = write_comparison(
            Path(report), result, str(data.path if isinstance(data, Source) else data)
        )
    return result


def _place(name: str) -> int:
    return list(METRICS).index(name) if name in METRICS else len(METRICS)


def _names(models: Sequence[str | Path]) -> dict[str, Path]:
    """A short name for each path: its last part, the whole where two have the same."""
    paths = [Path(model) for model in models]
    last = Counter(path.resolve().name for path in paths)
    names = {}
    for path in paths:
        name = path.resolve().name
        name = str(path) if last[name] > 1 else name
        if name in names:
            raise RequestError(f"{name} is named twice", hint="name different models")
        names[name] = path
    return names


def _same_task(loaded: Mapping[str, Loaded]) -> None:
    (first, one), *rest = loaded.items()
    for name, other in rest:
        if other.task != one.task:
            raise RequestError(
                f"{first} is for {one.task}, {name} for {other.task}", hint="compare models of one task"
            )
        labels = [set(model._task.describe().get("labels", [])) for model in (one, other)]
        if labels[0] != labels[1]:
            only = [", ".join(sorted(labels[at] - labels[1 - at])[:10]) or "none" for at in (0, 1)]
            raise RequestError(
                f"{first} and {name} have different labels: only {first}: {only[0]}; only {name}: {only[1]}",
                hint="fine-tune both on the same labels",
            )


def _pairs(
    systems: Sequence[System],
    examples: Sequence[Example],
    metrics: Sequence[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> list[Pair]:
    """Each system beside the first, on each metric that can be measured on other examples."""
    found = []
    first, *rest = systems
    for name in metrics:
        if name not in first.measures or len(examples) < 2:
            continue
        one = first.measures[name]
        tests = [
            approximate_randomisation(one, other.measures[name], resamples, seed).p_value for other in rest
        ]
        for other, chance in zip(rest, holm(tests), strict=True):
            drawn = paired_bootstrap(one, other.measures[name], confidence, resamples, seed)
            low, high = (drawn.interval.low, drawn.interval.high) if drawn.interval else (float("nan"),) * 2
            right = _right(first, other, examples) if name in ("accuracy", "exact") else None
            found.append(
                Pair(first.name, other.name, name, drawn.difference, low, high, chance, drawn.p_value, right)
            )
    return found


def _right(first: System, second: System, examples: Sequence[Example]) -> McNemar | None:
    both = [
        [system.model._task.right(answer, e) for answer, e in zip(system.answers, examples, strict=True)]
        for system in (first, second)
    ]
    if any(one is None for side in both for one in side):
        return None
    return mcnemar(*[[bool(one) for one in side] for side in both])
