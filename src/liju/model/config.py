"""One frozen set of orthogonal switches describes every Transformer that liju can build.

Presets are data: values for these fields. Sources of the values: the papers, and the public weights.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from liju.errors import ModelError, did_you_mean

__all__ = ["TransformerConfig"]

Family = Literal["encoder", "decoder", "encdec"]
Norm = Literal["layer", "rms"]
NormPlace = Literal["pre", "post", "parallel"]
Activation = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu"]
Position = Literal["none", "sinusoidal", "learned", "rope", "relative"]
HeadKind = Literal["lm", "mlm", "none"]


@dataclass(frozen=True)
class TransformerConfig:
    """The switches of a Transformer.

    >>> config = TransformerConfig.default("decoder", vocab_size=97, d_model=12, num_heads=3)
    >>> config.norm, config.position, config.d_k
    ('rms', 'rope', 4)
    >>> TransformerConfig(d_model=10, num_heads=4)
    Traceback (most recent call last):
        ...
    liju.errors.ModelError: d_model 10 is not a multiple of num_heads 4
    """

    vocab_size: int = 8192
    d_model: int = 256
    num_layers: int = 4  # of the encoder, or of the decoder when alone
    num_decoder_layers: int = 0  # of the decoder in encdec; 0: as many as num_layers
    num_heads: int = 4
    num_kv_heads: int = 0  # heads of keys and values; 0: num_heads
    d_k: int = 0  # width of a head; 0: d_model / num_heads
    d_ff: int = 0  # 0: 4 * d_model
    family: Family = "encoder"
    norm: Norm = "layer"
    norm_place: NormPlace = "post"
    norm_bias: bool = True
    norm_eps: float = 1e-12
    embedding_norm: bool = True  # a norm right after the embeddings
    final_norm: bool = False  # a norm after the last block
    first_norm: bool = True  # False: the first block's attention has no norm (ModernBERT)
    activation: Activation = "gelu"
    gated: bool = False  # feed-forward with a gate (GEGLU, SwiGLU)
    bias: bool = True  # of all linear layers in the blocks
    qkv_bias: bool | None = None  # of W_q, W_k, W_v; None: as bias
    qk_norm: bool = False  # RMS norm of each head's query and key (Qwen3)
    value_residual: bool = False  # later blocks mix the first block's values into theirs (Zhou et al. 2024)
    attention_scale: float | None = None  # None, and 0 in a file: 1 / sqrt(d_k); T5 has 1.0
    position: Position = "learned"
    max_length: int = 512  # rows of a learned or sinusoidal table, and the longest sample
    position_offset: int = 0  # unused rows at the start of the learned table (OPT, BART: 2)
    sinusoid_halves: bool = False  # sines first, then cosines (Marian) instead of interleaved (the article)
    rope_theta: float = 10000.0
    rope_theta_local: float | None = None  # of blocks with a window (ModernBERT)
    # Llama 3.1 stretches slow rotations: factor, low and high frequency factor, length before stretching
    rope_scaling: tuple[float, float, float, float] | None = None
    relative_buckets: int = 32
    relative_max_distance: int = 128
    window: int = 0  # places each side that a local block may look at; 0: all
    global_every: int = 0  # with window: every n-th block, from the first, sees everything
    num_types: int = 0  # token types
    d_embedding: int = 0  # width of the embeddings; 0: d_model (OPT-350m has 512)
    embedding_scale: bool = False  # embeddings times sqrt(d_model)
    tied: bool = True  # the output projection is the token embedding
    head: HeadKind = "mlm"  # lm: projection; mlm: dense, activation, norm, projection with bias
    head_bias: bool = True  # bias on the vocabulary projection
    logit_scale: float | None = None  # logits times this (T5 v1.0: d_model ** -0.5)
    softcap: float = 0.0  # logits = softcap * tanh(logits / softcap)
    pooler: bool = True  # dense and tanh on the first place (BERT)
    dropout: float = 0.0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        def derive(name: str, value: int) -> None:
            if not getattr(self, name):
                object.__setattr__(self, name, value)

        for name in ("vocab_size", "d_model", "num_layers", "num_heads"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.d_k and self.d_model % self.num_heads:
            raise ModelError(
                f"d_model {self.d_model} is not a multiple of num_heads {self.num_heads}",
                hint="change one of them, or set d_k",
            )
        if self.rope_scaling is not None:  # JSON has no tuples
            object.__setattr__(self, "rope_scaling", tuple(float(value) for value in self.rope_scaling))
            if len(self.rope_scaling) != 4:
                raise ModelError("rope_scaling is four numbers: factor, low, high, original length")
        derive("num_kv_heads", self.num_heads)
        derive("d_k", self.d_model // self.num_heads)
        if self.attention_scale is not None:  # TOML has no None
            usual = not self.attention_scale or (
                self.attention_scale != 1.0
                and math.isclose(self.attention_scale, self.d_k**-0.5, rel_tol=1e-6)
            )
            if usual:
                object.__setattr__(self, "attention_scale", None)
        derive("d_ff", 4 * self.d_model)
        derive("d_embedding", self.d_model)
        if self.family == "encdec":
            derive("num_decoder_layers", self.num_layers)
        elif self.num_decoder_layers:
            raise ModelError(f"num_decoder_layers is for encdec; a {self.family} has num_layers")
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise ModelError(f"{field} is {getattr(self, field)!r}", hint=f"one of {', '.join(choices)}")
        if self.num_heads % self.num_kv_heads:
            raise ModelError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.position == "rope" and self.d_k % 2:
            raise ModelError(f"rope turns pairs: d_k {self.d_k} must be even")
        if self.position == "sinusoidal" and self.d_model % 2:
            raise ModelError(f"sinusoids come in pairs: d_model {self.d_model} must be even")
        if self.norm_place == "parallel" and self.family == "encdec":
            raise ModelError("norm_place 'parallel' has no place for cross-attention")
        if self.num_types and self.family == "decoder":
            raise ModelError("num_types: only an encoder has token types")
        if self.global_every and not self.window:
            raise ModelError("global_every needs a window")

    @classmethod
    def default(cls, family: Family, **switches: Any) -> TransformerConfig:
        """The usual shape of a family, loadable by everyone: BERT, Llama (SwiGLU, RMS norm, rotary
        positions) or T5 (relative positions, ReLU)."""
        known = {field.name for field in fields(cls)}
        for name in switches:
            if name not in known:
                raise ModelError(f"unknown switch {name!r}", hint=did_you_mean(name, known))
        if family not in get_args(Family):
            raise ModelError(f"family is {family!r}", hint=f"one of {', '.join(get_args(Family))}")
        values: dict[str, Any] = {"family": family, **DEFAULTS[family]}
        d_model = switches.get("d_model", cls.d_model)
        if family == "decoder" and not switches.get("d_ff"):
            # Three matrices of 8/3 d hold what two of 4 d do; rounded up to a multiple of 8.
            values["d_ff"] = -(-8 * d_model // 3 // 8) * 8 if d_model >= 24 else 2 * d_model
        values.update(switches)
        if family == "encdec" and values["tied"] and "logit_scale" not in switches:
            values["logit_scale"] = d_model**-0.5
        return cls(**values)

    @property
    def has_encoder(self) -> bool:
        return self.family != "decoder"

    @property
    def has_decoder(self) -> bool:
        return self.family != "encoder"

    @property
    def decoder_layers(self) -> int:
        """Blocks of the decoder, 0 without one."""
        return {"encoder": 0, "decoder": self.num_layers, "encdec": self.num_decoder_layers}[self.family]

    @property
    def encoder_layers(self) -> int:
        """Blocks of the encoder, 0 without one."""
        return self.num_layers if self.has_encoder else 0

    def replace(self, **switches: Any) -> TransformerConfig:
        """The same with some switches changed."""
        return replace(self, **switches)

    def to_json(self) -> str:
        """
        >>> config = TransformerConfig(vocab_size=11)
        >>> TransformerConfig.from_json(config.to_json()) == config
        True
        """
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> TransformerConfig:
        values = json.loads(text)
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ModelError(f"unknown switch {name!r}", hint=did_you_mean(name, known))
        return cls(**values)


# The words that a switch may be.
CHOICES: dict[str, tuple[str, ...]] = {
    field: choices
    for field, kind in get_type_hints(TransformerConfig).items()
    if (choices := get_args(kind)) and isinstance(choices[0], str)
}

# The shapes that transformers, llama.cpp and the others load as they are.
DEFAULTS: dict[str, dict[str, Any]] = {
    # BERT (Devlin et al. 2018)
    "encoder": {"num_types": 2},
    # Llama (Touvron et al. 2023)
    "decoder": {
        "norm": "rms",
        "norm_place": "pre",
        "norm_bias": False,
        "norm_eps": 1e-5,
        "embedding_norm": False,
        "final_norm": True,
        "activation": "silu",
        "gated": True,
        "bias": False,
        "position": "rope",
        "head": "lm",
        "head_bias": False,
        "pooler": False,
    },
    # T5 (Raffel et al. 2019), its output layer apart from the embedding as in v1.1: tied, with logits divided
    # by sqrt(d_model), it learns some five times more slowly at first.
    "encdec": {
        "norm": "rms",
        "norm_place": "pre",
        "norm_bias": False,
        "norm_eps": 1e-6,
        "embedding_norm": False,
        "final_norm": True,
        "activation": "relu",
        "bias": False,
        "position": "relative",
        "attention_scale": 1.0,
        "tied": False,
        "head": "lm",
        "head_bias": False,
        "pooler": False,
    },
}
