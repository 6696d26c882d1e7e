"""What the model types of transformers have in common; each is described in `families/`, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from liju.hub.names import Name
from liju.model import TransformerConfig

__all__ = [
    "ACTIVATIONS",
    "ANY",
    "PLAIN",
    "REQUIRED",
    "SIZES",
    "Kind",
    "activation",
    "heads_demands",
    "width_demands",
]

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
}
ACTIVATIONS_IN = {
    **{theirs: ours for ours, theirs in ACTIVATIONS.items()},
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "swish": "silu",
}


@dataclass(frozen=True)
class Kind:
    """A `model_type` of transformers.

    fixed:     switches that it has no choice of: the value, or a tuple of values.
    keys:      our switch -> (their key, its value when a file leaves it out).
    constants: their key -> the only value that we can read (others change the function).
    variants:  their class -> the heads it has, and whether it has a pooler.
    names:     the table of weights.
    copies:    tensors that files may hold beside the table: copies of another (which must be equal to it), or
               buffers that are no weights (None).
    ignored:   a pattern of names of such buffers.
    prefix:    the start of the names that files of the bare model leave out.
    bare:      their class without a head -> the variant that it is, the words head being its embedding.
    absent:    what files of a bare class lack, computed.
    write, read: the keys that are more than a name; `demands` are conditions on several switches.
    """

    model_type: str
    family: str
    fixed: Mapping[str, Any]
    keys: Mapping[str, tuple[str, Any]]
    constants: Mapping[str, Any]
    variants: Mapping[str, tuple[tuple[str, ...], bool]]
    names: Callable[[TransformerConfig, Sequence[str], bool], list[Name]]
    write: Callable[[TransformerConfig], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    demands: Callable[[TransformerConfig], list[str]] = field(default=lambda config: [])
    copies: Mapping[str, str | None] = field(default_factory=dict)
    ignored: str = ""
    prefix: str = ""
    bare: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, Callable[[TransformerConfig], Tensor]] = field(default_factory=dict)

    def copies_beside(self, names: Sequence[Name]) -> dict[str, str | None]:
        """The copies and buffers that a file of this type may hold beside the tensors of its table."""
        table = {name.theirs for name in names}
        return {copy: of for copy, of in self.copies.items() if copy not in table}

    def named_now(self, tensors: Mapping[str, Tensor], names: Sequence[Name]) -> dict[str, Tensor]:
        """The tensors of a file under the names of today: norms of files from before 2019 are called gamma
        and beta, files of the bare model have no prefix, and those of a model with a head have one."""
        table = {name.theirs for name in names}
        bare = self.prefix and not any(name.startswith(self.prefix) for name in tensors)
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if self.ignored and re.search(self.ignored, name):
                continue
            now = name
            for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
                if now.endswith(old):
                    now = now.removesuffix(old) + new
            if bare and self.prefix + now in table:
                now = self.prefix + now
            elif self.prefix and now not in table and now.removeprefix(self.prefix) in table:
                now = now.removeprefix(self.prefix)
            # Two names for one: the old one stays what it is, and is said to be unexpected.
            found[name if now in tensors else now] = tensor
        return found

    def variants_from(self, name: str | None) -> list[str]:
        """The classes that a file may be of that says it is of class `name`: itself, and those with more
        heads, fewest first. A file that says nothing may be of any, most heads first."""
        if name is None:
            return sorted(self.variants, key=lambda one: -len(self.variants[one][0]))
        name = self.bare.get(name, name)
        heads = set(self.variants[name][0])
        more = [one for one, (held, _) in self.variants.items() if heads < set(held)]
        return [name, *sorted(more, key=lambda one: len(self.variants[one][0]))]


def activation(name: Any) -> str:
    if name not in ACTIVATIONS_IN:
        raise ValueError(f"unknown activation {name!r}")
    return ACTIVATIONS_IN[name]


REQUIRED = object()
# In `fixed`: this architecture has the switch, whatever PLAIN says; `write` and `read` carry it.
ANY = object()

# What no architecture below changes.
PLAIN: dict[str, Any] = {
    "window": 0,
    "global_every": 0,
    "embedding_scale": False,
    "softcap": 0.0,
    "first_norm": True,
    "position_offset": 0,
    "rope_theta_local": None,
    "rope_scaling": None,
}

SIZES = {
    "vocab_size": ("vocab_size", REQUIRED),
    "d_model": ("hidden_size", REQUIRED),
    "num_layers": ("num_hidden_layers", REQUIRED),
    "num_heads": ("num_attention_heads", REQUIRED),
    "d_ff": ("intermediate_size", REQUIRED),
    "init_std": ("initializer_range", 0.02),
}


def width_demands(config: TransformerConfig) -> list[str]:
    return [] if config.d_embedding == config.d_model else ["d_embedding is not d_model"]


def heads_demands(config: TransformerConfig) -> list[str]:
    found = width_demands(config)
    if config.num_kv_heads != config.num_heads:
        found.append("num_kv_heads is not num_heads")
    return found
