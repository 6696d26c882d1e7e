"""A model from the tensors of a file: each in its place, all of them, no others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from liju.errors import BundleError
from liju.hub.config_map import Architecture
from liju.hub.convert import import_tensors
from liju.hub.weights import read_weights, widest
from liju.model import Transformer, TransformerConfig

if TYPE_CHECKING:
    from liju.vocab import Tokenizer

__all__ = ["NAMED", "check_sizes", "fill"]

NAMED = {"label", "tag"}  # heads whose outputs have names


def fill(
    folder: Path,
    config: TransformerConfig,
    heads: Mapping[str, int],
    where: Architecture | None,
    tensors: dict[str, Tensor],
) -> Transformer:
    """A model of these switches and heads, with these weights."""
    with torch.random.fork_rng(devices=[]):  # a load must not move the caller's random numbers
        model = Transformer(config)
        for name, outputs in heads.items():
            if name not in model.heads:
                model.add_head(name, outputs)
    model.keep_heads(heads)
    state = model.state_dict()
    file = str(folder / "model.safetensors")
    if where is None:
        ours = _exactly(tensors, state, file)
    else:
        table = where.table(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        ours = import_tensors(tensors, table, shapes, where.kind.copies_beside(table), file)
        rest = {name: tensor for name, tensor in state.items() if name not in ours}
        extra = folder / "liju.safetensors"
        ours |= _exactly(read_weights(extra) if rest or extra.exists() else {}, rest, str(extra))
    model.to(widest(ours, file))
    model.load_state_dict(ours)
    return model.eval()


def _exactly(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors under our own names: all of them, no others."""
    for name, tensor in state.items():
        if name not in tensors:
            raise BundleError(f"{where}: missing tensor {name}")
        if tensors[name].shape != tensor.shape:
            raise BundleError(
                f"{where}: {name} has the shape {list(tensors[name].shape)}, expected {list(tensor.shape)}"
            )
    for name in tensors:
        if name not in state:
            raise BundleError(f"{where}: unexpected tensor {name}")
    return dict(tensors)


def check_sizes(
    config: TransformerConfig,
    tokenizer: Tokenizer | None,
    task: Mapping[str, Any],
    heads: Mapping[str, int],
    where: str,
) -> None:
    """Raise BundleError where the tokenizer has more tokens than the embedding rows, or a head not one output
    a label."""
    if tokenizer is not None and tokenizer.size > config.vocab_size:
        raise BundleError(
            f"{where}: the tokenizer has {tokenizer.size} tokens, the embedding {config.vocab_size} rows "
            "(vocab_size in config.json)",
            hint="this tokenizer.json belongs to another model",
        )
    labels = task.get("labels")
    for head in NAMED & heads.keys():
        if labels and len(labels) != heads[head]:
            raise BundleError(f"{where}: {len(labels)} labels for a head of {heads[head]} outputs")
