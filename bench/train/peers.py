"""The trainings that take turns: liju's, transformers' Trainer (twice) and nanoGPT's loop."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from turns import Over, Training
from works import HEADS, LENGTHS, SHAPES, VOCAB, WIDTH, network, rows

from liju.objective import Objective
from liju.train import TrainSettings, train
from liju.train.live import Quiet

# What Trainer is told whatever it trains: to compute on the CPU, and to write and say nothing.
SILENT: dict[str, Any] = {
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "remove_unused_columns": False,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
TOKENS = 4096  # a step of ours, and of the others at their best


def flops_a_token(family: str, share: float, length: float) -> float:
    """Useful FLOPs of a real token, forward and backward: 6 a weight that meets it, and attention's two
    products. `share` of the tokens reach the vocabulary; `length` is what a token attends to, on average."""
    layers, d_ff = SHAPES[family]["num_layers"], 4 * WIDTH
    block = 4 * WIDTH**2 + 2 * WIDTH * d_ff
    attend = 2 * WIDTH * length  # scores and their sum over values
    if family == "encdec":  # half of the tokens stand on each side; cross-attention reads both
        return 6 * (layers * (block + 4 * WIDTH**2 / 2 + 1.5 * attend) + share * VOCAB * WIDTH)
    return 6 * (
        layers * (block + attend) + share * (VOCAB * WIDTH + (WIDTH**2 if family == "encoder" else 0))
    )


class Steps(Quiet):
    """Tells the table of every step of liju's loop."""

    def __init__(self, training: Training, flops: float):
        self.training, self.flops = training, flops

    def step(self, line: Any) -> None:
        self.training.step_done(line["tokens"], line["tokens"] * self.flops)


def ours(family: str, work: Objective, flops: float) -> Training:
    def run(training: Training) -> None:
        settings = TrainSettings(
            steps=100_000,
            batch_tokens=TOKENS,
            micro_batch_tokens=2 * TOKENS,  # a step with its empty places
            precision="float32",
            compile="off",
            device="cpu",
            evaluate_every=100_000,
            save_every=100_000,
        )
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            train(network(family), work, settings, Path(folder) / "run", live=Steps(training, flops))

    return Training("liju", run)


def padded(batch: list[dict[str, Any]], kept: deque[int]) -> dict[str, torch.Tensor]:
    """transformers' dynamic padding: every row as long as the batch's longest."""
    fill = {"input_ids": 0, "token_type_ids": 0, "labels": -100}
    made: dict[str, torch.Tensor] = {}
    for key, value in fill.items():
        if key in batch[0]:
            width = max(len(row[key]) for row in batch)
            table = np.full((len(batch), width), value)
            for i, row in enumerate(batch):
                table[i, : len(row[key])] = row[key]
            made[key] = torch.from_numpy(table)
    sizes = torch.tensor([len(row["input_ids"]) for row in batch])
    width = made["input_ids"].shape[1]
    made["attention_mask"] = (torch.arange(width) < sizes[:, None]).long()
    if "next_sentence_label" in batch[0]:
        made["next_sentence_label"] = torch.tensor([row["next_sentence_label"] for row in batch])
    kept.append(sum(row["length"] for row in batch))
    return made


def theirs(family: str, dropout: float) -> Any:
    """transformers' network of the same shape."""
    from transformers import (
        BertConfig,
        BertForPreTraining,
        GPT2Config,
        GPT2LMHeadModel,
        T5Config,
        T5ForConditionalGeneration,
    )

    layers = SHAPES[family]["num_layers"]
    if family == "encoder":
        shape = {"num_hidden_layers": layers, "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH}
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        return BertForPreTraining(BertConfig(vocab_size=VOCAB, hidden_size=WIDTH, **shape, **rates))
    if family == "decoder":
        shape = {"n_layer": layers, "n_head": HEADS, "n_embd": WIDTH, "n_positions": LENGTHS[family]}
        rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, **shape, **rates))
    shape = {"num_layers": layers, "num_heads": HEADS, "d_model": WIDTH, "d_kv": WIDTH // HEADS}
    return T5ForConditionalGeneration(
        T5Config(vocab_size=VOCAB, d_ff=4 * WIDTH, dropout_rate=dropout, decoder_start_token_id=0, **shape)
    )


def trainer(family: str, work: Objective, flops: float, best: bool) -> Training:
    """transformers' Trainer: 8 rows a step in random order with the model's own dropout (0.1), or, at its
    best, as many tokens a step as ours, grouped by length, without dropout."""
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    kept: deque[int] = deque()

    class Tell(TrainerCallback):
        def __init__(self, training: Training):
            self.training = training

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            tokens = kept.popleft()
            self.training.step_done(tokens, tokens * flops)

    def run(training: Training) -> None:
        data = rows(family, work, 12_000)
        mean = sum(row["length"] for row in data) / len(data)
        more: dict[str, Any] = {"per_device_train_batch_size": 8}
        if best:
            more["per_device_train_batch_size"] = round(TOKENS / mean)
            if family != "decoder":  # its blocks are of one length
                more |= {"train_sampling_strategy": "group_by_length", "length_column_name": "length"}
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                max_steps=100_000,
                **SILENT,
                **more,
            )
            Trainer(
                theirs(family, 0.0 if best else 0.1),
                arguments,
                train_dataset=data,  # type: ignore[arg-type]
                data_collator=lambda batch: padded(batch, kept),
                callbacks=[Tell(training)],
            ).train()

    return Training("Trainer, best" if best else "Trainer, defaults", run)


def load_module(path: Path) -> Any:
    """A Python file that is not ours, as a module."""
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def nanogpt(path: Path, work: Objective, flops: float) -> Training:
    """The loop of nanoGPT's train.py on a CPU (eager, no dropout) around its own model.py."""
    module = load_module(path)

    def run(training: Training) -> None:
        length = LENGTHS["decoder"]
        stream = torch.tensor([i for row in rows("decoder", work, 12_000) for i in row["input_ids"]])
        config = module.GPTConfig(
            block_size=length,
            vocab_size=VOCAB,
            n_layer=SHAPES["decoder"]["num_layers"],
            n_head=HEADS,
            n_embd=WIDTH,
            dropout=0.0,
            bias=True,
        )
        model = module.GPT(config)
        optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.95), "cpu")
        count = TOKENS // length
        while True:
            start = torch.randint(len(stream) - length, (count,)).tolist()
            X = torch.stack([stream[i : i + length] for i in start])
            Y = torch.stack([stream[i + 1 : i + 1 + length] for i in start])
            _, loss = model(X, Y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            training.step_done(X.numel(), X.numel() * flops)

    return Training("nanoGPT", run)


def products() -> Training:
    """Nothing but matrix products of training shapes: the peak that the others are measured against."""

    def run(training: Training) -> None:
        a, b = torch.randn(2048, WIDTH), torch.randn(WIDTH, 4 * WIDTH)
        out = torch.empty(2048, 4 * WIDTH)
        while True:
            for _ in range(16):
                torch.mm(a, b, out=out)
            training.step_done(1, 16 * 2 * a.numel() * b.shape[1])

    return Training("matrix products", run)


__all__ = ["Over", "flops_a_token", "load_module", "nanogpt", "ours", "products", "trainer"]
