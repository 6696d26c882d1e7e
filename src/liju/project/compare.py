"""Step 6: the fine-tuned model on held-out examples, in one table with simpler systems."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liju.evaluate import METRICS, ScoreTable
from liju.finetune import Answer, Example, Task, finetune
from liju.ngram import KneserNey, NgramClassifier, StatisticalTranslator, TranslationMemory
from liju.project.directory import Stopped, write_json
from liju.project.leaks import examples_of
from liju.project.parts import TASK_TYPES, initialise, trained

if TYPE_CHECKING:
    from liju.project.directory import Run

__all__ = ["evaluate_step"]

MAIN = "fine-tuned"


def evaluate_step(run: Run, folder: Path) -> dict[str, Any]:
    """Score every system on the same held-out examples, over the same seeds."""
    project = run.project
    examples = examples_of(run)
    own = trained(run.ensure("finetune").folder)
    task = TASK_TYPES[project.finetune.task].from_description(dict(own.bundle.task))
    metrics = [name for name in METRICS if name in _metrics(task)]
    table = ScoreTable(metrics, main=MAIN)

    def scored(seed: int, pretrained: bool) -> list[dict[str, float]]:
        """The scores of one fine-tuning; seed 0 with pre-training is the run's own model."""
        answers = _answers(run, folder, task, examples.train, examples.test, seed, pretrained)
        return [task.score(answers, examples.test)]

    systems: dict[str, tuple[str, Callable[[], list[dict[str, float]]]]] = {}
    for name, note, answers in _simple(run, task, examples.train, examples.test):
        systems[name] = (note, lambda answers=answers: [task.score(answers(), examples.test)])
    seeds = range(project.evaluate.seeds)
    if "scratch" in project.evaluate.baselines:
        systems["from scratch"] = (
            "the same network, without pre-training",
            lambda: [score for seed in seeds for score in scored(seed, pretrained=False)],
        )
    systems[MAIN] = ("", lambda: [score for seed in seeds for score in scored(seed, pretrained=True)])
    for name, (note, score) in systems.items():
        found = score()
        table.add(name, note, **{metric: [each[metric] for each in found] for metric in metrics})
        means = ", ".join(table.cell(table.rows[-1], column).value for column in table.columns)
        run.tell(f"  {name}: {means}")
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return {
        "task": task.name,
        "metric": task.metric,
        "table": table.to_dict(),
        "examples": _chosen(task, answers, examples.test),
        "labels": getattr(task, "labels", []),
    }


def _metrics(task: Task) -> tuple[str, ...]:
    return {
        "classification": ("accuracy", "macro_f1"),
        "translation": ("bleu", "chrf"),
        "generation": ("bits_per_byte",),
    }[task.name]


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
    own = pretrained and seed == 0
    where = folder / f"{'pretrained' if pretrained else 'scratch'}-{seed}.json"
    if where.exists():  # an evaluation that was stopped goes on with what it had
        return json.loads(where.read_text(encoding="utf-8"))
    step = "finetune" if own else "pretrain"
    start = trained(run.ensure(step).folder)
    model, tokenizer = start.model, start.tokenizer
    if not own:
        if not pretrained:
            model = initialise(project, tokenizer.size, project.seed + seed)
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


def _simple(
    run: Run, task: Task, train: Sequence[Example], test: Sequence[Example]
) -> list[tuple[str, str, Callable[[], list[Answer]]]]:
    """The systems without a network: name, remark, answers."""
    wanted = run.project.evaluate.baselines
    found: list[tuple[str, str, Callable[[], list[Answer]]]] = []
    if task.name == "classification":
        most = Counter(example["label"] for example in train).most_common(1)[0][0]
        if "majority" in wanted:
            found.append(("majority class", f"always {most!r}", lambda: [{"label": most} for _ in test]))
        if "ngram" in wanted:
            order = 5

            def label() -> list[Answer]:
                model = NgramClassifier(order).fit(
                    [example.input for example in train], [example["label"] for example in train]
                )
                return [{"label": found} for found in model.predict([example.input for example in test])]

            found.append(("n-gram", f"Kneser-Ney of characters, order {order}, a label each", label))
    elif task.name == "translation":
        if {"ngram", "retrieval"} & set(wanted):

            def nearest() -> list[Answer]:
                memory = TranslationMemory().fit(
                    [example["source"] for example in train], [example["target"] for example in train]
                )
                return [{"text": text} for text in memory.translate([e["source"] for e in test])]

            found.append(("n-gram", "translation memory: the nearest training pair", nearest))
        if "statistical" in wanted:
            most = 100_000  # a few minutes of one thread, and a few GB

            def phrases() -> list[Answer]:
                pairs = [(example["source"], example["target"]) for example in train[:most]]
                model = StatisticalTranslator().fit(
                    [source for source, _ in pairs], [target for _, target in pairs]
                )
                return [{"text": text} for text in model.translate([e["source"] for e in test])]

            note = "phrases by IBM Model 1, Kneser-Ney, beam search"
            note += f"; the first {most:,} pairs" if len(train) > most else ""
            found.append(("statistical", note, phrases))
        if "majority" in wanted:
            found.append(("copy", "the source as it is", lambda: [{"text": e["source"]} for e in test]))
    elif "ngram" in wanted:
        tokenizer = trained(run.ensure("pretrain").folder).tokenizer

        def nats() -> list[Answer]:
            """Trained on all that the network was: the pre-training text and the examples."""
            from liju.samples import TokenShards

            shards = TokenShards(run.ensure("samples").folder / "train")
            ids = tokenizer.encode_batch([example["text"] for example in train])
            model = KneserNey(5, vocabulary=tokenizer.size).fit([*shards.documents(), *ids])
            rows = tokenizer.encode_batch([example["text"] for example in test])
            return [{"nats": -float(total)} for total in model.totals(rows)]

        found.append(("n-gram", "modified Kneser-Ney of tokens, order 5, on the same text", nats))
    return found


def _chosen(
    task: Task, answers: Sequence[Answer], test: Sequence[Example], each: int = 12
) -> list[dict[str, Any]]:
    """Examples for the report: the surest mistakes, then right answers."""
    rows = []
    for answer, example in zip(answers, test, strict=True):
        if "nats" in answer:
            continue
        rows.append(
            {
                "text": example.values.get("text", example.values.get("source", "")),
                "pair": example.values.get("pair", ""),
                "expected": example.values.get("label", example.values.get("target", "")),
                "answered": answer.get("label", answer.get("text", "")),
                "score": answer.get("score"),
                "right": task.right(answer, example),
            }
        )
    wrong = sorted((row for row in rows if row["right"] is False), key=lambda row: -(row["score"] or 0))
    right = [row for row in rows if row["right"]]
    unknown = [row for row in rows if row["right"] is None]
    return [*wrong[:each], *right[:: max(1, len(right) // each)][:each], *unknown[:each]]
