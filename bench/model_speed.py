"""The network's body, forward and backward, beside transformers' of the same shape: a ratio in one run.

The two take turns, so that a machine whose speed drifts is fair to both; the median of the turns counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from liju.model import Transformer, TransformerConfig
from liju.samples import Side

WIDTH, TURNS = 256, 7


def seconds(step: Callable[[], torch.Tensor], precision: str) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        out = step()
    out.float().square().mean().backward()
    return time.perf_counter() - start


def compare(
    name: str, ours: Callable[[], torch.Tensor], theirs: Callable[[], torch.Tensor], tokens: int
) -> None:
    for precision in ("float32", "bfloat16"):
        turns = [(seconds(ours, precision), seconds(theirs, precision)) for _ in range(TURNS + 1)][1:]
        a, b = (statistics.median(column) for column in zip(*turns, strict=True))
        rates = f"{tokens / a:,.0f} against {tokens / b:,.0f} tokens a second"
        print(f"{name}, {precision}: {rates}, {b / a:.2f} times transformers")


def main() -> None:
    shape = {"num_attention_heads": 4, "hidden_size": WIDTH, "vocab_size": 8192}
    ids = torch.randint(5, 8192, (32, 72))
    ours = Transformer(TransformerConfig.default("encoder", d_model=WIDTH, num_layers=4, max_length=128))
    bert = BertConfig(
        num_hidden_layers=4,
        intermediate_size=1024,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **shape,
    )
    theirs = BertModel(bert)
    side = Side.of(ids)
    compare("encoder", lambda: ours.encode(side), lambda: theirs(ids).last_hidden_state, ids.numel())

    ids = torch.randint(5, 8192, (8, 256))
    config = TransformerConfig.default("decoder", d_model=WIDTH, num_layers=6, max_length=256)
    writer = Transformer(config)
    llama = LlamaModel(LlamaConfig(num_hidden_layers=6, intermediate_size=config.d_ff, **shape))
    side2 = Side.of(ids)
    compare("decoder", lambda: writer.decode(side2), lambda: llama(ids).last_hidden_state, ids.numel())


if __name__ == "__main__":
    main()
