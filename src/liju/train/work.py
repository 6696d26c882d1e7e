"""How much arithmetic a step is: what the use of the machine (MFU) is reckoned with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from liju.model.config import TransformerConfig
from liju.model.heads import POOLED
from liju.samples.batch import Batch, Side

__all__ = ["Stack", "Work", "pairs_within"]


@dataclass(frozen=True)
class Stack:
    """One side's blocks: the numbers that each of its tokens is multiplied with, and its attention."""

    weights: int = 0
    layers: int = 0  # that see their whole segment
    near_layers: int = 0  # that see `window` places around
    window: int = 0
    causal: bool = False


@dataclass(frozen=True)
class Work:
    r"""Useful FLOPs of training, forward and backward.

    $6$ for each weight of a matrix and token that goes through it (Kaplan et al. 2020, arXiv:2001.08361), and
    $12 H d_k$ for each pair of a query and a key that it may see, in each layer (Chowdhery et al. 2022,
    appendix B; they count every pair of a row, this counts the visible ones: half of them in causal order,
    none across samples, none to empty places). What is computed beyond that is not useful: padding, pairs
    behind a mask, activations computed again.
    """

    encoder: Stack
    decoder: Stack
    memory: int = 0  # weights of cross-attention's keys and values, met by the encoder's tokens
    across: int = 0  # layers of cross-attention
    each_pair: int = 0  # H d_k
    heads: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module) -> Work:
        sides, heads, memory, pooler = {"encoder": 0, "decoder": 0}, {}, 0, 0
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                parts = name.split(".")
                if parts[0] == "heads" and len(parts) > 1:
                    heads[parts[1]] = heads.get(parts[1], 0) + module.weight.numel()
                elif parts[0] == "pooler":
                    pooler += module.weight.numel()
                elif "cross_attention" in parts and parts[-1] in ("W_k", "W_v"):
                    memory += module.weight.numel()
                elif "blocks" in parts:
                    side = "decoder" if parts[0] == "decoder" else "encoder"
                    sides[side] += module.weight.numel()
        heads = {name: size + pooler * (name in POOLED) for name, size in heads.items()}
        if getattr(getattr(model, "config", None), "tied", False):  # the vocabulary projection
            token = getattr(model, "token", None)
            heads["words"] = heads.get("words", 0) + (token.weight.numel() if token is not None else 0)
        config = getattr(model, "config", None)
        if not isinstance(config, TransformerConfig):
            return cls(Stack(sides["encoder"]), Stack(sides["decoder"]), memory, heads=heads)
        return cls(
            _stack(config, sides["encoder"], config.encoder_layers, causal=False),
            _stack(config, sides["decoder"], config.decoder_layers, causal=True),
            memory,
            config.decoder_layers if config.family == "encdec" else 0,
            config.num_heads * config.d_k,
            heads,
        )

    @property
    def weights(self) -> int:
        """Weights of the blocks' matrices."""
        return self.encoder.weights + self.decoder.weights + self.memory

    def flops(self, batches: Sequence[Batch]) -> float:
        """Useful FLOPs of a step, forward and backward."""
        weights = pairs = 0.0
        for batch in batches:
            counts = {}
            for side, stack in ((batch.encoder, self.encoder), (batch.decoder, self.decoder)):
                if side is None:
                    continue
                lengths = counts[stack.causal] = _lengths(side)
                weights += stack.weights * float(lengths.sum())
                pairs += stack.layers * float(pairs_within(lengths, stack.causal).sum())
                if stack.near_layers:
                    near = pairs_within(lengths, stack.causal, stack.window)
                    pairs += stack.near_layers * float(near.sum())
            if len(counts) == 2:
                weights += self.memory * float(counts[False].sum())
                both = min(part.shape[1] for part in counts.values())
                pairs += self.across * float((counts[False][:, :both] * counts[True][:, :both]).sum())
            weights += sum(self.heads.get(name, 0) * len(t.index) for name, t in batch.targets.items())
        return 6 * weights + 12 * self.each_pair * pairs


def _stack(config: TransformerConfig, weights: int, layers: int, causal: bool) -> Stack:
    if not config.window:
        return Stack(weights, layers, causal=causal)
    whole = -(-layers // config.global_every) if config.global_every else 0
    return Stack(weights, whole, layers - whole, config.window, causal)


def _lengths(side: Side) -> Tensor:
    """Tokens of each segment of each row: [row, segment]."""
    rows, most = side.segment.shape[0], int(side.segment.max())
    place = torch.arange(rows, device=side.segment.device)[:, None] * (most + 1) + side.segment
    counts = torch.bincount(place.flatten(), minlength=rows * (most + 1)).view(rows, most + 1)
    return counts[:, 1:].double()  # segment 0 is empty places


def pairs_within(lengths: Tensor, causal: bool, window: int = 0) -> Tensor:
    """Pairs of a query and a key that it may see, in segments of these lengths; with a window, those at most
    so many places apart.

    >>> pairs_within(torch.tensor([5.0]), causal=True), pairs_within(torch.tensor([5.0]), False, window=1)
    (tensor([15.]), tensor([13.]))
    """
    n = lengths
    far = torch.clamp(n - 1 - window, min=0) if window else torch.zeros_like(n)
    behind = n * (n + 1) / 2 - far * (far + 1) / 2
    return behind if causal else 2 * behind - n
