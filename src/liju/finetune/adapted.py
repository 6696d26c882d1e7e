"""A model from a PEFT adapter folder: its base, a local folder, with the adapters merged into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from liju.errors import BundleError
from liju.finetune.adapters import BASE, load_adapter
from liju.finetune.finetuning import PRETRAINED
from liju.finetune.lora import merge_lora
from liju.hub import Bundle, architecture, load_bundle, read_weights
from liju.hub.files import read_json
from liju.model import Transformer

__all__ = ["base_of", "load_adapted"]

# The head of ours that each of PEFT's task types has.
HEADS = {"SEQ_CLS": "label", "TOKEN_CLS": "tag", "QUESTION_ANS": "span"}


def base_of(folder: str | Path) -> Path | None:
    """The folder of the model that a PEFT adapter belongs to; None for a folder that is no adapter's.

    `base_model_name_or_path` of its adapter_config.json is looked for beside the adapter, then here. Raises
    BundleError where it is no local folder: nothing is fetched.
    """
    folder = Path(folder)
    file = folder / "adapter_config.json"
    if (folder / "config.json").exists() or not file.exists():
        return None
    name = str(read_json(file).get("base_model_name_or_path") or "")
    for found in (folder / name, Path(name)):
        if name and (found / "config.json").exists():
            return found
    raise BundleError(
        f"{file}: base_model_name_or_path is {name!r}, and no such model folder is here",
        hint="write the folder of the model that the adapter was trained on there; nothing is fetched",
    )


def load_adapted(folder: str | Path) -> Bundle:
    """The base of a PEFT adapter, with the adapters merged and the head that the adapter has, if any.

    Raises BundleError for a base that is not there, an adapter of another kind, or one that does not fit.
    """
    folder = Path(folder)
    base = base_of(folder)
    if base is None:
        raise BundleError(f"{folder}: no adapter_config.json")
    bundle = load_bundle(base)
    model = bundle.model
    if next(model.parameters()).element_size() < 4:  # a small change may vanish in half precision
        model.float()
    _put_head(model, folder)
    load_adapter(model, folder)
    merge_lora(model)
    came: dict[str, Any] = {**bundle.provenance, "adapter": folder.name, "imported from": base.resolve().name}
    return replace(bundle, model=model.eval(), task={}, provenance=came, folder=folder, report={})


def _put_head(model: Transformer, folder: Path) -> None:
    """The head that the adapter brings, in the place of those that the base has of other tasks."""
    head = HEADS.get(str(read_json(folder / "adapter_config.json").get("task_type")))
    where = architecture(model.config, [head]) if head else None
    rows = where.table(model.config) if where else []
    theirs = next((BASE + row.theirs for row in rows if row.ours == (f"heads.{head}.weight",)), "")
    tensors = read_weights(folder / "adapter_model.safetensors")
    if head is None or theirs not in tensors:
        return
    model.keep_heads(PRETRAINED)
    model.add_head(head, len(tensors[theirs]))
