"""The parts of a Transformer as ONNX nodes: embeddings, masks, rotations, blocks, heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from liju.hub.engines.onnx_graph import Graph
from liju.hub.engines.stock import Stock
from liju.model import TransformerConfig, positional_encoding
from liju.model.heads import POOLED
from liju.model.position import RelativeBias, Rotary

__all__ = ["Parts"]

LOWEST = -1e30  # added where a query may not look; a row that sees nothing stays a number


@dataclass
class Parts:
    """Writes parts of one stack (`side`: encoder or decoder) into a graph; values are names in it."""

    graph: Graph
    config: TransformerConfig
    stock: Stock
    side: str
    token: str = ""
    first_value: str = ""  # the first block's values, where the later ones mix them in
    _turns: dict[float, tuple[str, str]] = field(default_factory=dict)

    @property
    def windows(self) -> list[int]:
        """How far each block looks; 0: everywhere."""
        config = self.config
        layers = config.encoder_layers if self.side == "encoder" else config.decoder_layers
        return [
            config.window if not config.global_every or i % config.global_every else 0 for i in range(layers)
        ]

    def linear(self, x: str, ours: str) -> str:
        """A linear layer of ours."""
        return self.graph.linear(x, self.stock[f"{ours}.weight"], self.stock.get(f"{ours}.bias"))

    def norm(self, x: str, ours: str) -> str:
        """A norm of ours, of the kind that the configuration names."""
        weight, eps = self.stock[f"{ours}.weight"], self.config.norm_eps
        if self.config.norm == "rms":
            return self.graph.rms_norm(x, weight, eps)
        return self.graph.layer_norm(x, weight, self.stock.get(f"{ours}.bias"), eps)

    def embed(self, ids: str, position: str) -> str:
        """Token, position and type embeddings, summed; types are an input of their own."""
        g, config = self.graph, self.config
        self.token = g.weight("token", self.stock["token.weight"])
        x = g("Gather", self.token, ids)
        if config.embedding_scale:
            x = g("Mul", x, g.constant(config.d_model**0.5))
        if f"{self.side}.project_in.weight" in self.stock:
            x = self.linear(x, f"{self.side}.project_in")
        if config.position == "learned":
            table = self.stock[f"{self.side}.position.weight"][config.position_offset :]
            x = g("Add", x, g("Gather", g.weight("position", table), position))
        elif config.position == "sinusoidal":
            table = positional_encoding(config.max_length, config.d_model, halves=config.sinusoid_halves)
            x = g("Add", x, g("Gather", g.weight("position", table.float().numpy()), position))
        if f"{self.side}.type.weight" in self.stock:
            types = g.input("token_type_ids", "int64", ["batch", "length"])
            x = g("Add", x, g("Gather", g.weight("type", self.stock[f"{self.side}.type.weight"]), types))
        return self.norm(x, f"{self.side}.embedding_norm") if config.embedding_norm else x

    def column(self, mask: str) -> str:
        """[batch key] to a truth for [batch head query key]."""
        return self.graph("Cast", self.graph("Unsqueeze", mask, self.graph.ints(1, 2)), to=9)  # bool

    def distance(self, queries: str, keys: str) -> str:
        """The key's place minus the query's: [query key]."""
        g = self.graph
        return g("Sub", g("Unsqueeze", keys, g.ints(0)), g("Unsqueeze", queries, g.ints(1)))

    def mask(self, seen: str, distance: str, window: int, causal: bool) -> str:
        """What is added to the scores: the bias by distance, and the lowest number where no one may look."""
        g, config = self.graph, self.config
        if causal:
            seen = g("And", seen, g("LessOrEqual", distance, g.constant(0, np.int64)))
        if window:
            near = g("LessOrEqual", g("Abs", distance), g.constant(window, np.int64))
            seen = g("And", seen, near)
        bias = g.constant(0.0)
        if config.position == "relative":
            # Every distance past the last bucket's falls into it, so that a table holds them all.
            far = max(config.relative_max_distance, config.relative_buckets)
            table = RelativeBias(
                1,
                buckets=config.relative_buckets,
                max_distance=config.relative_max_distance,
                bidirectional=not causal,
            ).bucket(torch.arange(-far, far + 1))
            clipped = g("Clip", distance, g.constant(-far, np.int64), g.constant(far, np.int64))
            bucket = g(
                "Gather",
                g.weight(f"bucket_{window}", table.numpy()),
                g("Add", clipped, g.constant(far, np.int64)),
            )
            weight = g.weight(f"relative_{window}", self.stock[f"{self.side}.relative.weight"])
            bias = g("Unsqueeze", g("Transpose", g("Gather", weight, bucket), perm=[2, 0, 1]), g.ints(0))
        return g("Where", seen, bias, g.constant(LOWEST))

    def rope(self, position: str, window: int) -> tuple[str, str] | None:
        """Cosines and sines of each place, [batch 1 place half]."""
        config, g = self.config, self.graph
        if config.position != "rope":
            return None
        theta = (config.rope_theta_local or config.rope_theta) if window else config.rope_theta
        if theta not in self._turns:
            tables = Rotary(config.d_k, theta, config.rope_scaling)(
                torch.arange(config.max_length)[None], torch.float32
            )
            made = []
            for kind, table in zip(("cos", "sin"), tables, strict=True):
                weight = g.weight(f"{kind}_{theta}", table[0, :, 0].numpy())
                made.append(g("Unsqueeze", g("Gather", weight, position), g.ints(1)))
            self._turns[theta] = (made[0], made[1])
        return self._turns[theta]

    def split(self, x: str, ours: str, norm: str | None = None, rope: tuple[str, str] | None = None) -> str:
        """[batch place heads * d_k] to [batch head place d_k], normed and turned."""
        g, d_k = self.graph, self.config.d_k
        x = g("Reshape", self.linear(x, ours), g.ints(0, 0, -1, d_k))
        if norm is not None and f"{norm}.weight" in self.stock:
            x = g.rms_norm(x, self.stock[f"{norm}.weight"], self.config.norm_eps)
        x = g("Transpose", x, perm=[0, 2, 1, 3])
        if rope is not None:
            cos, sin = rope
            a, b = g.several("Split", 2, x, axis=-1, num_outputs=2)
            turned = g("Sub", g("Mul", a, cos), g("Mul", b, sin))
            x = g("Concat", turned, g("Add", g("Mul", b, cos), g("Mul", a, sin)), axis=-1)
        return x

    def _attend(self, q: str, k: str, v: str, mask: str) -> str:
        """softmax(Q K^T scale + mask) V, [batch place heads * d_k]."""
        g, config = self.graph, self.config
        groups = config.num_heads // config.num_kv_heads
        if groups > 1:
            k, v = (self._repeat(x, groups) for x in (k, v))
        scale = config.d_k**-0.5 if config.attention_scale is None else config.attention_scale
        scores = g("MatMul", g("Mul", q, g.constant(scale)), g("Transpose", k, perm=[0, 1, 3, 2]))
        weights = g("Softmax", g("Add", scores, mask), axis=-1)
        context = g("Transpose", g("MatMul", weights, v), perm=[0, 2, 1, 3])
        return g("Reshape", context, g.ints(0, 0, config.num_heads * config.d_k))

    def _repeat(self, x: str, groups: int) -> str:
        g, config = self.graph, self.config
        wide = g("Tile", g("Unsqueeze", x, g.ints(2)), g.ints(1, 1, groups, 1, 1))
        sizes = g("Concat", g.size(x, 0), g.ints(config.num_heads), g.size(x, 2), g.ints(config.d_k), axis=0)
        return g("Reshape", wide, sizes)

    def block(
        self,
        i: int,
        x: str,
        mask: str,
        rope: tuple[str, str] | None,
        past: tuple[str, ...] | None = None,
        cross: tuple[str, ...] | None = None,
        across: str | None = None,
    ) -> tuple[str, str, str]:
        """A block: its output, and the keys and values of its self-attention."""
        g, config, ours = self.graph, self.config, f"{self.side}.blocks.{i}"
        kept: list[str] = []

        def attention(h: str) -> str:
            inner = f"{ours}.attention"
            k = self.split(h, f"{inner}.W_k", f"{inner}.norm_k", rope)
            v = self.split(h, f"{inner}.W_v")
            if config.value_residual:
                if i == 0:
                    self.first_value = v
                else:
                    mix = self.stock[f"{inner}.value_mix"].tolist()
                    first, own = g.constant(mix[0]), g.constant(mix[1])
                    v = g("Add", g("Mul", first, self.first_value), g("Mul", own, v))
            if past is not None:
                k, v = (g("Concat", old, new, axis=2) for old, new in zip(past, (k, v), strict=True))
            kept.extend((k, v))
            q = self.split(h, f"{inner}.W_q", f"{inner}.norm_q", rope)
            return self.linear(self._attend(q, k, v, mask), f"{inner}.W_o")

        def cross_attention(h: str) -> str:
            inner = f"{ours}.cross_attention"
            assert cross is not None and across is not None
            key, value = cross
            q = self.split(h, f"{inner}.W_q", f"{inner}.norm_q")
            seen = g("Where", across, g.constant(0.0), g.constant(LOWEST))
            return self.linear(self._attend(q, key, value, seen), f"{inner}.W_o")

        def feedforward(h: str) -> str:
            inner = f"{ours}.feedforward"
            wide = self.linear(h, f"{inner}.W_1")
            if config.gated:
                gate = g.activation(config.activation, self.linear(h, f"{inner}.W_gate"))
                wide = g("Mul", gate, wide)
            else:
                wide = g.activation(config.activation, wide)
            return self.linear(wide, f"{inner}.W_2")

        def norm(h: str, name: str) -> str:
            there = f"{ours}.{name}.weight" in self.stock
            return self.norm(h, f"{ours}.{name}") if there else h  # ModernBERT's first block has none

        if config.norm_place == "parallel":
            h = norm(x, "norm_attention")
            x = g("Add", x, g("Add", attention(h), feedforward(h)))
            return x, kept[0], kept[1]
        parts: list[tuple[Callable[[str], str], str]]
        parts = [(attention, "norm_attention"), (feedforward, "norm_feedforward")]
        if cross is not None:
            parts.insert(1, (cross_attention, "norm_cross"))
        for part, name in parts:
            if config.norm_place == "post":
                x = norm(g("Add", x, part(x)), name)
            else:
                x = g("Add", x, part(norm(x, name)))
        return x, kept[0], kept[1]

    def final(self, x: str) -> str:
        """The norm after the last block, where there is one."""
        return self.norm(x, f"{self.side}.final_norm") if self.config.final_norm else x

    def heads(self, x: str, heads: dict[str, int], length: str) -> None:
        """An output for each head."""
        g = self.graph
        for name, outputs in heads.items():
            if name == "words":
                g.output("words", self._words(x), "float32", ["batch", length, outputs])
                continue
            h = x
            first = name in POOLED and self.side == "encoder"
            if first:  # what judges a whole text looks at its first place
                h = g("Squeeze", g("Slice", x, g.ints(0), g.ints(1), g.ints(1)), g.ints(1))
            if name in POOLED and "pooler.weight" in self.stock:
                h = g("Tanh", self.linear(h, "pooler"))
            shape: list[str | int] = ["batch", outputs] if first else ["batch", length, outputs]
            g.output(name, self.linear(h, f"heads.{name}"), "float32", shape)

    def _words(self, x: str) -> str:
        g, config = self.graph, self.config
        if f"{self.side}.project_out.weight" in self.stock:
            x = self.linear(x, f"{self.side}.project_out")
        if config.head == "mlm":
            x = self.norm(
                g.activation(config.activation, self.linear(x, "heads.words.dense")), "heads.words.norm"
            )
        if config.logit_scale is not None:
            x = g("Mul", x, g.constant(config.logit_scale))
        untied = self.stock.get("heads.words.projection.weight")
        if untied is None:
            logits = g("MatMul", x, g("Transpose", self.token, perm=[1, 0]))
        else:
            logits = g.linear(x, untied)
        bias = self.stock.get("heads.words.bias")
        if bias is not None:
            logits = g("Add", logits, g.weight("words_bias", bias))
        if config.softcap:
            cap = g.constant(config.softcap)
            logits = g("Mul", g("Tanh", g("Div", logits, cap)), cap)
        return logits
