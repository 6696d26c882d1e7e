"""The laws, checked on the very model that was trained; the figures go into its bundle and its report."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from liju.generate.session import Session
from liju.model import Transformer
from liju.objective import Objective, losses
from liju.samples import Batch, Sample, assemble, micro_batches

__all__ = ["BOUND", "check_laws"]

BOUND = 1e-3  # nats and logits, in float32; the tests hold the laws to 1e-9 in float64


@torch.inference_mode()
def check_laws(model: Transformer, objective: Objective, samples: int = 8) -> dict[str, Any]:
    """Laws 1 and 2 (packed = unpacked = split), and 4 (cached = uncached) where there is a decoder.

    Gives {law: {"holds", "difference", "bound"}}, the difference being the largest seen.
    """
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    chosen = [objective.sample(int(n)) for n in np.arange(min(samples, objective.size))]

    def total(batches: list[Batch]) -> float:
        found = [losses(model, batch.to(device)) for batch in batches]
        return sum(float(value) / len(chosen) for each in found for value, _ in each.values())

    alone = total([batch for one in chosen for batch in micro_batches([one], 1, pad=objective.pad)])
    packed = total(micro_batches(chosen, 10**9, "packed", objective.pad))
    split = total(micro_batches(chosen, max(sum(one.lengths) for one in chosen) * 3, pad=objective.pad))
    laws = {"1": _figure(packed - alone), "2": _figure(split - alone)}
    if model.config.has_decoder:
        laws["4"] = _figure(_cached(model, chosen[0]))
    model.train(training)
    return laws


def _cached(model: Transformer, sample: Sample) -> float:
    """The largest difference between writing a sample's tokens one by one and all at once."""
    assert sample.decoder is not None
    batch = assemble([sample]).to(next(model.parameters()).device)
    tokens = sample.decoder.tolist()
    sources = [sample.encoder.tolist()] if sample.encoder is not None else None
    session = Session(model, [tokens[:1]], sources)
    rows = [session.logits]
    for token in tokens[1:]:
        session.step([token])
        rows.append(session.logits)
    return float((torch.cat(rows) - model.logits(batch)[0]).abs().max())


def _figure(difference: float) -> dict[str, Any]:
    return {"holds": abs(difference) <= BOUND, "difference": abs(difference), "bound": BOUND}
