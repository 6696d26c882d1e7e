"""Activation checkpointing: a block's activations are computed again in the backward pass, not kept.

`blocks` keeps the input of each block alone (Chen et al. 2016, arXiv:1604.06174): memory falls to about a
tenth, a step takes a third longer. `selective` keeps the results of matrix products and attention, and
computes the cheap rest again (Korthikanti et al. 2022, arXiv:2205.05198): most of the memory for a few per
cent of the time. The gradients are the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from liju.model.attention import Visibility

__all__ = ["Recompute", "recompute"]

Recompute = Literal["off", "blocks", "selective"]

# By name: which of them exist depends on how torch was built.
KEPT = (
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)


def _kept() -> set[Any]:
    found = {getattr(torch.ops.aten, name).default for name in KEPT if hasattr(torch.ops.aten, name)}
    for module, name in (("_c10d_functional", "reduce_scatter_tensor"), ("torch_attn", "_varlen_attn")):
        packet = getattr(getattr(torch.ops, module), name, None)
        if packet is not None:
            found.add(packet.default)
    return found


def _contexts(kept: set[Any]) -> Any:
    def policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if operator in kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def recompute(blocks: Iterable[nn.Module], mode: Recompute) -> Callable[[], None]:
    """Let each block do without its activations while training; gives a function that undoes it.

    >>> block = nn.Sequential(nn.Linear(3, 5), nn.GELU())
    >>> undo = recompute([block], "blocks")
    >>> block(torch.ones(2, 3, requires_grad=True)).sum().backward()
    >>> undo()
    """
    chosen = list(blocks) if mode != "off" else []
    more: dict[str, Any] = {"context_fn": partial(_contexts, _kept())} if mode == "selective" else {}
    for block in chosen:
        inner = block.forward

        def forward(*args: Any, inner: Any = inner, block: nn.Module = block, **kwargs: Any) -> Any:
            if not (block.training and torch.is_grad_enabled()):
                return inner(*args, **kwargs)
            for value in (*args, *kwargs.values()):
                _made(value, args[0])
            return checkpoint(inner, *args, use_reentrant=False, **more, **kwargs)

        block.forward = forward

    def undo() -> None:
        for block in chosen:
            block.__dict__.pop("forward", None)

    return undo


def _made(value: Any, x: Any) -> None:
    """A bias that learns is made into a mask once a forward pass, by the first block that asks. That must not
    be a block that is computed again: the second time it would find the mask made, and compute less."""
    if isinstance(value, Visibility) and value.bias is not None:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        value._added(torch.empty(1, 1, x.shape[1], 0, dtype=dtype, device=x.device))
