"""An optimizer whose weights and memory lie in the host's memory: a GPU holds weights and gradients alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from liju.train.optimizer import Optimizer

__all__ = ["Offloaded"]


class Offloaded:
    """AdamW's moments are 8 bytes a parameter: on the host they cost a copy of the gradients there and of the
    weights back, each step (Rajbhandari et al. 2021, arXiv:2104.07857).

    `make` builds the optimizer over the copies. The update is computed there too, so that on a CPU the bits
    are those of the optimizer alone.

    >>> from liju.train.optimizer import AdamW
    >>> weight = nn.Parameter(torch.zeros(2))
    >>> offloaded = Offloaded({"weight": weight}, lambda host: AdamW(host, learning_rate=0.1))
    >>> weight.grad = torch.tensor([1.0, -2.0])
    >>> offloaded.step(1.0)
    >>> weight.data
    tensor([-0.1000,  0.1000])
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], make: Callable[[Mapping[str, Tensor]], Optimizer]
    ):
        self.parameters = dict(parameters)
        self.host = {name: _host(parameter) for name, parameter in self.parameters.items()}
        self.inner = make(self.host)
        self.same = False  # the copies are those of the weights

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with `factor` times the peak learning rate."""
        devices = {parameter.device for parameter in self.parameters.values()}
        for name, parameter in self.parameters.items():
            host = self.host[name]
            if not self.same:
                host.copy_(parameter)
            if parameter.grad is None:
                host.grad = None
            else:
                host.grad = torch.empty_like(host) if host.grad is None else host.grad
                host.grad.copy_(parameter.grad, non_blocking=True)
        self.same = True
        for device in devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        self.inner.step(factor)
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                parameter.copy_(self.host[name], non_blocking=True)

    def state(self) -> dict[str, Tensor]:
        """Everything it remembers, by name."""
        return self.inner.state()

    def allocate(self, names: Collection[str]) -> None:
        """Make room for what `state` gave under `names`."""
        self.inner.allocate(names)
        self.same = False

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.inner.load(state)
        self.same = False


def _host(parameter: nn.Parameter) -> nn.Parameter:
    copy = parameter.detach().to("cpu", copy=True)
    return nn.Parameter(copy.pin_memory() if parameter.device.type == "cuda" else copy)
