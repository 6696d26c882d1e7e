"""Step 6: the fine-tuned model on held-out examples, in one table with simpler systems."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liju.errors import DataError
from liju.evaluate import (
    METRICS,
    Average,
    Interval,
    Measure,
    ScoreTable,
    bootstrap,
    bootstrap_of_parts,
    paired_bootstrap,
)
from liju.finetune import Answer, Baseline, Example, Task, finetune
from liju.finetune.folds import cross_validate
from liju.ngram import KneserNey
from liju.project.directory import Stopped, write_json
from liju.project.leaks import examples_of
from liju.project.measuring import RESAMPLES, calibration_of, measures_of, mistakes_of, shown, sliced
from liju.project.parts import TASK_TYPES, initialise, trained
from liju.project.splits import folded_examples

if TYPE_CHECKING:
    from liju.project.directory import Run

__all__ = ["evaluate_step"]

MAIN = "fine-tuned"
# Fields with the right answer.


def evaluate_step(run: Run, folder: Path) -> dict[str, Any]:
    """Score every system on the same held-out examples, over the same seeds."""
    project = run.project
    examples = examples_of(run)
    own = trained(run.ensure("finetune").folder)
    task = TASK_TYPES[project.finetune.task].from_description(dict(own.bundle.task))
    metrics = [name for name in METRICS if name in task.shown]
    table = ScoreTable(metrics, main=MAIN)

    def answered(seed: int, pretrained: bool) -> list[Answer]:
        """The answers of one fine-tuning; seed 0 with pre-training is the run's own model."""
        return _answers(run, folder, task, examples.train, examples.test, seed, pretrained)

    systems: dict[str, tuple[str, Callable[[], list[list[Answer]]]]] = {}
    for simple in _simple(run, task, examples.train, examples.test):
        systems[simple.name] = (simple.note, lambda answers=simple.answers: [answers()])
    seeds = range(project.evaluate.seeds)
    if "scratch" in project.evaluate.baselines:
        systems["from scratch"] = (
            "the same network, without pre-training",
            lambda: [answered(seed, pretrained=False) for seed in seeds],
        )
    systems[MAIN] = ("", lambda: [answered(seed, pretrained=True) for seed in seeds])
    known: dict[str, dict[str, Measure]] = {}
    for name, (note, given) in systems.items():
        found = given()
        scores = [task.score(answers, examples.test) for answers in found]
        known[name] = _averaged([measures_of(task, answers, examples.test) for answers in found])
        columns: dict[str, Any] = {
            metric: [each[metric] for each in scores if metric in each] for metric in metrics
        }
        table.add(name, note, intervals=_intervals(known[name], metrics), **columns)
        means = ", ".join(table.cell(table.rows[-1], column).value for column in table.columns)
        run.tell(f"  {name}: {means}")
    _compare(table, known)
    if project.finetune.folds:
        _cross_validated(run, folder, task, table, metrics)
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    own_measures = measures_of(task, answers, examples.test)
    says, mistakes = mistakes_of(task, answers, examples.test, own_measures)
    sure, asked = calibration_of(task, answers, examples.test)
    return {
        "task": task.name,
        "metric": task.metric,
        "table": table.to_dict(),
        "examples": _chosen(task, answers, examples.test),
        "mistakes": {"says": says, "rows": mistakes},
        "slices": [
            {"metric": name, "whole": all_of_them.to_dict(), "parts": [part.to_dict() for part in parts]}
            for name, all_of_them, parts in sliced(own_measures, examples.test)
        ],
        "labels": getattr(task, "labels", []),
        "calibration": {**asdict(sure), "note": asked} if sure else None,
    }


def _cross_validated(run: Run, folder: Path, task: Task, table: ScoreTable, metrics: Sequence[str]) -> None:
    """A row of the table in which every example was held out once: a value a part, the interval of their
    mean. Its examples are not those of the other rows."""
    project, examples = run.project, folded_examples(run)

    def start() -> tuple[Any, Any]:
        loaded = trained(run.ensure("pretrain").folder)
        return loaded.model, loaded.tokenizer

    def kept(part: int, make: Callable[[], list[Answer]]) -> list[Answer]:
        where = folder / f"fold-{part}.json"
        if not where.exists():
            answers = make()
            if not answers:
                raise Stopped(f"part {part + 1} stopped", hint="the same command with --resume")
            write_json(where, answers)
        return json.loads(where.read_text(encoding="utf-8"))

    answers, numbers = cross_validate(
        start,
        task,
        examples,
        project.finetune,
        folder,
        project.evaluate,
        kept,
        seed=project.seed,
        device=project.device,
        precision=project.pretrain.precision,
        live=run.live("folds") if run.live else None,
    )
    each, measures = [], []
    for part in range(project.finetune.folds):
        at = [i for i, number in enumerate(numbers) if number == part]
        own = [answers[i] for i in at], [examples[i] for i in at]
        each.append(task.score(*own))
        measures.append(measures_of(task, *own))
    columns: dict[str, Any] = {metric: [one[metric] for one in each] for metric in metrics}
    note = f"each of {len(examples):,} examples held out once; the seeds are the parts; compared with no row"
    name = f"{MAIN}, {project.finetune.folds} parts"
    table.add(name, note, intervals=_intervals_of_parts(measures, metrics), apart=True, **columns)
    shown = ", ".join(table.cell(table.rows[-1], column).value for column in table.columns)
    run.tell(f"  {name}: {shown}")


