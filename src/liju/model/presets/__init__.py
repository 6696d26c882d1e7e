"""Published systems by name, as data: one file a family of presets, each entry with its source.

>>> preset("bert-base").num_layers, PRESETS["bert-base"].published
(12, '110M')

entry        what is known of a system
scale        the same shape, smaller
the others   transformer, gpt (GPT and GPT-2), bert, gpt3, lamda, opt, palm, t5, bart, marian, llama, qwen,
             modernbert
"""

from __future__ import annotations

from typing import Any

from liju.errors import ModelError, did_you_mean
from liju.model.config import TransformerConfig
from liju.model.presets.bart import BART
from liju.model.presets.bert import BERT
from liju.model.presets.entry import Preset
from liju.model.presets.gpt import GPT, GPT2
from liju.model.presets.gpt3 import GPT3
from liju.model.presets.lamda import LAMDA
from liju.model.presets.llama import LLAMA
from liju.model.presets.marian import MARIAN
from liju.model.presets.modernbert import MODERNBERT
from liju.model.presets.opt import OPT
from liju.model.presets.palm import PALM
from liju.model.presets.qwen import QWEN
from liju.model.presets.scale import scaled
from liju.model.presets.t5 import T5
from liju.model.presets.transformer import TRANSFORMER

__all__ = ["NO_GPT4", "PRESETS", "SYSTEMS", "Preset", "known", "preset"]

# In the order of their years.
_ALL = [
    *(TRANSFORMER, GPT, BERT, GPT2, T5, BART, MARIAN, GPT3, LAMDA, PALM, OPT, LLAMA, QWEN, MODERNBERT),
]
PRESETS: dict[str, Preset] = {entry.name: entry for entries in _ALL for entry in entries}
SYSTEMS: list[str] = list(dict.fromkeys(entry.system for entry in PRESETS.values()))

NO_GPT4 = (
    "there is no preset of GPT-4: its report (arXiv:2303.08774) gives no architecture and no size; "
    "as a remote model it is liju.prompt.RemoteModel"
)


def known(name: str) -> Preset:
    """The entry of a name. Raises ModelError for an unknown one.

    >>> known("gpt2").source
    'Radford et al. 2019, table 2; hf.co/openai-community/gpt2'
    """
    if name in PRESETS:
        return PRESETS[name]
    if name.lower().replace("-", "").startswith("gpt4"):
        raise ModelError(f"unknown preset {name!r}", hint=NO_GPT4)
    raise ModelError(
        f"unknown preset {name!r}", did_you_mean(name, PRESETS) or "liju show presets lists them"
    )


def preset(name: str, *, scale: float = 1.0, **switches: Any) -> TransformerConfig:
    """The configuration of a known system, `scale` times as wide (the rule is in `scale.scaled`), with some
    switches changed. Where d_model or num_heads are changed, d_ff, the heads of keys and values and the scale
    of the logits keep their ratio unless they are given too.

    Raises ModelError for an unknown name, an unknown switch or sizes that do not fit.

    >>> preset("transformer-base", vocab_size=8192).d_ff
    2048
    >>> small = preset("llama3-8b", scale=0.01)
    >>> small.d_model, small.num_layers, small.num_heads, small.num_kv_heads, small.d_ff
    (36, 3, 3, 1, 126)
    """
    values = scaled(known(name).switches, scale)
    fields = TransformerConfig.__dataclass_fields__
    for switch in switches:
        if switch not in fields:
            raise ModelError(f"unknown switch {switch!r}", did_you_mean(switch, fields))
    d_model = switches.get("d_model", values["d_model"])
    for width in ("d_ff", "d_embedding"):
        if values.get(width) and d_model != values["d_model"]:
            values[width] = max(2, 2 * round(values[width] * d_model / values["d_model"] / 2))
    heads = switches.get("num_heads", values["num_heads"])
    keys = values.get("num_kv_heads", 0)
    if keys and heads != values["num_heads"]:
        most = max(1, round(keys * heads / values["num_heads"]))
        values["num_kv_heads"] = max(n for n in range(1, most + 1) if heads % n == 0)
    values |= switches
    if values.get("logit_scale") == "d_model ** -0.5":
        values["logit_scale"] = d_model**-0.5
    return TransformerConfig(**values)
