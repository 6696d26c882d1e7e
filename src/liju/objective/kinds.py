"""The losses that a head may have, each of one target, so that sums over any split are the same (law 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from liju.errors import ModelError, did_you_mean
from liju.objective.contrastive import contrastive
from liju.objective.focal import focal, focal_flags
from liju.samples.batch import Targets

__all__ = ["KINDS", "flags", "kind_of", "log_softmax_by", "number", "one_of", "span"]

# Logits and targets to the loss of each target, before its weight.
Kind = Callable[[Tensor, Targets, float], Tensor]


def one_of(
    logits: Float[Tensor, "target output"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""One of many, $-\log \mathrm{softmax}(z)_y$ (nats); `smoothing` spreads a share of the truth over all.

    >>> targets = Targets(torch.tensor([0]), torch.tensor([1]), torch.ones(1))
    >>> one_of(torch.zeros(1, 4), targets)
    tensor([1.3863])
    """
    return F.cross_entropy(logits, targets.value, reduction="none", label_smoothing=smoothing)


def number(
    logits: Float[Tensor, "target 1"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""A number, $(z - y)^2$.

    >>> targets = Targets(torch.tensor([0]), torch.tensor([2.5]), torch.ones(1), loss="number")
    >>> number(torch.zeros(1, 1), targets)
    tensor([6.2500])
    """
    return (logits.squeeze(-1) - targets.value.to(logits.dtype)).square()


def flags(
    logits: Float[Tensor, "target output"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""Each yes or no by itself, the mean over outputs of $-\log \sigma(\pm z)$; `value` is [target, output].

    >>> targets = Targets(torch.tensor([0]), torch.tensor([[1.0, 0.0]]), torch.ones(1), loss="flags")
    >>> flags(torch.zeros(1, 2), targets)
    tensor([0.6931])
    """
    truth = targets.value.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(-1)


def log_softmax_by(
    scores: Float[Tensor, "target column"], group: Tensor, groups: int
) -> Float[Tensor, "target column"]:
    """The log softmax of each column within each group of rows.

    >>> log_softmax_by(torch.zeros(3, 1), torch.tensor([0, 1, 1]), 2).exp().squeeze(-1)
    tensor([1.0000, 0.5000, 0.5000])
    """
    index = group[:, None].expand_as(scores)
    top = scores.new_full((groups, scores.shape[1]), -torch.inf)
    top = top.scatter_reduce(0, index, scores.detach(), "amax").index_select(0, group)
    total = scores.new_zeros(groups, scores.shape[1]).index_add(0, group, (scores - top).exp())
    return scores - top - total.log().index_select(0, group)


def span(
    logits: Float[Tensor, "target 2"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""Where an answer begins and where it ends among the places of its sample, the mean of
    $-\log \mathrm{softmax}(z^\text{begin})$ and $-\log \mathrm{softmax}(z^\text{end})$ (Devlin et al. 2018).

    A target is a place: `value` is [target, (begins here, ends here)], `sample` says whose place it is. Its
    loss is the mean over its marks, and its weight should be the share of the answer's two marks that stand
    there: 1/2 where it begins and 1/2 where it ends (1 where both are one place), 0 elsewhere.

    >>> value = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> sample = torch.tensor([0, 0])
    >>> targets = Targets(torch.tensor([0, 1]), value, torch.tensor([0.0, 1.0]), sample, "span")
    >>> span(torch.zeros(2, 2), targets)
    tensor([-0.0000, 0.6931])
    """
    assert targets.sample is not None
    groups = int(targets.sample.max()) + 1
    found = log_softmax_by(logits, targets.sample, groups)
    marks = targets.value.to(found.dtype)
    return -(found * marks).sum(-1) / marks.sum(-1).clamp(min=1)


KINDS: dict[str, Kind] = {"class": one_of, "number": number, "flags": flags, "span": span}
KINDS |= {"focal": focal, "focal-flags": focal_flags, "contrastive": contrastive}


def kind_of(name: str) -> Kind:
    """The loss of that name. Raises ModelError for one that there is not."""
    if name not in KINDS:
        raise ModelError(f"there is no loss {name!r}", hint=did_you_mean(name, KINDS) or ", ".join(KINDS))
    return KINDS[name]
