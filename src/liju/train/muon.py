"""Muon: momentum whose update is made orthogonal, for the hidden matrices.

`torch.optim.Muon` casts to bfloat16 and takes one matrix at a time, which on
a CPU without bfloat16 units made a step eight times longer; here the precision is chosen and matrices of
one shape go through together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Muon", "orthogonalise"]

# Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ : the quintic that lifts small singular
# values fastest; the result's lie in about [0.7, 1.2], which trains as well as exactly 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STACKED = 2**26  # numbers of the matrices that go through together: five times as many are held meanwhile


def orthogonalise(
    matrices: Float[Tensor, "matrix row column"], steps: int = 5, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "matrix row column"]:
    r"""Push every singular value towards 1 by Newton-Schulz.

    $X_0 = G / \lVert G \rVert_F$, then $X \leftarrow aX + (bA + cA^2)X$ with $A = XX^\top$ (Jordan et al.).

    `dtype`: what it computes in. The answer has the type of `matrices`.

    >>> G = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    >>> values = torch.linalg.svdvals(orthogonalise(G))
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    X = matrices.to(dtype)
    X = X.mT if tall else X  # the product XX^T is then the smaller one
    X = X / (torch.linalg.vector_norm(X, dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        A = X @ X.mT
        B = torch.baddbmm(A, A, A, beta=b, alpha=c)
        X = torch.baddbmm(X, B, X, beta=a)
    return (X.mT if tall else X).to(matrices.dtype)


class Muon:
    r"""Momentum, made orthogonal, times $\sqrt{\max(1, rows / columns)}$; decoupled weight decay.

    $M \leftarrow \mu M + (1 - \mu) G$; the update is of $(1 - \mu) G + \mu M$ (Nesterov). The scale is
    that of Jordan et al. 2024, under which one learning rate (0.02) serves all shapes. (Moonshot's
    $0.2 \sqrt{\max}$, arXiv:2502.16982, is for sharing AdamW's rate.)

    `parameters`: name to matrix. Gradients are read from `.grad`; a matrix without one is left as it is.

    >>> W = torch.nn.Parameter(torch.zeros(3, 5))
    >>> muon = Muon({"W": W}, learning_rate=0.1)
    >>> W.grad = torch.eye(3, 5)
    >>> muon.step(factor=0.5)
    >>> bool((W.diagonal() < -0.03).all()), list(muon.state())
    (True, ['W.momentum'])
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
        scales: Mapping[str, float] | None = None,
    ):
        self.parameters = dict(parameters)
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.dtype, self.scales = dtype, dict(scales or {})
        self.buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with `factor` times the peak learning rate."""
        rate = self.learning_rate * factor
        shapes: dict[tuple[torch.Size, torch.device, torch.dtype, Any], list[str]] = {}
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                mesh = getattr(parameter, "device_mesh", None)
                key = (parameter.shape, parameter.device, parameter.dtype, mesh)
                shapes.setdefault(key, []).append(name)
        for (shape, _, kind, mesh), alike in shapes.items():
            most = max(1, STACKED // shape.numel()) * (1 if mesh is None else mesh.size())
            for first in range(0, len(alike), most):
                self._turn(alike[first : first + most], shape, kind, mesh, rate)

    def _turn(
        self, names: Sequence[str], shape: torch.Size, kind: torch.dtype, mesh: Any, rate: float
    ) -> None:
        """The update of matrices of one shape."""
        updates = [_own(self._update(name)) for name in names]
        dtype = torch.float64 if kind == torch.float64 else self.dtype
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        if mesh is None:
            made = orthogonalise(torch.stack(updates), dtype=dtype)
        else:
            made = _orthogonalise_rows(updates, shape[0], mesh, dtype)
        for name, update in zip(names, made, strict=True):
            parameter = _own(self.parameters[name])
            own = rate * self.scales.get(name, 1.0)
            parameter.mul_(1 - own * self.weight_decay).add_(update, alpha=-own * scale)

    def _update(self, name: str) -> Tensor:
        """Nesterov's momentum of one gradient."""
        gradient = self.parameters[name].grad
        assert gradient is not None
        buffer = self.buffers.setdefault(name, torch.zeros_like(gradient))
        buffer.lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(buffer, self.momentum)

    def state(self) -> dict[str, Tensor]:
        """Everything it remembers, by name."""
        return {f"{name}.momentum": buffer for name, buffer in self.buffers.items()}

    def allocate(self, names: Collection[str]) -> None:
        """Make room for what `state` gave under `names`."""
        self.buffers = {
            name: torch.zeros_like(parameter, requires_grad=False)
            for name, parameter in self.parameters.items()
            if f"{name}.momentum" in names
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.allocate(state.keys())
        for name, buffer in self.buffers.items():
            buffer.copy_(state[f"{name}.momentum"])


def _own(tensor: Tensor) -> Tensor:
    """This rank's rows of a tensor that is sharded; any other tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]


def _orthogonalise_rows(
    updates: Sequence[Tensor], rows: int, mesh: Any, dtype: torch.dtype
) -> list[Float[Tensor, "row column"]]:
    """`orthogonalise` of matrices of one shape of which each rank has some rows; gives these rows.

    Every rank gets its share of the matrices whole from the others, makes them orthogonal and sends the rows
    back: two messages, and no matrix is computed twice (as in microsoft/dion, arXiv:2504.05295).
    """
    import torch.distributed as dist

    group, size, rank = mesh.get_group(), mesh.size(), mesh.get_local_rank()
    share = -(-rows // size)  # rows of the first ranks; the last ones have fewer, or none
    heights = [max(0, min(rows, (r + 1) * share) - r * share) for r in range(size)]
    width, height, mine = updates[0].shape[1], heights[rank], len(updates[rank::size])
    out = [len(updates[r::size]) * height * width for r in range(size)]
    back = [mine * h * width for h in heights]
    sent = torch.cat([update.flatten() for r in range(size) for update in updates[r::size]])
    got = sent.new_empty(sum(back))
    dist.all_to_all_single(got, sent, back, out, group=group)
    parts = [part.view(mine, h, width) for part, h in zip(got.split(back), heights, strict=True)]
    if mine:
        parts = orthogonalise(torch.cat(parts, dim=1), dtype=dtype).split(heights, dim=1)
    got = torch.cat([part.flatten() for part in parts])
    dist.all_to_all_single(sent, got, out, back, group=group)
    made: list[Tensor] = list(updates)
    for r, part in enumerate(sent.split(out)):
        made[r::size] = part.view(-1, height, width) if height else updates[r::size]
    return made
