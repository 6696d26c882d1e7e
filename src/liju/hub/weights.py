"""Files of weights: safetensors, whole or in shards. A pickle file is never opened: it can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from liju.errors import BundleError

__all__ = ["SHARD", "dtype_name", "read_weights", "widest", "write_weights"]

SHARD = 5_000_000_000  # bytes
# What a weight may be: a number of full precision or half; others are quantised, and mean nothing alone.
WEIGHTS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def write_weights(path: Path, tensors: Mapping[str, Tensor], limit: int = SHARD) -> None:
    """Write tensors, none twice, as transformers reads them: one file, or, above `limit` bytes, shards beside
    an index. No shard is larger, save for a tensor that is.

    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp())
    >>> tensors = {"a": torch.arange(3.0), "b": torch.zeros(5), "c": torch.ones(2)}
    >>> write_weights(folder / "model.safetensors", tensors, limit=30)
    >>> sorted(path.name for path in folder.iterdir())  # doctest: +NORMALIZE_WHITESPACE
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors',
     'model.safetensors.index.json']
    >>> read_weights(folder)["a"]
    tensor([0., 1., 2.])
    """
    from safetensors.torch import save_file

    shards: list[dict[str, Tensor]] = [{}]
    room = limit
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append({})
            room = limit
        shards[-1][name] = tensor.contiguous()
        room -= size
    if len(shards) == 1:
        save_file(shards[0], path, {"format": "pt"})
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"{path.stem}-{number:05d}-of-{len(shards):05d}{path.suffix}"
        save_file(shard, path.with_name(file), {"format": "pt"})
        places |= dict.fromkeys(shard, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    path.with_name(f"{path.name}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


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
        raise BundleError(f"{path}: no such file", hint=_others(path)) from None
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
        shard = _one(index.parent / name)
        if twice := sorted(set(shard) & set(found)):
            raise BundleError(f"{index.parent / name}: {twice[0]} is in another shard too")
        found |= shard
    absent = sorted(set(places) - set(found))
    if absent:
        raise BundleError(f"{index}: {absent[0]} is not in {places[absent[0]]}")
    return found


def _refused(path: Path) -> BundleError:
    return BundleError(
        f"{path}: a pickle file can run code when it is opened; liju never opens one",
        hint="ask for the same weights as model.safetensors, or convert them where you trust the file: "
        "safetensors.torch.save_file(torch.load(file, weights_only=True), 'model.safetensors')",
    )


def _others(path: Path) -> str:
    """What lies in the folder instead."""
    found = sorted(one.name for one in path.parent.glob("*.safetensors")) if path.parent.is_dir() else []
    return f"there is {', '.join(found[:3])}" if found else ""


def widest(tensors: Mapping[str, Tensor], where: str) -> torch.dtype:
    """The dtype that holds every one of these weights without rounding.

    Raises BundleError for a tensor that is no weight.

    >>> widest({"a": torch.ones(1), "b": torch.ones(1).bfloat16()}, "model.safetensors")
    torch.float32
    """
    found = torch.bfloat16 if all(t.dtype == torch.bfloat16 for t in tensors.values()) else torch.float16
    for name, tensor in tensors.items():
        if tensor.dtype not in WEIGHTS:
            raise BundleError(
                f"{where}: {name} is {dtype_name(tensor)}; weights are float64, float32, bfloat16 or float16",
                hint="ask for the model before it was quantised",
            )
        found = torch.promote_types(found, tensor.dtype)
    return found


def dtype_name(tensor: Tensor) -> str:
    """
    >>> import torch
    >>> dtype_name(torch.zeros(1))
    'float32'
    """
    return str(tensor.dtype).removeprefix("torch.")
