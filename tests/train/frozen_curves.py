"""The loss curves of one small recipe a family, and the file that they are frozen in.

python tests/train/frozen_curves.py     # writes frozen.json anew: when a change of the numbers is meant
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked
from liju.objective.examples import shards, tokenizer
from liju.train import Run, TrainSettings, train

FROZEN = Path(__file__).with_name("frozen.json")
OBJECTIVES = {"encoder": Masked, "decoder": Causal, "encdec": Denoising}
STEPS = 30


def curve(family: str, **change: Any) -> list[float]:
    """The losses of 30 steps: real text, real tokenizer, Muon, dropout, two micro-batches a step."""
    words = tokenizer(family)
    objective = OBJECTIVES[family](shards(family), words, max_length=24)
    torch.manual_seed(7)
    model = Transformer(
        TransformerConfig.default(
            family,
            vocab_size=words.size,
            d_model=24,
            num_heads=3,
            num_layers=2,
            d_ff=40,
            max_length=24,
            dropout=0.1,
        )
    )
    if family == "encoder":
        model.add_head("next_sentence", 2)
    settings = {
        "steps": STEPS,
        "batch_tokens": 90,
        "micro_batch_tokens": 64,
        "optimizer": "muon",
        "learning_rate": 3e-3,
        "precision": "float32",
        "compile": "off",
        "layout": "grouped",
        "device": "cpu",
    }
    with tempfile.TemporaryDirectory() as folder:
        train(model, objective, TrainSettings(**{**settings, **change}), folder)
        losses = [line["loss"] for line in Run(folder).metrics() if "loss" in line]
    if len(losses) != STEPS:
        raise OSError(f"metrics.jsonl has {len(losses)} of {STEPS} steps: is the disk full?")
    return losses


def machine() -> dict[str, str]:
    """What must be the same for the same bits: torch, the kind of CPU, its widest units, one thread."""
    name = ""
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        kinds = ("vendor_id", "cpu family", "model\t", "CPU implementer", "CPU part")
        lines = cpu.read_text().split("\n\n")[0].splitlines()
        name = " ".join(line.split(":")[1].strip() for line in lines if line.startswith(kinds))
    return {
        "torch": torch.__version__,
        "cpu": name,
        "units": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    frozen = {"machine": machine(), "curves": {family: curve(family) for family in OBJECTIVES}}
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n")
    sys.stdout.write(f"wrote {FROZEN}\n")
