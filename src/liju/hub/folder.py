"""Folders that others wrote in Hugging Face's form: which class they are, and what it can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from liju.hub.bundle import PROBLEMS, Bundle
from liju.hub.config_map import Architecture, class_of, from_json, kind_of
from liju.hub.files import load_tokenizer, read_json
from liju.hub.filling import NAMED, check_sizes, fill
from liju.hub.sentence_transformers import read_modules
from liju.hub.weights import read_weights
from liju.model import TransformerConfig

__all__ = ["import_folder"]

# What `liju.load` makes of a model that was not trained here, by the head that it has.
TASKS = {"label": "classification", "tag": "tagging", "span": "answering", "": "features"}
# The words head alone says too little: by model type, then by family.
WRITERS = {"t5": "fill-span", "encoder": "fill-mask", "decoder": "generation", "encdec": "translation"}


def import_folder(folder: str | Path) -> Bundle:
    """Read a Hugging Face folder that liju did not write. The task is what its class and config.json say.

    Raises BundleError naming the file, the key or the tensor.
    """
    folder = Path(folder)
    settings = read_json(folder / "config.json")
    file = str(folder / "config.json")
    from_json(settings, file)  # before gigabytes are read
    config, where, tensors = _recognised(settings, read_weights(folder), file)
    heads = dict.fromkeys(where.heads, 2)
    if "words" in heads:
        heads["words"] = config.vocab_size
    labels: list[str] = []
    for head in NAMED & heads.keys():
        theirs = next(row.theirs for row in where.table(config) if row.ours == (f"heads.{head}.weight",))
        if theirs in tensors:
            heads[head] = len(tensors[theirs])
        names = settings.get("id2label") or {}
        labels = [names[key] for key in sorted(names, key=int)] or [f"LABEL_{i}" for i in range(heads[head])]
    task = _task(where, config.max_length, labels, settings)
    if (folder / "modules.json").exists():
        task = read_modules(folder, config, task)
    tokenizer = load_tokenizer(folder, required=False)
    check_sizes(config, tokenizer, task, heads, str(folder))
    model = fill(folder, config, heads, where, tensors)
    return Bundle(model, tokenizer, task, {"imported from": folder.name}, folder, where.name)


def _recognised(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str
) -> tuple[TransformerConfig, Architecture, dict[str, Tensor]]:
    """The class that a file's tensors are of, and they under its names. Files hold more than their class
    says (bert-base-uncased says BertForMaskedLM, holds BertForPreTraining) or less (bart-base: BartModel)."""
    kind = kind_of(settings, file)
    said = class_of(settings, kind, file)
    first = None
    for name in kind.variants_from(said):
        config, where = from_json({**settings, "architectures": [name]}, file)
        table = where.table(config)
        named = kind.named_now(tensors, table)
        if said is None or said in kind.bare:
            named = {theirs: make(config) for theirs, make in kind.absent.items()} | named
        needed = {row.theirs for row in table if row.fill is None}
        known = {row.theirs for row in table} | kind.copies_beside(table).keys()
        copied = {of for copy, of in kind.copies_beside(table).items() if copy in named}
        if needed <= named.keys() | copied and named.keys() <= known:
            return config, where, named
        if first is None or (said is None and needed <= named.keys()):
            first = config, where, named
    assert first is not None
    return first  # what does not fit is named when the model is filled


def _task(
    where: Architecture, max_length: int, labels: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the model is for, in the words of liju.json."""
    start = settings.get("decoder_start_token_id")
    if "words" in where.heads:
        name = WRITERS.get(where.kind.model_type) or WRITERS[where.kind.family]
    else:
        name = TASKS[next((head for head in where.heads if head in TASKS), "")]
    task: dict[str, Any] = {"name": name, "max_length": max_length}
    if name == "classification":
        # As transformers has it, one output without a word is a number.
        single = "regression" if len(labels) == 1 else ""
        problem = settings.get("problem_type") or single
        task["name"] = next((ours for ours, theirs in PROBLEMS.items() if theirs == problem), name)
        task |= (settings.get("task_specific_params") or {}).get(task["name"], {})
    if labels and task["name"] != "regression":
        task["labels"] = list(labels)
    if where.kind.family == "encdec" and start is not None:
        task["start"] = start
    return task
