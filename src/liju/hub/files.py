"""The files of a bundle beside the weights: JSON, the tokenizer, and the folder's own name."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liju.errors import BundleError, LijuError
from liju.vocab import Tokenizer
from liju.vocab.formats import find

__all__ = ["load_tokenizer", "read_json", "rename", "save_tokenizer", "write_json"]


def save_tokenizer(tokenizer: Tokenizer, folder: Path, longest: int) -> None:
    """The tokenizer's files, with the longest text that this model takes."""
    tokenizer.save(folder)
    path = folder / "tokenizer_config.json"
    if path.exists():
        write_json(path, {**read_json(path), "model_max_length": longest})


def load_tokenizer(folder: Path, required: bool) -> Tokenizer | None:
    """The tokenizer in a folder: ours is there, a plain Hugging Face folder may lack one."""
    if find(folder) is None:
        if required:
            raise BundleError(f"{folder / 'tokenizer.json'}: no such file")
        return None
    try:
        return Tokenizer.load(folder)
    except LijuError as error:
        raise BundleError(error.message, error.hint) from None
    except Exception as error:  # tokenizers raises bare exceptions for a torn file
        raise BundleError(f"{folder / 'tokenizer.json'}: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BundleError(f"{path}: not a JSON object")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def rename(partial: Path, folder: Path) -> None:
    """Give the finished folder its name; the old one, if any, goes only then."""
    os.chmod(partial, 0o755)
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
        os.replace(folder, old / folder.name)
        os.replace(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(partial, folder)
