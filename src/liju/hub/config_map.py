"""Which Hugging Face architecture expresses a set of switches exactly, and its config.json, both ways.

An architecture is data: the switches that it fixes, the names of those that it leaves free, the heads it has.

>>> config = TransformerConfig.default("decoder", vocab_size=97, d_model=12, num_heads=3)
>>> architecture(config).name
'LlamaForCausalLM'
>>> misfits(config.replace(position="learned"))
["position is 'learned' (llama has 'rope')"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liju.errors import BundleError, ModelError, did_you_mean
from liju.hub.families import KINDS
from liju.hub.kinds import ANY, PLAIN, REQUIRED, Kind
from liju.hub.names import Name
from liju.model import TransformerConfig

__all__ = [
    "Architecture",
    "architecture",
    "class_of",
    "from_json",
    "heads_of",
    "kind_of",
    "misfits",
    "to_json",
]


@dataclass(frozen=True)
class Architecture:
    """A class of transformers: `name` (BertForMaskedLM), its kind, the heads and the pooler it holds."""

    name: str
    kind: Kind
    heads: tuple[str, ...]
    pooler: bool

    def table(self, config: TransformerConfig) -> list[Name]:
        """The table of weights for these switches."""
        return self.kind.names(config, self.heads, self.pooler)


def heads_of(config: TransformerConfig) -> tuple[str, ...]:
    """The heads that a model is built with.

    >>> heads_of(TransformerConfig(head="mlm"))
    ('words',)
    """
    return () if config.head == "none" else ("words",)


def misfits(config: TransformerConfig, kind: Kind | None = None) -> list[str]:
    """What keeps the switches from being a model of this kind, one line each; empty where they are one.
    Without a kind: of the kind of this family that comes nearest."""
    if kind is None:
        found = [misfits(config, one) for one in KINDS.values() if one.family == config.family]
        return min(found, key=len)
    found = []
    for switch, allowed in {**PLAIN, **kind.fixed}.items():
        if allowed is ANY or switch in kind.keys:
            continue
        allowed = allowed if isinstance(allowed, tuple) else (allowed,)
        value = getattr(config, switch)
        if value not in allowed:
            shown = " or ".join(repr(one) for one in allowed)
            found.append(f"{switch} is {value!r} ({kind.model_type} has {shown})")
    scale = kind.fixed.get("attention_scale")
    if scale is None and config.attention_scale is not None:
        found.append(f"attention_scale is {config.attention_scale} ({kind.model_type} has 1 / sqrt(d_k))")
    if config.value_residual:
        found.append(f"value_residual is True (no class of transformers has it, {kind.model_type} neither)")
    return found + kind.demands(config)


def architecture(config: TransformerConfig, heads: Sequence[str] | None = None) -> Architecture | None:
    """The class of transformers that computes exactly what these switches say, with as many of `heads` as it
    can hold; None where there is none (`misfits` says why).

    >>> config = TransformerConfig(vocab_size=11, d_model=6, num_heads=2)
    >>> architecture(config, ["words", "next_sentence"]).name, architecture(config, ["label"]).name
    ('BertForPreTraining', 'BertForSequenceClassification')
    """
    heads = heads_of(config) if heads is None else tuple(heads)
    for kind in KINDS.values():
        if kind.family != config.family or misfits(config, kind):
            continue
        for name, (held, pooler) in kind.variants.items():  # in order of preference
            if set(held) <= set(heads) and (config.pooler or not pooler):
                return Architecture(name, kind, held, pooler)
    return None


def to_json(config: TransformerConfig, where: Architecture) -> dict[str, Any]:
    """The shape's part of config.json."""
    values: dict[str, Any] = {"architectures": [where.name], "model_type": where.kind.model_type}
    values |= {key: getattr(config, switch) for switch, (key, _) in where.kind.keys.items()}
    return values | dict(where.kind.constants) | where.kind.write(config)


def kind_of(values: Mapping[str, Any], file: str = "config.json") -> Kind:
    """The model type of a config.json. Raises BundleError for one that is not in the tables."""
    name = values.get("model_type")
    if name not in KINDS:
        raise BundleError(
            f"{file}: model_type {name!r} is not one that liju knows",
            hint=_hint(str(name), sorted(KINDS), "it reads"),
        )
    return KINDS[name]


def class_of(values: Mapping[str, Any], kind: Kind, file: str = "config.json") -> str | None:
    """The class that a config.json names, None where it names none."""
    names = values.get("architectures")
    if not names:
        return None
    known = [*kind.variants, *kind.bare]
    if names[0] not in known:
        raise BundleError(
            f"{file}: architecture {names[0]!r} is not one that liju knows",
            hint=_hint(str(names[0]), known, f"of {kind.model_type} it reads"),
        )
    return names[0]


def _hint(word: str, known: Sequence[str], reads: str) -> str:
    return " ".join(filter(None, [did_you_mean(word, known), f"{reads} {', '.join(known)}"]))


def from_json(values: Mapping[str, Any], file: str = "config.json") -> tuple[TransformerConfig, Architecture]:
    """The switches and the architecture of a config.json that transformers wrote.

    Raises BundleError naming the key: of an architecture that is not in the tables, or a value that would
    change what the model computes and that no switch expresses.

    >>> from_json({"model_type": "mamba"})
    Traceback (most recent call last):
        ...
    liju.errors.BundleError: config.json: model_type 'mamba' is not one that liju knows
    """
    kind = kind_of(values, file)
    name = class_of(values, kind, file) or next(iter(kind.variants))
    name = kind.bare.get(name, name)
    if values.get("quantization_config"):
        raise BundleError(
            f"{file}: quantization_config says that the weights are quantised, and liju reads whole ones",
            hint="ask for the model before it was quantised",
        )
    for key, expected in kind.constants.items():
        if key in values and values[key] not in (expected, None):
            raise BundleError(f"{file}: {key} is {values[key]!r}, and liju has no such switch")
    heads, pooler = kind.variants[name]
    switches = {k: v[0] if isinstance(v, tuple) else v for k, v in kind.fixed.items() if v is not ANY}
    try:
        for switch, (key, default) in kind.keys.items():
            value = values.get(key)
            switches[switch] = default if value is None else value
            if switches[switch] is REQUIRED:
                raise BundleError(f"{file}: no key {key!r}")
        switches |= kind.read(values)
        if "words" not in heads:
            switches["head"] = "none"
        config = TransformerConfig(family=kind.family, **{**switches, "pooler": pooler})  # type: ignore[arg-type]
    except (ModelError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise BundleError(f"{file}: {error}") from None
    return config, Architecture(name, kind, heads, pooler)
