"""The files by which sentence-transformers knows a folder: what makes one vector of a text's outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liju.errors import BundleError
from liju.hub.files import read_json, write_json
from liju.model import TransformerConfig

__all__ = ["read_modules", "write_modules"]

_MODULES = "sentence_transformers.models."
_POOLING = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}


def write_modules(folder: Path, config: TransformerConfig, task: Mapping[str, Any]) -> None:
    """modules.json (the network, its pooling, the length of 1) and the settings of each."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": _MODULES + kind}
        for i, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    length = {"max_seq_length": task.get("max_length", config.max_length), "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", length)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    chosen = task.get("pooling", "mean")
    settings = {"word_embedding_dimension": config.d_model}
    settings |= {key: name == chosen for name, key in _POOLING.items()}
    write_json(folder / "1_Pooling" / "config.json", settings)


def read_modules(folder: Path, config: TransformerConfig, task: Mapping[str, Any]) -> dict[str, Any]:
    """The task of such a folder. Raises BundleError for modules or a pooling that liju does not have."""
    file = folder / "modules.json"
    try:
        listed: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in listed]
    except (ValueError, OSError, TypeError, AttributeError) as error:
        raise BundleError(f"{file}: no list of modules: {error}") from None
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise BundleError(f"{file}: {', '.join(kinds)}; liju has Transformer, Pooling, Normalize")
    where = folder / str(listed[1].get("path", "")) / "config.json"
    settings = read_json(where)
    on = [key for key, value in settings.items() if key.startswith("pooling_mode") and value]
    # Files of version 5 and on name the mode.
    mode = settings.get("pooling_mode", "")
    found = next((name for name, key in _POOLING.items() if on == [key] or mode == name), None)
    if found is None:
        known = ", ".join(_POOLING)
        raise BundleError(f"{where}: the pooling {', '.join(on) or mode!r}", hint=f"liju has {known}")
    lengths = folder / "sentence_bert_config.json"
    length = read_json(lengths).get("max_seq_length") if lengths.exists() else None
    most = min(int(length or config.max_length), config.max_length)
    return {"name": "embedding", "max_length": most, "pooling": found}
