"""Adapters as folders in PEFT's form: adapter_config.json, adapter_model.safetensors, the heads in it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from liju.errors import BundleError
from liju.finetune.lora import DoRALinear, LoRALinear, add_lora, lora_layers
from liju.hub import Architecture, Name, architecture, read_weights, write_weights
from liju.hub.convert import laid_out
from liju.hub.files import read_json, write_json
from liju.model import Transformer

__all__ = ["load_adapter", "save_adapter"]

BASE = "base_model.model."


def _where(model: Transformer) -> Architecture:
    found = architecture(model.config, list(model.heads))
    if found is None:
        raise BundleError(
            "no Hugging Face class has this shape, so PEFT has no names for its adapters",
            hint="merge them: the bundle is whole",
        )
    return found


def _rows(model: Transformer, where: Architecture) -> dict[str, Name]:
    """Of each of our linear layers that is one of theirs: the row of its weight."""
    return {
        row.ours[0].removesuffix(".weight"): row
        for row in where.table(model.config)
        if len(row.ours) == 1 and row.ours[0].endswith(".weight") and row.op in ("copy", "pairs")
    }


def save_adapter(folder: str | Path, model: Transformer, base: str = "") -> Path:
    """Write the adapters of `model`, and its heads, as PEFT loads them.

    base: the name or path of the model without adapters, for `base_model_name_or_path`.
    Raises BundleError where PEFT has no names for them: a shape without a class, or layers that are one
    matrix there (GPT-2's queries, keys and values).
    """
    folder, layers = Path(folder), lora_layers(model)
    if not layers:
        raise BundleError("the model has no adapters", hint="add_lora(model, rank=8)")
    where = _where(model)
    rows = _rows(model, where)
    tensors: dict[str, Tensor] = {}
    targets = []
    for name, layer in layers.items():
        if name not in rows:
            raise BundleError(f"{name} is no layer of its own in {where.name}", hint="merge the adapters")
        theirs = rows[name].theirs.removesuffix(".weight")
        targets.append(theirs)
        tensors[f"{BASE}{theirs}.lora_A.weight"] = layer.lora_A.detach().cpu()
        tensors[f"{BASE}{theirs}.lora_B.weight"] = laid_out(layer.lora_B.detach().cpu(), rows[name])
        if isinstance(layer, DoRALinear):
            length = layer.lora_magnitude.detach().cpu()[:, None]  # a column, so that it is laid out as rows
            tensors[f"{BASE}{theirs}.lora_magnitude_vector"] = laid_out(length, rows[name])[:, 0]
    state, saved = model.state_dict(), []
    for row in where.table(model.config):
        own = len(row.ours) == 1 and row.ours[0].startswith(("heads.", "pooler."))
        if own and not row.ours[0].startswith("heads.words."):
            module = row.theirs.rpartition(".")[0]
            saved += [module] if module not in saved else []
            tensors[BASE + row.theirs] = laid_out(state[row.ours[0]].cpu(), row)
    first = next(iter(layers.values()))
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / "adapter_model.safetensors", tensors)
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": TASK_TYPES.get(where.name.rpartition("For")[2]),
            "base_model_name_or_path": base,
            "r": first.rank,
            "lora_alpha": first.alpha,
            "lora_dropout": first.lora_dropout.p,
            "target_modules": targets,
            "modules_to_save": saved or None,
            "bias": "none",
            "fan_in_fan_out": False,
            "use_rslora": False,
            "use_dora": isinstance(first, DoRALinear),
            "inference_mode": True,
        },
    )
    return folder


TASK_TYPES = {
    "SequenceClassification": "SEQ_CLS",
    "TokenClassification": "TOKEN_CLS",
    "QuestionAnswering": "QUESTION_ANS",
    "CausalLM": "CAUSAL_LM",
    "ConditionalGeneration": "SEQ_2_SEQ_LM",
}
# What changes the function, and what we can read of it.
FIXED = {"peft_type": "LORA", "bias": "none", "fan_in_fan_out": False}


@torch.no_grad()
def load_adapter(model: Transformer, folder: str | Path) -> int:
    """Put the adapters of a PEFT folder on `model`, and its heads where the folder has them. Returns how many
    layers got one.

    Raises BundleError naming the key or the tensor: of another kind of adapter, for a layer that the model
    does not have, of another shape, or left over.
    """
    folder = Path(folder)
    settings = read_json(folder / "adapter_config.json")
    file = folder / "adapter_model.safetensors"
    for key, expected in FIXED.items():
        if settings.get(key, expected) not in (expected, None):
            raise BundleError(
                f"{folder / 'adapter_config.json'}: {key} is {settings[key]!r}; liju reads {expected!r}"
            )
    if settings.get("rank_pattern") or settings.get("alpha_pattern"):
        raise BundleError(f"{folder / 'adapter_config.json'}: ranks that differ by layer are not read")
    left = read_weights(file)
    where = _where(model)
    rows = {row.theirs.removesuffix(".weight"): (name, row) for name, row in _rows(model, where).items()}
    dora = bool(settings.get("use_dora"))
    found, lengths = {}, {}
    for key in [key for key in left if key.endswith(".lora_A.weight")]:
        theirs = key.removeprefix(BASE).removesuffix(".lora_A.weight")
        if theirs not in rows:
            raise BundleError(f"{file}: {theirs} is no linear layer of {where.name}")
        name, row = rows[theirs]
        second = key.replace(".lora_A.", ".lora_B.")
        if second not in left:
            raise BundleError(f"{file}: {key} without {second}")
        found[name] = left.pop(key), laid_out(left.pop(second), row, back=True)
        if dora:
            third = key.replace(".lora_A.weight", ".lora_magnitude_vector")
            if third not in left:
                raise BundleError(f"{file}: {key} without {third}")
            lengths[name] = laid_out(left.pop(third)[:, None], row, back=True)[:, 0]
    if not found:
        raise BundleError(f"{file}: no adapter in it")
    rank = int(settings["r"])
    alpha = float(settings.get("lora_alpha") or rank)
    if settings.get("use_rslora"):
        alpha *= rank**0.5  # alpha / sqrt(r) instead of alpha / r
    for name, (A, B) in found.items():
        linear = model.get_submodule(name)
        for letter, tensor, shape in (
            ("A", A, (rank, linear.in_features)),
            ("B", B, (linear.out_features, rank)),
            *([("magnitude_vector", lengths[name], (linear.out_features,))] if dora else []),
        ):
            if tuple(tensor.shape) != shape:
                raise BundleError(
                    f"{file}: lora_{letter} of {name} has the shape {list(tensor.shape)}, "
                    f"expected {list(shape)}"
                )
    state = model.state_dict()
    for row in where.table(model.config):
        tensor = left.pop(BASE + row.theirs, None)
        if tensor is None or len(row.ours) != 1:
            continue
        tensor = laid_out(tensor, row, back=True)
        if tensor.shape != state[row.ours[0]].shape:
            raise BundleError(
                f"{file}: {row.theirs} has the shape {list(tensor.shape)}, "
                f"expected {list(state[row.ours[0]].shape)}"
            )
        state[row.ours[0]].copy_(tensor)
    if left:
        raise BundleError(f"{file}: unexpected tensor {sorted(left)[0]}")
    add_lora(
        model,
        rank,
        alpha,
        float(settings.get("lora_dropout") or 0.0),
        list(found),
        DoRALinear if dora else LoRALinear,
    )
    layers = lora_layers(model)
    for name, (A, B) in found.items():
        layers[name].lora_A.copy_(A)
        layers[name].lora_B.copy_(B)
        layer = layers[name]
        if isinstance(layer, DoRALinear):
            layer.lora_magnitude.copy_(lengths[name])
    return len(found)
