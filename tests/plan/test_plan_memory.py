"""The memory formulas against what autograd keeps, and against the operating system's figure."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from liju.model import Transformer, TransformerConfig
from liju.plan import training_memory
from liju.samples.batch import Batch, Side

SHAPES = {
    "bert": ("encoder", {}),
    "bert, dropout": ("encoder", {"dropout": 0.1}),
    "relu": ("encoder", {"activation": "relu"}),
    "llama": ("decoder", {}),
    "one key": ("decoder", {"num_kv_heads": 1}),
    "gpt": ("decoder", {"norm": "layer", "gated": False, "position": "learned", "activation": "gelu"}),
    "t5": ("encdec", {}),
    "t5, dropout": ("encdec", {"dropout": 0.1}),
}


def kept(config: TransformerConfig, rows: int, length: int) -> int:
    """Bytes that autograd holds after a forward pass, parameters aside."""
    model = Transformer(config).train()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    tokens = torch.randint(5, config.vocab_size, (rows, length))
    side = Side.of(tokens, torch.zeros_like(tokens) if config.num_types else None)
    batch = Batch(side if config.has_encoder else None, side if config.has_decoder else None, {})
    held: dict[int, torch.Tensor] = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in parameters:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model(batch)
    found = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    del hidden
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_block_keeps_what_the_formula_says(shape):
    family, switches = SHAPES[shape]

    def config(layers: int) -> TransformerConfig:
        return TransformerConfig.default(
            family,
            vocab_size=31,
            d_model=32,
            num_heads=4,
            d_ff=100,
            num_layers=layers,
            max_length=16,
            head="none",
            **switches,
        )

    places = 3 * 16 * (2 if family == "encdec" else 1)
    ours = [training_memory(config(layers), places, 16).activations for layers in (1, 3)]
    real = [kept(config(layers), 3, 16) for layers in (1, 3)]
    assert ours[1] - ours[0] == pytest.approx(real[1] - real[0], rel=0.06)


# Not among the configurations that the allocator's share was fitted on.
TRAININGS = {
    "encoder": (
        "encoder",
        {"vocab_size": 7000, "d_model": 160, "num_layers": 7, "num_heads": 5},
        {"batch_tokens": 3584, "length": 112, "predicted": 0.15},
    ),
    "decoder": (
        "decoder",
        {"vocab_size": 3500, "d_model": 288, "num_layers": 5, "num_heads": 6},
        {"batch_tokens": 2400, "length": 80},
    ),
    "encdec": (
        "encdec",
        {"vocab_size": 5500, "d_model": 240, "num_layers": 3, "num_heads": 4},
        {"batch_tokens": 3600, "length": 72, "target": 48},
    ),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator's share is that of glibc")
@pytest.mark.parametrize(
    "name", ["encoder", *(pytest.param(name, marks=pytest.mark.slow) for name in ("decoder", "encdec"))]
)
def test_peak_of_a_training_run(name):
    """The operating system's figure for a whole `train()`, less that of the program before it."""
    family, switches, how = TRAININGS[name]
    measured = Path(__file__).with_name("plan_training.py")
    what = json.dumps([family, switches, {**how, "steps": 4}])
    done = subprocess.run([sys.executable, measured, what], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    planned = training_memory(
        TransformerConfig.default(family, **switches),
        how["batch_tokens"],
        how["length"],
        how.get("target", 0),
        predicted=how.get("predicted", 1.0),
    ).total
    assert planned == pytest.approx(json.loads(done.stdout)["bytes"], rel=0.10)
