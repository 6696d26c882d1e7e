"""The memory formulas against what autograd keeps, and against the operating system's figure."""

from __future__ import annotations

import json
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


MEASURE = """
import json, sys
import torch
from liju.model import Transformer, TransformerConfig
from liju.objective.loss import losses
from liju.samples.batch import Batch, Side, Targets

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))

def train(config, rows, length, predicted, steps):
    model = Transformer(config).train()
    adamw = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(steps):
        tokens = torch.randint(5, config.vocab_size, (rows, length))
        side = Side.of(tokens)
        index = torch.randperm(rows * length)[: max(1, int(rows * length * predicted))].sort().values
        targets = {"words": Targets(index, tokens.flatten()[index], torch.ones(len(index)))}
        encoder, decoder = (side if has else None for has in (config.has_encoder, config.has_decoder))
        losses(model, Batch(encoder, decoder, targets))["words"][0].backward()
        adamw.step()
        adamw.zero_grad()

torch.set_num_threads(1)
family, switches, rows, length, predicted = json.loads(sys.argv[1])
train(TransformerConfig.default(family, vocab_size=31, d_model=24, num_heads=2, num_layers=1), 2, 8, 1, 1)
base = status("VmRSS")
train(TransformerConfig.default(family, **switches), rows, length, predicted, 3)
print(status("VmHWM") - base)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("family", "switches", "rows", "length", "predicted"),
    [
        ("encoder", {"vocab_size": 8192, "d_model": 256, "num_layers": 4, "num_heads": 4}, 32, 128, 0.15),
        ("decoder", {"vocab_size": 4096, "d_model": 384, "num_layers": 6, "num_heads": 6}, 8, 256, 1.0),
        ("encdec", {"vocab_size": 8192, "d_model": 256, "num_layers": 3, "num_heads": 4}, 32, 64, 1.0),
    ],
    ids=["encoder", "decoder", "encdec"],
)
def test_peak_of_a_training_run(family, switches, rows, length, predicted):
    what = json.dumps([family, switches, rows, length, predicted])
    done = subprocess.run([sys.executable, "-c", MEASURE, what], capture_output=True, text=True, check=True)
    config = TransformerConfig.default(family, **switches)
    places = rows * length * (2 if family == "encdec" else 1)
    planned = training_memory(config, places, length, predicted=predicted).total
    assert planned == pytest.approx(int(done.stdout), rel=0.25)
