"""Marian (Junczys-Dowmunt et al. 2018) in the shape of the OPUS-MT models (Tiedemann and Thottingal 2020)."""

from __future__ import annotations

from liju.model.presets.entry import Preset

__all__ = ["MARIAN"]

MARIAN = [
    Preset(
        "marian",
        "marian",
        {
            "family": "encdec",
            "vocab_size": 58101,
            "d_model": 512,
            "num_layers": 6,
            "num_heads": 8,
            "norm_eps": 1e-5,
            "embedding_norm": False,
            "activation": "silu",
            "position": "sinusoidal",
            "sinusoid_halves": True,
            "embedding_scale": True,
            "max_length": 512,
            "head": "lm",
            "pooler": False,
            "dropout": 0.1,
        },
        "Tiedemann and Thottingal 2020, OPUS-MT; hf.co/Helsinki-NLP/opus-mt-en-de",
        "translation",
        "unigram",
        "74M",
        "The vocabulary differs by language pair: this is English to German. The public weights hold the "
        "bias of the output layer as a buffer; transformers counts the table of sinusoids, 524,288, "
        "as parameters.",
        weights=73_886_208,
        buffers=58101,
    )
]
