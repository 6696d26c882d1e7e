"""BERT (Devlin et al. 2018) and its small sizes (Turc et al. 2019)."""

from __future__ import annotations

from typing import Any

from liju.model.presets.entry import Preset

__all__ = ["BERT"]

SWITCHES: dict[str, Any] = {
    "family": "encoder",
    "norm_eps": 1e-12,
    "activation": "gelu",
    "position": "learned",
    "max_length": 512,
    "num_types": 2,
    "head": "mlm",
    "pooler": True,
    "dropout": 0.1,
}
NOTE = (
    "The count has the head of masked words and next sentence, as transformers' BertForPreTraining. The "
    "original code's GELU is the tanh form (activation = 'gelu_tanh'); the public "
    "weights are used with the exact one."
)
DEVLIN = "Devlin et al. 2018, arXiv:1810.04805, section 3; hf.co/google-bert/{}"
TURC = "Turc et al. 2019, arXiv:1908.08962; hf.co/google/bert_uncased_L-{}_H-{}_A-{}"

# d_model, layers, heads, vocabulary, what the paper said, parameters, source
_SIZES = {
    "bert-tiny": (128, 2, 2, 30522, "4.4M", 4_433_468, TURC.format(2, 128, 2)),
    "bert-mini": (256, 4, 4, 30522, "11.3M", 11_267_900, TURC.format(4, 256, 4)),
    "bert-small": (512, 4, 8, 30522, "29.1M", 29_058_876, TURC.format(4, 512, 8)),
    "bert-medium": (512, 8, 8, 30522, "41.7M", 41_668_412, TURC.format(8, 512, 8)),
    "bert-base": (768, 12, 12, 30522, "110M", 110_106_428, DEVLIN.format("bert-base-uncased")),
    "bert-large": (1024, 24, 16, 30522, "340M", 336_226_108, DEVLIN.format("bert-large-uncased")),
    "bert-base-cased": (768, 12, 12, 28996, "110M", 108_932_934, DEVLIN.format("bert-base-cased")),
    "bert-base-chinese": (768, 12, 12, 21128, "110M", 102_882_442, DEVLIN.format("bert-base-chinese")),
}

BERT = [
    Preset(
        name,
        "bert",
        SWITCHES | {"vocab_size": vocab, "d_model": d_model, "num_layers": layers, "num_heads": heads},
        source,
        "masked",
        "wordpiece",
        said,
        NOTE,
        weights=weights,
        next_sentence=True,
        lowercase=not name.endswith(("-cased", "-chinese")),
    )
    for name, (d_model, layers, heads, vocab, said, weights, source) in _SIZES.items()
]
