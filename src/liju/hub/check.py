"""Law 7: what was written computes what is in memory, to a stated bound, or it is refused."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from liju.errors import BundleError
from liju.model import Transformer, TransformerConfig
from liju.model.heads import POOLED
from liju.samples.batch import Batch, Side

__all__ = ["BOUNDS", "check_export", "difference", "probe_batch", "probe_outputs"]

# Largest difference allowed, as a share of the largest output.
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def probe_batch(config: TransformerConfig, rows: int = 2, length: int = 17) -> Batch:
    """The fixed batch that two models are compared on: the same for the same sizes, on every machine.

    >>> probe_batch(TransformerConfig(vocab_size=97, max_length=5)).encoder.tokens.shape
    torch.Size([2, 5])
    """
    length = min(length, config.max_length)

    def side(start: int, types: int = 0) -> Side:
        number = torch.arange(start, start + rows * length, dtype=torch.int64)
        # Knuth's multiplicative hash: spreads over the vocabulary without any generator's state.
        tokens = (number * 2654435761 % 4294967296 * config.vocab_size) >> 32
        kinds = (torch.arange(rows * length) % length * types // length).reshape(rows, length)
        return Side.of(tokens.reshape(rows, length), kinds if types else None)

    encoder = side(1, config.num_types) if config.has_encoder else None
    return Batch(encoder, side(1001) if config.has_decoder else None, {})


@torch.no_grad()
def probe_outputs(model: Transformer, batch: Batch | None = None) -> dict[str, Tensor]:
    """What a model answers to the probe: its last hidden states, and each head's outputs."""
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        batch = (probe_batch(model.config) if batch is None else batch).to(device)
        hidden = model(batch)
        outputs = {"hidden": hidden.float() if hidden.dtype.itemsize < 4 else hidden}
        for name in model.heads:
            picked = hidden[:, 0] if name in POOLED else hidden.flatten(0, 1)
            outputs[name] = model.predict(name, picked)
        return {name: tensor.detach().cpu() for name, tensor in outputs.items()}
    finally:
        model.train(was_training)


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference of two sets of outputs, as a share of each output's largest value.

    >>> round(difference({"words": torch.tensor([2.0, -4.0])}, {"words": torch.tensor([2.0, -4.5])}), 4)
    0.125
    """
    if set(a) != set(b):
        return float("inf")
    worst = [torch.zeros((), dtype=torch.float64)]
    for name in a:
        scale = a[name].abs().max().double().clamp_min(1e-30)
        worst.append((a[name].double() - b[name].double()).abs().max() / scale)
    return float(torch.stack(worst).max())  # torch's max keeps a NaN, Python's loses it


def check_export(model: Transformer, loaded: Transformer, bound: float | None = None) -> dict[str, Any]:
    """Compare a model with what was read back from its folder; the figures for the bundle's report.

    Raises BundleError when they differ by more than the bound (by default that of the dtype).
    """
    dtype = next(model.parameters()).dtype
    bound = BOUNDS.get(dtype, 1e-5) if bound is None else bound
    before, after = probe_outputs(model), probe_outputs(loaded)
    found = difference(before, after)
    if not found <= bound:  # a NaN is refused too
        raise BundleError(
            f"the exported model does not compute what the one in memory does: {found:.2e} > {bound:.0e}",
            hint="this is a fault of liju, or the weights hold a value that is not a number",
        )
    return {
        "law": "exported = native",
        "difference": found,
        "bound": bound,
        "dtype": str(dtype).removeprefix("torch."),
        "outputs": sorted(before),
        "holds": True,
    }
