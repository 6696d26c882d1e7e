"""GPT-3 (Brown et al. 2020): eight sizes, each dense and with our choice of the sparse layers."""

from __future__ import annotations

from collections.abc import Iterator

from liju.model.presets.entry import Preset
from liju.model.presets.gpt import GPT2_SWITCHES

__all__ = ["GPT3"]

# d_model, layers, heads, what the paper said
_SIZES = {
    "small": (768, 12, 12, "125M"),
    "medium": (1024, 24, 16, "350M"),
    "large": (1536, 24, 16, "760M"),
    "xl": (2048, 24, 16, "1.3B"),
    "2.7b": (2560, 32, 32, "2.7B"),
    "6.7b": (4096, 32, 32, "6.7B"),
    "13b": (5120, 40, 40, "13.0B"),
    "175b": (12288, 96, 96, "175.0B"),
}
_TYPING = {
    "xl": "The table has 24 heads of 128 for a width of 2048, which do not fit; 16 do, and give its 1.3B.",
    "13b": "The table has a width of 5140, which 40 heads do not divide; 5120 gives its 13B.",
}
_DENSE = (
    "Every layer sees everything. The paper alternates dense and locally banded layers and does not say how "
    "wide the band is; {name}-sparse has our choice."
)
_SPARSE = (
    "Our choice, not the paper's: every second layer sees 256 places back. The paper says 'alternating dense "
    "and locally banded sparse' and no width."
)


def _presets() -> Iterator[Preset]:
    for sparse in (False, True):
        for size, (d_model, layers, heads, said) in _SIZES.items():
            name = f"gpt3-{size}"
            switches = {"d_model": d_model, "num_layers": layers, "num_heads": heads, "max_length": 2048}
            switches |= {"dropout": 0.0, **({"window": 256, "global_every": 2} if sparse else {})}
            note = _SPARSE if sparse else _DENSE.format(name=name)
            yield Preset(
                f"{name}-sparse" if sparse else name,
                "gpt3",
                GPT2_SWITCHES | switches,
                "Brown et al. 2020, arXiv:2005.14165, table 2.1",
                "causal",
                "bpe",
                said,
                f"{_TYPING[size]} {note}" if size in _TYPING else note,
            )


GPT3 = list(_presets())
