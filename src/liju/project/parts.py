"""From the sections of a project file to the parts that they describe."""

from __future__ import annotations

from pathlib import Path

import torch

from liju.config import Problem, Project
from liju.errors import LijuError
from liju.finetune import Classification, GenerationTask, Loaded, Task, TranslationTask, load
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, Objective
from liju.samples import TokenShards, key_of
from liju.vocab import Tokenizer

__all__ = ["TASK_TYPES", "check_model", "initialise", "model_config", "objective_of", "trained"]

TASK_TYPES: dict[str, type[Task]] = {
    "classification": Classification,
    "translation": TranslationTask,
    "generation": GenerationTask,
}


def model_config(project: Project, vocab_size: int) -> TransformerConfig:
    """The switches that `[model]` describes. Raises ModelError where sizes do not fit together."""
    section = project.model
    switches = {
        "vocab_size": vocab_size,
        "d_model": section.d_model,
        "num_layers": section.num_layers,
        "num_decoder_layers": section.num_decoder_layers,
        "num_heads": section.num_heads,
        "d_ff": section.d_ff,
        "max_length": section.max_length,
        "dropout": section.dropout,
    }
    return TransformerConfig.default(section.family, **{**switches, **section.switches})


def check_model(project: Project) -> list[Problem]:
    """Problems of `[model]` for the report of the project file."""
    try:
        model_config(project, vocab_size=project.vocab.size)
    except LijuError as error:
        return [("model", error.message, error.hint)]
    except TypeError as error:
        return [("model.switches", str(error), "")]
    return []


def initialise(project: Project, vocab_size: int, seed: int | None = None) -> Transformer:
    """The network with its first weights: they depend on the section and the seed alone."""
    torch.manual_seed(key_of("initialise", project.seed if seed is None else seed) % 2**63)
    model = Transformer(model_config(project, vocab_size))
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
