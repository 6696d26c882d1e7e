"""What pre-training for a given time is worth downstream: liju's masked words beside transformers' BERT.

Both read the same text in the same tokens, of a recipe of this project (by default the Chinese encoder of
recipes/few-labels, width 128, 3 layers). transformers' BertForPreTraining has the same width, layers, heads
and feed-forward width, and is trained by Trainer: `defaults` are its rows (8), rate (5e-5), dropout (0.1) and
random order; `best` has rows as many as a step of ours has tokens, grouped by length, no dropout, a rate that
is searched and a tenth of warm-up. Its linear schedule follows the share of time passed. liju's is as the
recipe says: its optimizer, rates, schedule, batch and masking. Then each network is fine-tuned by liju in the
same way: the same examples, steps and order. It is scored on the held-out ones; so is one that was not
pre-trained.

    python bench/train/downstream.py --seconds 240 [--share 0.5] [--seeds 3] [--clock cpu]
    python bench/train/downstream.py --seconds 60 --search 1e-3 2e-3 4e-3

Trainer's rows are made once, with their masks, as its example script for static masking does; ours have new
masks every pass. Time is of the training steps. Reads LIJU_DATA.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
import tomllib
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from decoders import CLOCKS
from peers import SILENT, padded
from timed import Taken, timed
from works import rows

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.config import Evaluate, Finetune
from liju.finetune import TASKS, finetune, read_examples
from liju.hub import import_folder
from liju.model import Transformer
from liju.objective import Masked, held_out
from liju.project.parts import model_config
from liju.project.way import open_run
from liju.samples import TokenShards
from liju.train import TrainSettings
from liju.vocab import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
SHOWN = {"classification": "accuracy", "tagging": "entity_f1"}


class Work:
    """The text of a recipe: what is trained on, the judge, and how liju trains."""

    def __init__(self, recipe: Path, folder: Path):
        run = open_run(recipe, tell=lambda line: None)
        run.base = folder
        samples = run.ensure("samples").folder
        self.project = run.project
        self.tokenizer = Tokenizer.load(run.ensure("vocab").folder / "tokenizer")
        self.shards = TokenShards(samples / "train")
        held = samples / "held_out"
        self.judge = Masked(TokenShards(held), self.tokenizer, self.length, next_sentence=False)
        self.config = model_config(self.project, len(self.tokenizer))

    @property
    def length(self) -> int:
        return self.project.model.max_length

    @lru_cache(maxsize=1)  # noqa: B019 - one seed's rows, for both of Trainer's runs
    def rows(self, seed: int) -> list[dict[str, Any]]:
        """Samples as Trainer reads them, more than it gets through in some minutes."""
        return rows("encoder", self.masked(seed, 0.15), 30_000)

    def masked(self, seed: int, rate: float) -> Masked:
        return Masked(
            self.shards, self.tokenizer, self.length, seed, rate, self.project.pretrain.next_sentence
        )


def untrained(work: Work, seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(work.config)
    model.add_head("next_sentence", 2)
    return model


def ours(work: Work, seconds: float, clock: str, seed: int) -> tuple[Transformer, Taken]:
    section = work.project.pretrain
    model = untrained(work, seed)
    settings = TrainSettings.of(section, seed=seed)
    mine = work.masked(seed, section.mask_rate)
    return model, timed(model, mine, settings, seconds, clock, section.schedule, seed)


WARM = 0.1  # share of the time in which Trainer's rate, at its best, rises: BERT's layer norms need it


def theirs(
    work: Work, seconds: float, clock: str, seed: int, rate: float, best: bool
) -> tuple[Transformer, Taken]:
    """transformers' BERT after its time, as liju reads its folder."""
    from transformers import (
        BertConfig,
        BertForPreTraining,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.utils import logging

    logging.set_verbosity_error()
    told, drop = work.config, 0.0 if best else 0.1
    torch.manual_seed(seed)
    model = BertForPreTraining(
        BertConfig(
            vocab_size=told.vocab_size,
            hidden_size=told.d_model,
            num_hidden_layers=told.num_layers,
            num_attention_heads=told.num_heads,
            intermediate_size=told.d_ff or 4 * told.d_model,
            max_position_embeddings=work.length,
            hidden_dropout_prob=drop,
            attention_probs_dropout_prob=drop,
        )
    )
    data = work.rows(seed)
    kept: deque[int] = deque()
    taken, now = Taken(), CLOCKS[clock]
    began: list[float] = []

    def rate_share(done: float) -> float:
        return max(0.0, min(1.0, done / WARM if best else 1.0, (1 - done) / (1 - WARM if best else 1.0)))

    class Over(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if not began:
                began.append(now())

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            taken.steps += 1
            taken.tokens += kept.popleft()
            control.should_training_stop = now() - began[0] >= seconds

    more: dict[str, Any] = {"per_device_train_batch_size": 8}
    if best:
        mean = sum(row["length"] for row in data) / len(data)
        more["per_device_train_batch_size"] = round(work.project.pretrain.batch_tokens / mean)
        more |= {"train_sampling_strategy": "group_by_length", "length_column_name": "length"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=10_000_000,
            learning_rate=rate,
            seed=seed,
            logging_strategy="no",
            **SILENT,
            **more,
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=data,  # type: ignore[arg-type]
            data_collator=lambda batch: padded(batch, kept),
            callbacks=[Over()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.create_optimizer()
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            trainer.optimizer,  # type: ignore[arg-type]
            lambda step: rate_share((now() - began[0]) / seconds if began else 0.0),
        )
        trainer.train()
        model.eval().save_pretrained(Path(folder) / "bert")
        found = import_folder(Path(folder) / "bert").model
    return found, taken


def scored(model: Transformer, work: Work, name: str, limit: int, seed: int) -> float:
    """The score of a copy of the network after fine-tuning."""
    told = tomllib.loads((ROOT / "recipes" / "few-labels" / f"{name}.toml").read_text(encoding="utf-8"))
    settings = Finetune.model_validate(told["finetune"] | ({"limit": limit} if limit else {}))
    kind = TASKS[settings.task]
    examples = read_examples(
        settings, kind.needed, optional=kind.optional, from_row=getattr(kind, "from_row", None)
    )
    task = kind.of(examples.train, work.length)
    tuned = copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as folder:
        finetune(
            tuned, work.tokenizer, task, examples.train, settings, Path(folder) / "run",
            seed=seed, device="cpu", precision="float32",
        )  # fmt: skip
    tests = examples.test[:3000]
    answers = task.evaluate(tuned.eval(), work.tokenizer, tests, Evaluate())
    return 100 * task.score(answers, tests)[SHOWN[settings.task]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seconds", type=float, default=240, help="of transformers' BERT")
    parser.add_argument("--share", type=float, default=0.5, help="of the time that liju gets")
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "few-labels" / "encoder.toml")
    parser.add_argument("--tasks", nargs="+", default=["tnews", "cluener"], help="of recipes/few-labels")
    parser.add_argument("--limit", type=int, default=0, help="labelled examples; 0: as the recipe says")
    parser.add_argument("--seeds", type=int, default=3, help="how many; of pre-training and fine-tuning")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1e-3, help="of Trainer at its best")
    parser.add_argument("--search", type=float, nargs="+", help="rates to try, judged by masked words")
    parser.add_argument("--arms", nargs="+", default=["scratch", "liju", "best", "defaults"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        compare(asked, Work(asked.recipe, Path(folder)))


def compare(asked: argparse.Namespace, work: Work) -> None:
    size = f"{len(work.tokenizer)} pieces, {len(work.shards.tokens):,} tokens of text"
    print(f"{asked.seconds:.0f} s of {asked.clock} time, {asked.threads} threads; {size}", flush=True)
    if asked.search:
        for rate in asked.search:
            model, taken = theirs(work, asked.seconds, asked.clock, 97, rate, best=True)
            told = held_out(model.eval(), work.judge)["words"]
            print(f"  Trainer, best, rate {rate:g}: {told:.4f} nats a masked word, {taken}", flush=True)
        return
    half = asked.share * asked.seconds
    arms = {
        "scratch": lambda seed: (untrained(work, seed), Taken()),
        "liju": lambda seed: ours(work, half, asked.clock, seed),
        "best": lambda seed: theirs(work, asked.seconds, asked.clock, seed, asked.rate, True),
        "defaults": lambda seed: theirs(work, asked.seconds, asked.clock, seed, 5e-5, False),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asked.arms}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for name in asked.arms:
            began = time.process_time()
            model, taken = arms[name](seed)
            spent = time.process_time() - began
            told = {"nats": held_out(model.eval(), work.judge)["words"]}
            told |= {task: scored(model, work, task, asked.limit, seed) for task in asked.tasks}
            found[name].append(told)
            values = ", ".join(f"{key} {value:.3f}" for key, value in told.items())
            print(f"  seed {seed}: {name}: {values}; {taken}, {spent:.0f} s in all", flush=True)
    for name, runs in found.items():
        parts = []
        for key in runs[0]:
            values = [run[key] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            parts.append(f"{key} {statistics.mean(values):.2f} ± {spread:.2f}")
        print(f"{name:10} {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
