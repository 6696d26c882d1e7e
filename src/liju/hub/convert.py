"""The two loops that carry weights out and in, driven by the tables of `families/`.

Every tensor is used exactly once, both ways; what is missing, left over or of another shape is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from liju.errors import BundleError
from liju.hub.names import Name

__all__ = ["export_tensors", "import_tensors", "laid_out"]


def export_tensors(
    state: Mapping[str, Tensor], names: Sequence[Name]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Our tensors under their names, and ours for which the table has no place.

    Raises BundleError where the table asks for a tensor that the model does not have, or for one twice.

    >>> state = {"W_q": torch.ones(2, 3), "W_k": torch.zeros(2, 3), "b": torch.ones(2)}
    >>> theirs, left = export_tensors(state, [Name(("W_q", "W_k"), "c_attn", "transpose")])
    >>> theirs["c_attn"].shape, list(left)
    (torch.Size([3, 4]), ['b'])
    """
    theirs: dict[str, Tensor] = {}
    left = dict(state)
    dtype = next(iter(state.values())).dtype
    for name in names:
        if name.theirs in theirs:
            raise BundleError(f"{name.theirs}: named twice in the table")
        missing = [ours for ours in name.ours if ours not in left]
        if missing:
            raise BundleError(f"{missing[0]}: the model has no such tensor, needed for {name.theirs}")
        if name.fill is not None:
            theirs[name.theirs] = name.fill().to(dtype)
            continue
        parts = [left.pop(ours) for ours in name.ours]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        tensor = laid_out(tensor, name)
        theirs[name.theirs] = tensor.detach().to("cpu").contiguous()
    return theirs, left


def import_tensors(
    tensors: Mapping[str, Tensor],
    names: Sequence[Name],
    shapes: Mapping[str, Sequence[int]],
    copies: Mapping[str, str | None] | None = None,
    where: str = "model.safetensors",
) -> dict[str, Tensor]:
    """Their tensors under our names. `shapes` are those of the model to be filled; `copies` are tensors that
    may lie beside the table: equal to another, or (None) of no meaning.

    Raises BundleError with the tensor's name where one is missing, unexpected, of another shape, or not the
    copy that it should be.

    >>> import_tensors({"a": torch.ones(3, 2)}, [Name(("W",), "a", "transpose")], {"W": (2, 3)})["W"].shape
    torch.Size([2, 3])
    >>> import_tensors({"a": torch.ones(3, 2), "b": torch.ones(1)}, [Name(("W",), "a")], {"W": (3, 2)})
    Traceback (most recent call last):
        ...
    liju.errors.BundleError: model.safetensors: unexpected tensor b
    """
    left = dict(tensors)
    for copy, source in (copies or {}).items():
        if copy not in left:
            continue
        values = left.pop(copy)
        if source is not None and source not in left:
            left[source] = values  # the file keeps the pair under its other name
        elif source is not None and not torch.equal(values, left[source]):
            raise BundleError(
                f"{where}: {copy} differs from {source}, and the configuration says that they are tied",
                hint="set tie_word_embeddings to false in config.json",
            )
    ours: dict[str, Tensor] = {}
    # What is computed may be left out of a file: transformers leaves out Marian's sinusoids.
    absent = [name.theirs for name in names if name.theirs not in left and name.fill is None]
    if absent:
        raise BundleError(f"{where}: missing tensor {_some(absent)}", hint=_near(left, names))
    for name in names:
        if name.theirs not in left:
            continue
        tensor = left.pop(name.theirs)
        if name.fill is not None:
            _check_shape(where, name.theirs, tensor.shape, name.fill().shape)
            wanted = name.fill().to(tensor.dtype)
            if not torch.allclose(tensor, wanted, rtol=0, atol=1e-2 if tensor.dtype.itemsize < 4 else 1e-5):
                raise BundleError(f"{where}: {name.theirs} is not the table that the configuration computes")
            continue
        sizes = [shapes[one][0] for one in name.ours]
        expected = [sum(sizes), *shapes[name.ours[0]][1:]]
        if name.op == "transpose":
            expected = expected[::-1]
        elif name.op == "row":
            expected = [1, *expected]
        _check_shape(where, name.theirs, tensor.shape, expected)
        tensor = laid_out(tensor, name, back=True)
        for one, part in zip(name.ours, tensor.split(sizes), strict=True):
            if one in ours:
                raise BundleError(f"{one}: named twice in the table")
            ours[one] = part.contiguous()
    if left:
        raise BundleError(f"{where}: unexpected tensor {_some(sorted(left))}")
    return ours


def laid_out(tensor: Tensor, name: Name, back: bool = False) -> Tensor:
    """Our layout of a tensor in theirs, or `back`."""
    if name.op == "transpose":
        return tensor.mT if tensor.dim() == 2 else tensor
    if name.op == "row":
        return tensor[0] if back else tensor[None]
    if name.op == "pairs":
        rows = tensor.unflatten(0, (name.heads, *((-1, 2) if back else (2, -1))))
        return rows.transpose(1, 2).reshape(tensor.shape)
    return tensor


def _check_shape(where: str, name: str, shape: Iterable[int], expected: Iterable[int]) -> None:
    if list(shape) != list(expected):
        raise BundleError(f"{where}: {name} has the shape {list(shape)}, expected {list(expected)}")


def _some(names: Sequence[str]) -> str:
    """The first name, and how many more."""
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _near(left: Mapping[str, Tensor], names: Sequence[Name]) -> str:
    table = {name.theirs for name in names}
    others = sorted(set(left) - table)
    return f"the file has {_some(others)} instead" if others else ""
