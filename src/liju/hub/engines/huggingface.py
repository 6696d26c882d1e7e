"""A Hugging Face folder: the bundle's own form, in a dtype of choice, read back and compared."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch

from liju.hub.bundle import Bundle, load_bundle, save_bundle
from liju.hub.check import BOUNDS, difference, probe_outputs
from liju.hub.engines.checks import Check, Made

__all__ = ["make_huggingface"]


def make_huggingface(folder: Path, bundle: Bundle, dtype: str) -> Made:
    """Write config.json, model.safetensors and the tokenizer into the folder, and compare.

    Raises BundleError where what is read back is not what was written.
    """
    kind = getattr(torch, dtype)
    model = bundle.model
    if next(model.parameters()).dtype != kind:
        model = deepcopy(model).to(kind)
    provenance = {**bundle.provenance, "exported from": bundle.folder.resolve().name}
    saved = save_bundle(folder, model, bundle.tokenizer, bundle.task, provenance, overwrite=True)
    # In the arithmetic of the model in memory: what differs is what the weights were rounded by.
    again = load_bundle(folder)
    read = again.model.to(next(bundle.model.parameters()).dtype)
    found = difference(probe_outputs(bundle.model), probe_outputs(read))
    what = "last hidden state and heads of two rows, as a share of the largest"
    # Weights of more bits lose them; the other way nothing is lost.
    rough = max(BOUNDS.get(kind, 1e-5), BOUNDS.get(next(bundle.model.parameters()).dtype, 1e-5))
    checks = [Check("outputs", what, found, rough)]
    if bundle.tokenizer is not None:
        other = again.tokenizer is None or again.tokenizer.fingerprint != bundle.tokenizer.fingerprint
        checks.append(Check("tokenizer", "the tokenizer read back is another", float(other), 0.0))
    left = [f"liju.safetensors: what {saved.architecture} has no place for"]
    held = (folder / "liju.safetensors").exists()
    return Made(
        "liju, which reads the folder back",
        checks,
        left if held else [],
        [f"transformers loads it as {saved.architecture}"],
        {"architecture": saved.architecture},
    )
