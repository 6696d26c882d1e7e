"""The layout of rows that a network's attention is made for, where it is."""

from __future__ import annotations

import torch

from liju.model.config import TransformerConfig
from liju.model.kernels import able, failure
from liju.samples.layout import Layout

__all__ = ["layout_for"]


def layout_for(
    config: TransformerConfig, device: torch.device | str, dtype: torch.dtype
) -> tuple[Layout, str]:
    """ "flat" where FlashAttention by the ends of the segments does every attention of the network, else
    "grouped" (rows of one segment and of like length, which need no such kernel), and why.

    dtype: what attention computes in. FlexAttention, which knows biases and single precision, is not chosen:
    the gradient of a learned bias goes through one table of a few hundred numbers there, which every score
    adds to. Who asks for "flat" or "packed" by name gets it.

    >>> layout_for(TransformerConfig(), "cpu", torch.bfloat16)
    ('grouped', 'a cpu has no such kernel')
    """
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    grouped, bias = config.num_kv_heads != config.num_heads, config.position == "relative"
    why = able("varlen", device, dtype, config.d_k, bias=bias)
    # Cross-attention has the same heads and no bias: what serves the one serves the other.
    why = why or failure("varlen", device, dtype, config.d_k, bias, grouped)
    return ("grouped", why) if why else ("flat", "")
