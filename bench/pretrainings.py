"""What pre-training is worth, over several pre-trainings: the deviation between them beside that within one.

    LIJU_DATA=... OMP_NUM_THREADS=1 python bench/pretrainings.py recipes/few-labels/encoder.toml \\
        recipes/few-labels/people.toml recipes/few-labels/cluener.toml --seeds 0 1 2 --log FILE
    OMP_NUM_THREADS=1 python bench/pretrainings.py recipes/encoder.toml --seeds 0 1 2

The first file is pre-trained once a seed, on the same text and vocabulary. Each of the others is fine-tuned
from every one of them, once a seed; without others the first file's own [finetune] is. A training that FILE
has already is not done again. "between" is the deviation of the means of the pre-trainings; the fine-tunings
of each deviate "within". From scratch: the same network and seeds without pre-training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.finetune import finetune, load
from liju.finetune.loaded import pretrained_task
from liju.hub import save_bundle
from liju.objective import held_out
from liju.project import open_run
from liju.project.leaks import examples_of
from liju.project.parts import TASK_TYPES, initialise, objective_of
from liju.project.steps import tokenizer_of
from liju.train import TrainSettings, train


def pretrained(recipe: Path, seed: int, precision: str) -> Path:
    """The folder of the bundle of one pre-training, made now if it is not there."""
    run = open_run(recipe)
    where = run.folder / f"pretrained-{seed}"
    if (where / "bundle").exists():
        return where / "bundle"
    tokenizer, shards = tokenizer_of(run), run.ensure("samples").folder
    project = run.project.model_copy(update={"seed": seed})
    model = initialise(project, tokenizer.size)
    settings = TrainSettings.of(project.pretrain, seed=seed, device="cpu", precision=precision, compile="off")
    began = time.process_time()
    train(model, objective_of(project, shards / "train", tokenizer), settings, where / "run")
    seconds = time.process_time() - began
    against = objective_of(run.project, shards / "held_out", tokenizer)
    scores = held_out(model.eval(), against)
    print(f"pre-training {seed}: {seconds:.0f} s of the processor; held out: {shown(scores)}", flush=True)
    task = pretrained_task(model.config.family, model.config.max_length)
    save_bundle(where / "bundle", model, tokenizer, task.describe())
    return where / "bundle"


def shown(scores: dict[str, float]) -> str:
    names = [name for name in scores if not name.endswith(("_nats", "_count"))]
    return ", ".join(f"{name} {scores[name]:.3f}" for name in names)


def scores_of(task_file: Path, start: Path, words: Sequence[str], seed: int, scratch: bool, precision: str):
    """The scores of one fine-tuning from a bundle, or from first weights of its shape."""
    run = open_run(task_file, words)
    project, found, bundle = run.project, examples_of(run), load(start, device="cpu")
    model, tokenizer = bundle.model, bundle.tokenizer
    if scratch:
        model = initialise(project, tokenizer.size, seed, model.config)
    task = TASK_TYPES[project.finetune.task].of(found.train, model.config.max_length)
    with tempfile.TemporaryDirectory() as folder:
        finetune(
            model, tokenizer, task, found.train, project.finetune, Path(folder) / "run", seed=seed,
            device="cpu", precision=precision,
        )  # fmt: skip
    answers = task.evaluate(model.eval(), tokenizer, found.test, project.evaluate)
    return task.metric, task.score(answers, found.test), len(found.train), len(found.test)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pretrain", type=Path, help="a project file with [pretrain]")
    parser.add_argument("tasks", type=Path, nargs="*", help="project files with [finetune]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--log", type=Path, help="a file with a line of JSON a fine-tuning")
    told = parser.parse_args()
    known: list[dict[str, Any]] = []
    if told.log and told.log.exists():
        known = [json.loads(line) for line in told.log.read_text(encoding="utf-8").splitlines()]
    bundles = [pretrained(told.pretrain, seed, told.precision) for seed in told.seeds]
    for task_file in told.tasks or [told.pretrain]:
        own = not told.tasks

        def row(start: Path, first: str, seed: int, file=task_file, own=own) -> dict[str, Any]:
            key = {"task": f"{file.parent.name}/{file.stem}", "pretraining": first, "seed": seed}
            for one in known:
                if {name: one.get(name) for name in key} == key:
                    return one
            words = [] if own else [f"model.path={start.resolve()}"]
            began = time.process_time()
            metric, scores, train_size, test_size = scores_of(
                file, start, words, seed, first == "scratch", told.precision
            )
            seconds = round(time.process_time() - began, 1)
            sizes = {"train": train_size, "test": test_size, "seconds": seconds}
            found = {**key, "metric": metric, **scores, **sizes}
            print(json.dumps(found), flush=True)
            if told.log:
                with told.log.open("a", encoding="utf-8") as file_of_rows:
                    file_of_rows.write(json.dumps(found) + "\n")
            return found

        scratch = [row(bundles[0], "scratch", seed) for seed in told.seeds]
        tuned = [
            [row(bundle, str(first), seed) for seed in told.seeds]
            for first, bundle in zip(told.seeds, bundles, strict=True)
        ]
        report(task_file.stem, scratch, tuned)


def report(name: str, scratch: list[dict[str, Any]], tuned: list[list[dict[str, Any]]]) -> None:
    metric = scratch[0]["metric"]
    first, *rest = ([100 * one[metric] for one in rows] for rows in (scratch, *tuned))
    means = [statistics.mean(scores) for scores in rest]
    within = statistics.mean(map(statistics.variance, rest)) ** 0.5
    print(f"{name}: {metric}, {scratch[0]['train']:,} examples, {scratch[0]['test']:,} held out")
    print(f"  from scratch {statistics.mean(first):5.1f} ± {statistics.stdev(first):.1f}")
    print(
        f"  pre-trained  {statistics.mean(means):5.1f}, between ± {statistics.stdev(means):.1f} "
        f"({', '.join(f'{mean:.1f}' for mean in means)}), within ± {within:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
