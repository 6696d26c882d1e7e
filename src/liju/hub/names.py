"""A row of a table of weight names: which of our tensors make which of theirs. The tables are in `families/`,
data that the two loops of `convert.py` read.

>>> [row.theirs for row in weights([("token", "shared")], bias=False)]
['shared.weight']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

__all__ = ["Name", "weights"]


@dataclass(frozen=True)
class Name:
    """One of their tensors.

    ours:  our tensors that make it; several are concatenated along their first axis.
    op:    "transpose" for layers stored (in, out); "row" for a vector stored as [1, n]; "pairs" for queries
           and keys whose rotary pairs are neighbours (2i, 2i + 1), where ours are halves (i, i + d_k / 2).
    heads: of "pairs": how many heads the rows hold.
    fill:  for a tensor that we have no weight for: its values, computed.
    """

    ours: tuple[str, ...]
    theirs: str
    op: Literal["copy", "transpose", "row", "pairs"] = "copy"
    heads: int = 1
    fill: Callable[[], Tensor] | None = None


def weights(rows: Sequence[tuple[str, str]], bias: bool = True) -> Iterator[Name]:
    """A row for each weight, and one for each bias."""
    for ours, theirs in rows:
        yield Name((f"{ours}.weight",), f"{theirs}.weight")
        if bias:
            yield Name((f"{ours}.bias",), f"{theirs}.bias")
