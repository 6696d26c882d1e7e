"""Toy models of every family and position kind, and toy samples for them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from liju.model import Transformer, TransformerConfig
from liju.samples.batch import Batch, Goal, Sample

VOCAB = 23

# Toys are too small to share: on a busy machine two threads wait for each other ten times as long.
torch.set_num_threads(1)

# Every family with every kind of position, and the switches that touch attention.
CASES = {
    "bert": ("encoder", {}),
    "encoder-sinusoidal": ("encoder", {"position": "sinusoidal", "embedding_scale": True}),
    "encoder-relative": ("encoder", {"position": "relative", "norm_place": "pre", "final_norm": True}),
    "encoder-none": ("encoder", {"position": "none", "activation": "relu"}),
    "modernbert": (
        "encoder",
        {
            "position": "rope",
            "rope_theta_local": 100.0,
            "window": 2,
            "global_every": 2,
            "norm_place": "pre",
            "norm_bias": False,
            "first_norm": False,
            "final_norm": True,
            "gated": True,
            "bias": False,
        },
    ),
    "llama": ("decoder", {}),
    "qwen": ("decoder", {"num_kv_heads": 1, "d_k": 6, "qk_norm": True, "qkv_bias": True}),
    "gpt2": (
        "decoder",
        {
            "norm": "layer",
            "norm_bias": True,
            "activation": "gelu_tanh",
            "gated": False,
            "bias": True,
            "position": "learned",
        },
    ),
    "decoder-window": ("decoder", {"window": 2}),
    "decoder-relative": ("decoder", {"position": "relative", "relative_buckets": 8, "window": 3}),
    "decoder-sinusoidal": ("decoder", {"position": "sinusoidal", "softcap": 5.0, "tied": False}),
    "palm": ("decoder", {"norm_place": "parallel", "num_kv_heads": 1}),
    "opt-350m": ("decoder", {"d_embedding": 8, "position": "learned", "position_offset": 2}),
    "value-residual": ("decoder", {"value_residual": True, "num_layers": 3, "num_kv_heads": 1}),
    "encoder-value": ("encoder", {"value_residual": True, "position": "rope", "norm_place": "parallel"}),
    "encdec-value": (
        "encdec",
        {"value_residual": True, "position": "rope", "attention_scale": None, "num_decoder_layers": 3},
    ),
    "t5": ("encdec", {"relative_buckets": 8, "relative_max_distance": 11}),
    "bart": (
        "encdec",
        {
            "norm": "layer",
            "norm_bias": True,
            "norm_place": "post",
            "final_norm": False,
            "embedding_norm": True,
            "activation": "gelu",
            "bias": True,
            "position": "learned",
            "attention_scale": None,
            "logit_scale": None,
            "head_bias": True,
        },
    ),
    "marian": (
        "encdec",
        {
            "position": "sinusoidal",
            "sinusoid_halves": True,
            "embedding_scale": True,
            "attention_scale": None,
            "num_decoder_layers": 1,
        },
    ),
    "encdec-rope": ("encdec", {"position": "rope", "attention_scale": None, "window": 3}),
}


def build(case: str, seed: int = 0, dtype: torch.dtype = torch.float64, **switches) -> Transformer:
    """A toy model whose every parameter is random, biases and norms too."""
    family, own = CASES[case]
    shape = {
        "vocab_size": VOCAB,
        "d_model": 12,
        "num_heads": 3,
        "num_layers": 2,
        "d_ff": 14,
        "max_length": 16,
    }
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig.default(family, **{**shape, **own, **switches}))
    if model.pooler is not None:
        model.add_head("next_sentence", 2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif "token" not in name:
                parameter.mul_(10 if parameter.std() < 0.05 else 1)
    return model.to(dtype).eval()


def draw(model: Transformer, lengths, seed: int = 0) -> list[Sample]:
    """Samples of random tokens with the lengths (encoder, decoder), and what is to be predicted in them."""
    random = np.random.default_rng(seed)
    samples = []
    for number, (source, target) in enumerate(lengths):
        size = target if model.config.has_decoder else source
        places = np.sort(random.permutation(size)[: max(1, size // 2)])
        goals = {
            "words": Goal(
                places,
                random.integers(0, VOCAB, len(places)),
                random.uniform(0.5, 2, len(places)).astype(np.float32),
            )
        }
        if "next_sentence" in model.heads:
            goals["next_sentence"] = Goal(np.array([0]), random.integers(0, 2, 1))
        samples.append(
            Sample(
                number,
                encoder=random.integers(0, VOCAB, source) if model.config.has_encoder else None,
                decoder=random.integers(0, VOCAB, target) if model.config.has_decoder else None,
                types=random.integers(0, 2, source) if model.config.num_types else None,
                goals=goals,
            )
        )
    return samples


def loss(model: Transformer, batch: Batch) -> torch.Tensor:
    """The sum of the weighted losses of all heads."""
    hidden = model(batch).flatten(0, 1)
    total = hidden.new_zeros(())
    for name, targets in batch.targets.items():
        logits = model.predict(name, hidden[targets.index])
        total = total + (F.cross_entropy(logits, targets.value, reduction="none") * targets.weight).sum()
    return total


def gradients(model: Transformer, value: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


def embedded(model: Transformer, side_of: str, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The embeddings of one side as a leaf, and the output of the model: for gradients of place by place."""
    kept: list[torch.Tensor] = []
    stack = getattr(model, side_of)
    original = stack.embed

    def spy(*arguments):
        kept.append(original(*arguments).detach().requires_grad_())
        return kept[-1]

    stack.embed = spy
    try:
        output = model(batch)
    finally:
        del stack.embed
    return kept[0], output
