"""What an encoder and a decoder share: embeddings, blocks, and what attention needs to know of positions."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from liju.errors import ModelError
from liju.model.attention import Visibility
from liju.model.block import Block
from liju.model.config import TransformerConfig
from liju.model.dropout import Dropout
from liju.model.norm import make_norm
from liju.model.position import RelativeBias, Rotary, make_position
from liju.samples.batch import Side

__all__ = ["Stack"]


class Stack(nn.Module):
    """Embeddings and blocks. `Encoder` and `Decoder` are this with their own order of seeing.

    >>> Stack(TransformerConfig(d_model=6, num_heads=2, num_layers=3), layers=3, causal=False).blocks[2].place
    'post'
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        layers: int,
        causal: bool,
        cross: bool = False,
        types: int = 0,
        project_out: bool = False,
    ):
        super().__init__()
        self.causal, self.d_k = causal, config.d_k
        self.grouped = config.num_kv_heads != config.num_heads
        self.scale = config.d_model**0.5 if config.embedding_scale else 1.0
        narrow = config.d_embedding != config.d_model
        self.project_in = nn.Linear(config.d_embedding, config.d_model, bias=False) if narrow else None
        self.position = make_position(config)
        self._modules["type"] = nn.Embedding(types, config.d_model) if types else None
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.dropout = Dropout(config.dropout)
        # Blocks are of two kinds: those that see everything (window 0) and those that see a window.
        self.windows = [
            config.window if not config.global_every or i % config.global_every else 0 for i in range(layers)
        ]
        self.num_heads, self.rope, self.rope_local = config.num_heads, None, None
        if config.position == "rope":
            self.rope = Rotary(config.d_k, config.rope_theta, config.rope_scaling)
            self.rope_local = Rotary(
                config.d_k, config.rope_theta_local or config.rope_theta, config.rope_scaling
            )
        self.relative = None
        if config.position == "relative":
            self.relative = RelativeBias(
                config.num_heads,
                buckets=config.relative_buckets,
                max_distance=config.relative_max_distance,
                bidirectional=not causal,
            )
        self.blocks = nn.ModuleList(Block(config, cross=cross, first=i == 0) for i in range(layers))
        self.final_norm = make_norm(config) if config.final_norm else None
        # Back to the width of the embeddings, for an output projection that is tied to them.
        self.project_out = (
            nn.Linear(config.d_model, config.d_embedding, bias=False) if narrow and project_out else None
        )

    @property
    def type(self) -> nn.Module | None:  # type: ignore[override]
        """The embedding of token types. (nn.Module has a method of this name, which no one here calls.)"""
        return self._modules["type"]

    def embed(
        self,
        token: nn.Embedding,
        tokens: Int[Tensor, "row place"],
        position: Int[Tensor, "row place"],
        types: Int[Tensor, "row place"] | None = None,
    ) -> Float[Tensor, "row place d_model"]:
        """Token, position and type embeddings, summed. Raises ModelError for a position outside the table."""
        x = token(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        if self.project_in is not None:
            x = self.project_in(x)
        if self.position is not None:
            longest = self.position.max_length
            # On a GPU the question would wait for the device, so only a row that can leave the table asks.
            asks = position.device.type == "cpu" or tokens.shape[1] > longest
            if asks and int(position.max()) >= longest:
                raise ModelError(
                    f"position {int(position.max())} is outside the table of {longest} positions",
                    hint="shorten the text, or train with a larger max_length",
                )
            x = x + self.position(position, x.dtype)
        if self.type is not None:
            x = x + self.type(torch.zeros_like(tokens) if types is None else types)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return self.dropout(x)

    def sights(self, side: Side, dtype: torch.dtype) -> dict[int, Visibility]:
        """Who sees whom, for each window that occurs in the blocks. dtype: of the blocks' input."""
        place = torch.arange(side.tokens.shape[1], device=side.tokens.device)
        within = {w: Visibility.within(side.segment, causal=self.causal, window=w) for w in set(self.windows)}
        bias = self.relative is not None
        return self._biased({w: self._ready(seen, dtype, bias) for w, seen in within.items()}, place, place)

    def _ready(self, sight: Visibility, dtype: torch.dtype, bias: bool) -> Visibility:
        """With the kernel for its rows chosen, where they are many segments on a device that has one."""
        if sight.spans is None:
            return sight
        kind = sight.spans.query.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        spans = sight.spans.ready(dtype, self.d_k, bias=bias, grouped=self.grouped)
        return replace(sight, spans=spans)

    def sights_onward(self, place: Int[Tensor, "row query"], keys: int) -> dict[int, Visibility]:
        """The same for new tokens at `place` that look at a cache of `keys` places."""
        return self._biased(
            {w: Visibility.onward(place, keys, window=w) for w in set(self.windows)},
            place,
            torch.arange(keys, device=place.device),
        )

    def _biased(self, sights: dict[int, Visibility], query: Tensor, key: Tensor) -> dict[int, Visibility]:
        if self.relative is None:
            return sights
        # Distance is counted in places of the row: within a segment that is the distance of positions.
        if any(sight.spans is not None for sight in sights.values()):
            table = self.relative.by_distance()
            return {window: replace(sight, by_distance=table) for window, sight in sights.items()}
        bias = self.relative(query, key)
        return {window: sight.with_bias(bias) for window, sight in sights.items()}

    def ropes(
        self, position: Int[Tensor, "row place"], dtype: torch.dtype
    ) -> dict[int, tuple[Tensor, Tensor] | None]:
        """Cosines and sines for each window that occurs in the blocks."""
        if self.rope is None or self.rope_local is None:
            return dict.fromkeys(self.windows)
        heads = self.num_heads if position.device.type == "cpu" else 1
        made: dict[float, tuple[Tensor, Tensor]] = {}
        by_window: dict[int, tuple[Tensor, Tensor] | None] = {}
        for window in set(self.windows):
            rope = self.rope_local if window else self.rope
            if rope.theta not in made:
                made[rope.theta] = rope(position, dtype, heads)
            by_window[window] = made[rope.theta]
        return by_window
