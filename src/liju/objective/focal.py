r"""Focal losses: what is already right counts less, so that rare labels are heard (Lin et al. 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from liju.samples.batch import Targets

__all__ = ["GAMMA", "focal", "focal_flags"]

GAMMA = 2.0


def focal(
    logits: Float[Tensor, "target output"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""One of many, $-(1 - p_y)^\gamma \log p_y$ with $p = \mathrm{softmax}(z)$ and $\gamma = 2$.

    >>> import torch
    >>> targets = Targets(torch.tensor([0]), torch.tensor([1]), torch.ones(1), loss="focal")
    >>> focal(torch.zeros(1, 2), targets)
    tensor([0.1733])
    """
    surprise = F.cross_entropy(logits, targets.value, reduction="none")
    return (1 - (-surprise).exp()) ** GAMMA * surprise


def focal_flags(
    logits: Float[Tensor, "target output"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""Each yes or no by itself, the mean over outputs of $-(1-p)^\gamma \log p$ with $p = \sigma(\pm z)$.

    >>> import torch
    >>> targets = Targets(torch.tensor([0]), torch.tensor([[1.0, 0.0]]), torch.ones(1), loss="focal-flags")
    >>> focal_flags(torch.zeros(1, 2), targets)
    tensor([0.1733])
    """
    truth = targets.value.to(logits.dtype)
    surprise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return ((1 - (-surprise).exp()) ** GAMMA * surprise).mean(-1)
