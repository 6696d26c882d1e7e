"""AdamW, and which parameter goes to which optimizer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from liju.errors import TrainingError
from liju.train.muon import Muon
from liju.train.settings import TrainSettings

__all__ = ["AdamW", "Optimizer", "Together", "build_optimizer", "hidden_matrices", "layer_scales"]


class Optimizer(Protocol):
    """What the loop asks of an optimizer. Its memory is flat named tensors: it goes to safetensors."""

    def step(self, factor: float) -> None:
        """One update with `factor` times the peak learning rate."""
        ...

    def state(self) -> dict[str, Tensor]: ...

    def allocate(self, names: Collection[str]) -> None:
        """Make room for what `state` gave under `names`, to be read into."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None: ...


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101), by `torch.optim.AdamW`.

    Matrices decay, vectors (norms, biases) do not. `scales`: factors of the learning rate, by name.

    >>> w = nn.Parameter(torch.zeros(3))
    >>> adamw = AdamW({"w": w}, learning_rate=0.1)
    >>> w.grad = torch.tensor([1.0, -2.0, 0.5])
    >>> adamw.step(factor=1.0)
    >>> w.data
    tensor([-0.1000,  0.1000, -0.1000])
    >>> sorted(adamw.state())
    ['w.exp_avg', 'w.exp_avg_sq', 'w.step']
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        scales: Mapping[str, float] | None = None,
    ):
        self.parameters = dict(parameters)
        self.learning_rate = learning_rate
        # One kernel goes through many tensors, but not through tensors that are split over other ranks.
        kinds: dict[tuple[bool, Any, float], list[Tensor]] = {}
        for name, parameter in self.parameters.items():
            mesh = getattr(parameter, "device_mesh", None)
            kind = (parameter.ndim < 2, mesh, (scales or {}).get(name, 1.0))
            kinds.setdefault(kind, []).append(parameter)
        groups = [
            {"params": alike, "weight_decay": 0.0 if vector else weight_decay, "scale": scale}
            for (vector, _, scale), alike in sorted(kinds.items(), key=lambda kind: kind[0][0])
        ]

        def make(fused: bool) -> torch.optim.AdamW:
            return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)

        try:
            self.inner = make(fused=True)
        except RuntimeError:  # a device without the fused kernel
            self.inner = make(fused=False)

    def step(self, factor: float) -> None:
        """One update with `factor` times the peak learning rate."""
        for group in self.inner.param_groups:
            group["lr"] = self.learning_rate * factor * group["scale"]
        self.inner.step()

    def state(self) -> dict[str, Tensor]:
        """Both moments and the count of each parameter, by name."""
        return {
            f"{name}.{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self.inner.state.get(parameter, {}).items()
        }

    def allocate(self, names: Collection[str]) -> None:
        """Make room for what `state` gave under `names`."""
        for name, parameter in self.parameters.items():
            if f"{name}.step" in names:
                # Fresh memory, not the file's: how it is aligned may change the last bit of a result.
                moments = {
                    key: torch.zeros_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")
                }
                device = parameter.device if self.inner.defaults["fused"] else "cpu"
                self.inner.state[parameter] = {"step": torch.zeros((), device=device), **moments}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.allocate(state.keys())
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class Together:
    """Several optimizers as one; each has parameters of its own."""

    def __init__(self, optimizers: Sequence[Optimizer]):
        self.optimizers = list(optimizers)

    def step(self, factor: float) -> None:
        for optimizer in self.optimizers:
            optimizer.step(factor)

    def state(self) -> dict[str, Tensor]:
        return {name: value for optimizer in self.optimizers for name, value in optimizer.state().items()}

    def allocate(self, names: Collection[str]) -> None:
        for optimizer in self.optimizers:
            optimizer.allocate(names)

    def load(self, state: Mapping[str, Tensor]) -> None:
        for optimizer in self.optimizers:
            optimizer.load(state)


def hidden_matrices(model: nn.Module) -> list[str]:
    """Names of the matrices inside the blocks: what Muon trains. Embeddings, heads and vectors are AdamW's.

    >>> hidden_matrices(nn.ModuleDict({"blocks": nn.Linear(3, 5), "head": nn.Linear(5, 7)}))
    ['blocks.weight']
    """
    linear = {
        f"{name}.weight" if name else "weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    return [name for name, _ in model.named_parameters() if "blocks" in name.split(".") and name in linear]


def layer_scales(names: Iterable[str], decay: float) -> dict[str, float]:
    r"""The factor of each parameter's learning rate: $\xi^{L - i}$ in block $i$ of $L$, $\xi^{L + 1}$ in the
    embeddings, 1 in what stands on the blocks (Howard & Ruder 2018, ULMFiT; Bao et al. 2022, BEiT: the top
    block has $\xi$). The blocks of each stack are counted by themselves.

    >>> layer_scales(["token.weight", "encoder.blocks.0.W", "encoder.blocks.1.W", "heads.label.weight"], 0.5)
    {'token.weight': 0.125, 'encoder.blocks.0.W': 0.25, 'encoder.blocks.1.W': 0.5, 'heads.label.weight': 1.0}
    """
    names, depth = list(names), dict[str, int]()
    for name in names:
        if found := _BLOCK.match(name):
            depth[found[1]] = max(depth.get(found[1], 0), int(found[2]) + 1)
    most, scales = max(depth.values(), default=0), dict[str, float]()
    for name in names:
        power = 0
        if found := _BLOCK.match(name):
            power = depth[found[1]] - int(found[2])
        elif not _ABOVE.match(name):
            power = depth.get(name.split(".")[0], most) + 1
        scales[name] = decay**power
    return scales


# Parameters inside a block; those that stand on the blocks.
_BLOCK = re.compile(r"(\w+)\.blocks\.(\d+)\.")
_ABOVE = re.compile(r"heads\.|pooler\.|\w+\.final_norm\.")


def build_optimizer(
    model: nn.Module, settings: TrainSettings, precision: str = "float32", offload: bool = False
) -> Optimizer:
    """The optimizer that `settings` name, over the parameters of `model` that ask for gradients.

    `precision`: Newton-Schulz computes in it. `offload`: in the host's memory.
    Raises TrainingError when nothing asks for a gradient.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise TrainingError("no parameter asks for a gradient", hint="unfreeze a part of the model")
    chosen = set(hidden_matrices(model)) if settings.optimizer == "muon" else set()
    if offload:
        from liju.train.offload import Offloaded

        return Offloaded(parameters, lambda host: _built(host, chosen, settings, torch.float32))
    return _built(parameters, chosen, settings, torch.bfloat16 if precision == "bfloat16" else torch.float32)


def _built(
    parameters: Mapping[str, Tensor], chosen: set[str], settings: TrainSettings, dtype: torch.dtype
) -> Optimizer:
    """AdamW and, for the `chosen` ones, Muon, which computes in `dtype`."""
    scales = layer_scales(parameters, settings.layer_decay) if settings.layer_decay != 1 else None
    optimizers: list[Optimizer] = []
    if rest := {name: p for name, p in parameters.items() if name not in chosen}:
        optimizers.append(
            AdamW(
                rest,
                settings.learning_rate,
                settings.betas,
                settings.epsilon,
                settings.weight_decay,
                scales,
            )
        )
    if matrices := {name: p for name, p in parameters.items() if name in chosen}:
        optimizers.append(
            Muon(
                matrices,
                settings.muon_learning_rate,
                settings.momentum,
                settings.weight_decay,
                dtype,
                scales,
            )
        )
    return Together(optimizers)
