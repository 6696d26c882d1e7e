"""GPT (Radford et al. 2018) and GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["GPT", "GPT2", "GPT2_SWITCHES"]

GPT2_SWITCHES: dict[str, Any] = {
    "family": "decoder",
    "vocab_size": 50257,
    "norm_place": "pre",
    "norm_eps": 1e-5,
    "embedding_norm": False,
    "final_norm": True,
    "activation": "gelu_tanh",
    "position": "learned",
    "max_length": 1024,
    "head": "lm",
    "head_bias": False,
    "pooler": False,
    "dropout": 0.1,
}
GPT_SIZES = {"d_model": 768, "num_layers": 12, "num_heads": 12, "max_length": 512}

GPT = [
    Preset(
        "gpt",
        "gpt",
        GPT2_SWITCHES | {"vocab_size": 40478, "norm_place": "post", "final_norm": False, **GPT_SIZES},
        "Radford et al. 2018, section 4.1; hf.co/openai-community/openai-gpt",
        "causal",
        "bpe",
        "117M",
        "The original keeps tokens, special tokens and positions in one matrix, and its output layer "
        "multiplies by all of it; the public weights have two, and so has this.",
        weights=116_534_784,
    )
]

# name: d_model, layers, heads, what the paper said, parameters of the weights
_GPT2 = {
    "gpt2": (768, 12, 12, "117M", 124_439_808),
    "gpt2-medium": (1024, 24, 16, "345M", 354_823_168),
    "gpt2-large": (1280, 36, 20, "762M", 774_030_080),
    "gpt2-xl": (1600, 48, 25, "1542M", 1_557_611_200),
}
GPT2 = [
    Preset(
        name,
        "gpt2",
        GPT2_SWITCHES | {"d_model": d_model, "num_layers": layers, "num_heads": heads},
        f"Radford et al. 2019, table 2; hf.co/openai-community/{name}",
        "causal",
        "bpe",
        said,
        "The paper's figures are too small; these are the sizes of the weights that were published with it.",
        weights=weights,
    )
    for name, (d_model, layers, heads, said, weights) in _GPT2.items()
]
