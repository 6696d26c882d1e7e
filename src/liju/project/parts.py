"""From the sections of a project file to the parts that they describe."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

from liju.config import Finetune, Model, Problem, Project
from liju.errors import ModelError, did_you_mean
from liju.finetune import TASKS, Loaded, Task, load
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, Objective
from liju.project.preset import check_preset, shape
from liju.samples import TokenShards, key_of
from liju.vocab import Tokenizer

__all__ = ["TASK_TYPES", "check_model", "initialise", "model_config", "objective_of", "trained"]

# What `finetune.task` may name.
TASK_TYPES: dict[str, type[Task]] = {
    name: TASKS[name] for name in get_args(Finetune.model_fields["task"].annotation) if name
}


# Switches of the network that have a key of their own in the project file.
OWN_KEYS = {
    "vocab_size": "vocab.size",
    **{name: f"model.{name}" for name in Model.model_fields if name != "switches"},
}


def model_config(project: Project, vocab_size: int) -> TransformerConfig:
    """The switches that `[model]` describes. Raises ModelError where sizes do not fit together."""
    section = project.model
    if section.preset:
        return shape(section, vocab_size)
    switches = {
        "vocab_size": vocab_size,
        "d_model": section.d_model,
        "num_layers": section.num_layers,
        "num_heads": section.num_heads,
        "d_ff": section.d_ff,
        "max_length": section.max_length,
        "dropout": section.dropout,
    }
    return TransformerConfig.default(section.family, **{**switches, **section.switches})


def check_model(project: Project) -> list[Problem]:
    """Problems of `[model]` for the report of the project file, each switch by its name."""
    switches, found = project.model.switches, check_preset(project)
    known = {field.name: field for field in fields(TransformerConfig)}
    for name, value in switches.items():
        key = f"model.switches.{name}"
        if name in OWN_KEYS:
            found.append((key, f"has a key of its own: {OWN_KEYS[name]}", f"set {OWN_KEYS[name]}"))
        elif name not in known:
            found.append((key, "unknown switch", did_you_mean(name, known) or "see TransformerConfig"))
        elif not _fits(value, get_type_hints(TransformerConfig)[name]):
            found.append((key, f"{value!r} does not fit; its usual value is {known[name].default!r}", ""))
    model = project.model  # its heads: by the file's rules
    told = model.d_model % model.num_heads != 0 and "d_k" not in switches and not model.preset
    if not found and not told:
        try:
            model_config(project, vocab_size=project.vocab.size)
        except ModelError as error:
            found.append(("model", error.message, error.hint))
    return found


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of the project file is of a switch's type; the model itself checks its choices.

    >>> from typing import Literal
    >>> _fits(1, float), _fits(True, int), _fits("rms", Literal["layer", "rms"]), _fits(None, bool | None)
    (True, False, True, True)
    """
    kinds = {type(one) if isinstance(one, str) or one is None else one for one in get_args(kind) or (kind,)}
    return type(value) in kinds or (float in kinds and type(value) is int)


def initialise(
    project: Project, vocab_size: int, seed: int | None = None, config: TransformerConfig | None = None
) -> Transformer:
    """The network with its first weights: they depend on the section (or `config`) and the seed alone."""
    torch.manual_seed(key_of("initialise", project.seed if seed is None else seed) % 2**63)
    model = Transformer(config or model_config(project, vocab_size))
    if config is not None:
        return model
    if project.pretrain.objective == "masked" and project.pretrain.next_sentence:
        model.add_head("next_sentence", 2)
    return model


def trained(folder: Path) -> Loaded:
    """The model of a step, on the CPU, as it was saved."""
    return load(folder / "bundle", device="cpu")


def objective_of(project: Project, shards: TokenShards | Path, tokenizer: Tokenizer) -> Objective:
    """What `[pretrain]` trains on these shards."""
    if isinstance(shards, Path):
        shards = TokenShards(shards)
    section, length, seed = project.pretrain, project.model.max_length, project.seed
    if section.objective == "causal":
        return Causal(shards, tokenizer, length, seed)
    if section.objective == "denoising":
        return Denoising(shards, tokenizer, length, seed, section.mask_rate)
    return Masked(shards, tokenizer, length, seed, section.mask_rate, section.next_sentence)
