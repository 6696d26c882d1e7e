"""What follows from `[model] preset` for the keys that a project file leaves out."""

from __future__ import annotations

from typing import Any

from liju.config import Model, Problem, Project
from liju.errors import ModelError
from liju.model.config import TransformerConfig
from liju.model.presets import PRESETS, known, preset

__all__ = ["check_preset", "follow_preset", "preset_sections", "shape"]

# Keys of [model] that are switches of the network.
SIZES = ("d_model", "num_layers", "num_heads", "d_ff", "max_length", "dropout")


def shape(section: Model, vocab_size: int) -> TransformerConfig:
    """The switches of a section that names a preset. Raises ModelError where sizes do not fit together.

    >>> shape(Model(preset="gpt2", family="decoder", d_model=24, num_heads=3), 97).norm_place
    'pre'
    """
    given = {name: getattr(section, name) for name in SIZES if name != "d_ff" or section.d_ff}
    return preset(section.preset, scale=section.scale, **given, **section.switches, vocab_size=vocab_size)


def preset_sections(name: str, scale: float = 1.0, **given: Any) -> dict[str, dict[str, Any]]:
    """The keys of a project file that follow from a preset, with some sizes given.

    Raises ModelError for an unknown name, or sizes that do not fit.

    >>> preset_sections("modernbert-base", 0.1)["pretrain"]
    {'objective': 'masked', 'next_sentence': False, 'mask_rate': 0.3}
    """
    entry = known(name)
    config = preset(name, scale=scale, **given)
    return {
        "model": {"family": config.family, **{size: getattr(config, size) for size in SIZES}},
        "vocab": {"kind": entry.vocab, "lowercase": entry.lowercase},
        "pretrain": {
            "objective": entry.pretraining,
            "next_sentence": entry.next_sentence,
            "mask_rate": entry.mask_rate,
        },
    }


def follow_preset(tree: dict[str, Any]) -> dict[str, Any]:
    """The tables of a project file with what its preset says where the file says nothing.

    What is wrong stays as it is, for the report that names the line.

    >>> tree = follow_preset({"model": {"preset": "gpt2", "scale": 0.1}, "vocab": {"kind": "unigram"}})
    >>> tree["model"]["family"], tree["model"]["num_layers"], tree["vocab"]["kind"]
    ('decoder', 4, 'unigram')
    """
    model = tree.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("preset"), str) or not model["preset"]:
        return tree
    given = {name: model[name] for name in SIZES if model.get(name)}
    switches = model.get("switches")
    given |= switches if isinstance(switches, dict) else {}
    given.pop("vocab_size", None)
    try:
        follows = preset_sections(model["preset"], model.get("scale", 1.0), **given)
    except (ModelError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        if model["preset"] not in PRESETS:
            return tree
        # Some size is wrong: the rest of the report is about the preset as it is.
        follows = preset_sections(model["preset"])
    return {**tree, **{name: _filled(tree.get(name, {}), more) for name, more in follows.items()}}


def _filled(section: Any, follows: dict[str, Any]) -> Any:
    if not isinstance(section, dict):
        return section
    return {**follows, **{key: value for key, value in section.items() if value != "" or key not in follows}}


def check_preset(project: Project) -> list[Problem]:
    """Problems of `[model] preset` and `scale` for the report of the project file."""
    section = project.model
    if not section.preset:
        if section.scale != 1.0:
            return [("model.scale", "is of a preset, and there is none", 'e.g. preset = "bert-base"')]
        return []
    try:
        entry = known(section.preset)
    except ModelError as error:
        return [("model.preset", error.message, error.hint)]
    family = entry.switches["family"]
    if section.family != family:
        return [("model.family", f"{section.preset} is a family {family!r}", "leave it out")]
    return []
