"""A Transformer as graphs for ONNX Runtime, written node by node from the switches, so that lengths and batch
sizes are free.

encoder: model.onnx     input_ids, attention_mask, [token_type_ids]
                        -> last_hidden_state, and an output for each head, by its name
decoder: model.onnx     input_ids, attention_mask, past.{i}.key, past.{i}.value (0 or more places)
                        -> last_hidden_state, heads, present.{i}.key, present.{i}.value
encdec:  encoder.onnx   input_ids, attention_mask -> last_hidden_state, cross.{i}.key, cross.{i}.value
         decoder.onnx   as a decoder, with encoder_attention_mask and cross.{i}.key, cross.{i}.value

attention_mask is 1 where there is a token; an encoder's empty places come last, a decoder's first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liju.hub.engines.onnx_graph import Graph
from liju.hub.engines.onnx_parts import Parts
from liju.hub.engines.stock import Stock
from liju.model import TransformerConfig

__all__ = ["misfit", "write_onnx"]


def misfit(config: TransformerConfig, heads: Sequence[str]) -> str | None:
    """Why an ONNX graph cannot compute this: the writer knows every switch, so that there is no reason.

    >>> misfit(TransformerConfig(window=3, global_every=2, position="rope"), ["words"])
    """
    return None


def write_onnx(folder: Path, config: TransformerConfig, stock: Stock, heads: dict[str, int]) -> list[str]:
    """Write the graphs; the names of their files. Raises MissingExtra where onnx is not installed."""
    if config.family == "encdec":
        encoder = _Writer(Graph("encoder"), config, stock, "encoder")
        encoder.encode({}, cross=True)
        encoder.graph.save(folder / "encoder.onnx", "liju")
        decoder = _Writer(Graph("decoder"), config, stock, "decoder")
        decoder.decode(heads)
        decoder.graph.save(folder / "decoder.onnx", "liju")
        return ["encoder.onnx", "decoder.onnx"]
    writer = _Writer(Graph(config.family), config, stock, config.family)
    if config.family == "encoder":
        writer.encode(heads, cross=False)
    else:
        writer.decode(heads)
    writer.graph.save(folder / "model.onnx", "liju")
    return ["model.onnx"]


class _Writer(Parts):
    """One stack as a graph."""

    def encode(self, heads: dict[str, int], cross: bool) -> None:
        """The encoder: every place sees every place that has a token."""
        g, config = self.graph, self.config
        ids = g.input("input_ids", "int64", ["batch", "length"])
        mask = g.input("attention_mask", "int64", ["batch", "length"])
        length = g.size(ids, 1)
        places = g.count(g.ints(0), length)
        position = g("Unsqueeze", places, g.ints(0))
        x = self.embed(ids, position)
        seen = self.column(mask)
        distance = self.distance(places, places)
        masks = {w: self.mask(seen, distance, w, causal=False) for w in set(self.windows)}
        for i in range(config.encoder_layers):
            x = self.block(i, x, masks[self.windows[i]], self.rope(position, self.windows[i]))[0]
        x = self.final(x)
        g.output("last_hidden_state", x, "float32", ["batch", "length", config.d_model])
        if cross:
            shape: list[str | int] = ["batch", config.num_kv_heads, "length", config.d_k]
            for i in range(config.decoder_layers):
                ours = f"decoder.blocks.{i}.cross_attention"
                g.output(f"cross.{i}.key", self.split(x, f"{ours}.W_k", f"{ours}.norm_k"), "float32", shape)
                g.output(f"cross.{i}.value", self.split(x, f"{ours}.W_v"), "float32", shape)
        self.heads(x, heads, "length")

    def decode(self, heads: dict[str, int]) -> None:
        """The decoder: a place sees itself and what came before; keys and values of earlier calls are
        given."""
        g, config = self.graph, self.config
        ids = g.input("input_ids", "int64", ["batch", "new"])
        mask = g.input("attention_mask", "int64", ["batch", "past + new"])
        across = None
        if config.has_encoder:
            across = self.column(g.input("encoder_attention_mask", "int64", ["batch", "source"]))
        kept: list[str | int] = ["batch", config.num_kv_heads, "past", config.d_k]
        given: list[str | int] = ["batch", config.num_kv_heads, "source", config.d_k]
        pasts, crosses = [], []
        for i in range(config.decoder_layers):
            pasts.append(tuple(g.input(f"past.{i}.{kind}", "float32", kept) for kind in ("key", "value")))
            if config.has_encoder:
                crosses.append(
                    tuple(g.input(f"cross.{i}.{kind}", "float32", given) for kind in ("key", "value"))
                )
        total = g.size(mask, 1)
        past = g("Sub", total, g.size(ids, 1))
        keys, queries = g.count(g.ints(0), total), g.count(past, total)
        counted = g("Sub", g("CumSum", mask, g.constant(1, np.int64)), g.constant(1, np.int64))
        counted = g("Max", counted, g.constant(0, np.int64))
        position = g("Slice", counted, past, total, g.ints(1))
        x = self.embed(ids, position)
        distance = self.distance(queries, keys)
        masks = {w: self.mask(self.column(mask), distance, w, causal=True) for w in set(self.windows)}
        presents = []
        for i in range(config.decoder_layers):
            rope = self.rope(position, self.windows[i])
            cross = crosses[i] if crosses else None
            x, key, value = self.block(i, x, masks[self.windows[i]], rope, pasts[i], cross, across)
            presents.append((key, value))
        x = self.final(x)
        g.output("last_hidden_state", x, "float32", ["batch", "new", config.d_model])
        self.heads(x, heads, "new")
        kept = ["batch", config.num_kv_heads, "past + new", config.d_k]
        for i, pair in enumerate(presents):
            for kind, value in zip(("key", "value"), pair, strict=True):
                g.output(f"present.{i}.{kind}", value, "float32", kept)
