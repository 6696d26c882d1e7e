"""Files of weights: safetensors, whole or in shards. A pickle file is never opened: it can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from liju.errors import BundleError

__all__ = ["read_weights", "write_weights"]

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, none twice, as transformers reads them.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> write_weights(path, {"a": torch.arange(3.0)})
    >>> read_weights(path)["a"]
    tensor([0., 1., 2.])
    """
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, or of a folder (model.safetensors, or the shards that its index names).

    Raises BundleError naming the file that is missing, torn or a pickle.
    """
    if path.is_dir():
        whole, index = path / "model.safetensors", path / "model.safetensors.index.json"
        if not whole.exists() and index.exists():
            return _sharded(index)
        if not whole.exists():
            pickles = sorted(one.name for one in path.iterdir() if one.suffix in PICKLES)
            if pickles:
                raise _refused(path / pickles[0])
        path = whole
    if path.suffix in PICKLES:
        raise _refused(path)
    return _one(path)


def _one(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path}: not a whole safetensors file ({error})", hint="copy it again") from None


def _sharded(index: Path) -> dict[str, Tensor]:
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise BundleError(f"{index}: not an index of shards ({error})") from None
    found: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise BundleError(f"{index}: shard {name!r} is not in this folder")
        found |= _one(index.parent / name)
    absent = sorted(set(places) - set(found))
    if absent:
        raise BundleError(f"{index}: {absent[0]} is not in {places[absent[0]]}")
    return found


def _refused(path: Path) -> BundleError:
    return BundleError(
        f"{path}: a pickle file can run code when it is opened; liju never opens one",
        hint="ask for the same weights as model.safetensors",
    )


def dtype_name(tensor: Tensor) -> str:
    """
    >>> import torch
    >>> dtype_name(torch.zeros(1))
    'float32'
    """
    return str(tensor.dtype).removeprefix("torch.")