def _averaged(seeds: Sequence[dict[str, Measure]]) -> dict[str, Measure]:
    """Of each metric the mean over the seeds, on the same examples."""
    return {name: Average([one[name] for one in seeds]) for name in seeds[0]}


def _intervals(measures: dict[str, Measure], metrics: Sequence[str]) -> dict[str, Interval]:
    """The interval of each metric, where there are examples enough to speak of one."""
    if any(measure.size < 2 for measure in measures.values()):
        return {}
    return {n: bootstrap(one, resamples=RESAMPLES) for n, one in measures.items() if n in metrics}


def _intervals_of_parts(parts: Sequence[dict[str, Measure]], metrics: Sequence[str]) -> dict[str, Interval]:
    """The interval of each metric's mean over the parts, which is what the table says; a part of one example
    has none, and so have too few for a correlation."""
    found: dict[str, Interval] = {}
    if any(measure.size < 2 for part in parts for measure in part.values()):
        return found
    for name in (name for name in parts[0] if name in metrics):
        with contextlib.suppress(DataError):  # no resample has a value
            found[name] = bootstrap_of_parts([part[name] for part in parts], resamples=RESAMPLES)
    return found


def _compare(table: ScoreTable, measures: dict[str, dict[str, Measure]]) -> None:
    """The p-value of each system's difference to the main one: the paired bootstrap on the same examples."""
    names = [column.name for column in table.columns]
    table.rows = [
        replace(
            row,
            p_values={
                name: paired_bootstrap(measures[MAIN][name], one, resamples=RESAMPLES).p_value
                for name, one in measures[row.system].items()
                if row.system != MAIN and name in names and one.size > 1
            },
        )
        for row in table.rows
    ]


def _answers(
    run: Run,
    folder: Path,
    task: Task,
    train: Sequence[Example],
    test: Sequence[Example],
    seed: int,
    pretrained: bool,
) -> list[Answer]:
    """The answers of one fine-tuning, trained now if it is not the run's own."""
    project = run.project
    task = type(task).from_description(task.describe())  # a training may settle something of its own
    own = pretrained and seed == 0
    where = folder / f"{'pretrained' if pretrained else 'scratch'}-{seed}.json"
    if where.exists():  # an evaluation that was stopped goes on with what it had
        return json.loads(where.read_text(encoding="utf-8"))
    step = "finetune" if own else "pretrain"
    start = trained(run.ensure(step).folder)
    model, tokenizer = start.model, start.tokenizer
    if not own:
        if not pretrained:
            switches = model.config if project.model.path else None
            model = initialise(project, tokenizer.size, project.seed + seed, switches)
        name = where.stem
        result = finetune(
            model,
            tokenizer,
            task,
            train,
            project.finetune,
            folder / name,
            seed=project.seed + seed,
            device=project.device,
            precision=project.pretrain.precision,
            resume=(folder / name).exists(),  # _make_room saw to it that this was asked for
            live=run.live(name) if run.live else None,
        )
        if result.stopped:
            raise Stopped(f"{name} stopped at step {result.step:,}", hint="the same command with --resume")
    model.eval()
    answers = task.evaluate(model, tokenizer, test, project.evaluate)
    write_json(where, answers)
    if own:
        write_json(folder / "answers.json", answers)
        with open(folder / "answers.jsonl", "w", encoding="utf-8") as file:
            for example, answer in zip(test, answers, strict=True):
                row = {**example.values, "place": example.place, "answer": answer}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return answers


def _simple(run: Run, task: Task, train: Sequence[Example], test: Sequence[Example]) -> list[Baseline]:
    """The systems without a network."""
    wanted = run.project.evaluate.baselines
    found = task.baselines(wanted, train, test)
    if task.name == "generation" and "ngram" in wanted:
        tokenizer = trained(run.ensure("pretrain").folder).tokenizer

        def nats() -> list[Answer]:
            """Trained on all that the network was: the pre-training text and the examples."""
            from liju.samples import TokenShards

            shards = TokenShards(run.ensure("samples").folder / "train")
            ids = tokenizer.encode_batch([example["text"] for example in train])
            model = KneserNey(5, vocabulary=tokenizer.size, end=tokenizer.eos)
            model.fit([*shards.documents(), *ids])
            rows = tokenizer.encode_batch([example["text"] for example in test])
            return [{"nats": -float(total)} for total in model.totals(rows)]

        note = "modified Kneser-Ney of tokens, order 5, on the same text"
        found.append(Baseline("n-gram", note, nats))
    return found


def _chosen(
    task: Task, answers: Sequence[Answer], test: Sequence[Example], each: int = 12
) -> list[dict[str, Any]]:
    """Examples for the report: the surest mistakes, then right answers."""
    rows = []
    for answer, example in zip(answers, test, strict=True):
        if "nats" in answer and "text" not in answer:
            continue
        rows.append(shown(answer, example, task.right(answer, example)))
    wrong = sorted((row for row in rows if row["right"] is False), key=lambda row: -(row["score"] or 0))
    right = [row for row in rows if row["right"]]
    unknown = [row for row in rows if row["right"] is None]
    return [*wrong[:each], *right[:: max(1, len(right) // each)][:each], *unknown[:each]]
