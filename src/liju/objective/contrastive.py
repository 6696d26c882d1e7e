"""The contrastive loss: a text's vector is nearer to its partner's than to those of the rest of its group."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from liju.samples.batch import Targets

__all__ = ["TEMPERATURE", "contrastive", "pooled"]

# Cosines are divided by it: 20 is the scale of Reimers and Gurevych's MultipleNegativesRankingLoss.
TEMPERATURE = 0.05


def pooled(
    hidden: Float[Tensor, "target d_model"], text: Int[Tensor, " target"], texts: int
) -> Float[Tensor, "text d_model"]:
    r"""The vector of each text, $v = \bar h / \lVert \bar h \rVert$, with $\bar h$ the mean of its places.

    >>> pooled(torch.tensor([[3.0, 1.0], [3.0, 7.0], [0.0, 2.0]]), torch.tensor([0, 0, 1]), 2)
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    total = hidden.new_zeros(texts, hidden.shape[-1]).index_add(0, text, hidden)
    # The mean and the sum have one direction, so the count of the places falls out.
    return F.normalize(total, dim=-1)


def contrastive(
    logits: Float[Tensor, "target d_model"], targets: Targets, smoothing: float = 0.0
) -> Float[Tensor, " target"]:
    r"""InfoNCE, the other texts of the group as negatives (van den Oord et al. 2018; Henderson et al. 2017):
    $-\log \frac{\exp(a_i \cdot b_i / \tau)}{\sum_j \exp(a_i \cdot b_j / \tau)}$, $\tau = 0.05$.

    A target is a place of a text, `sample` its group, `value` [target, (text, same)]. Text $3i$ of a group is
    $a_i$, $3i + 1$ its partner $b_i$, $3i + 2$ (it may be absent) a $b_j$ that is only a negative. Texts with
    one number `same` mean the same: no one's negatives. The losses stand at the first place of each $a_i$;
    only those places should have a weight. So a loss depends on its own group alone, and a group is one
    sample: laws 1 and 2 hold.

    >>> value = torch.tensor([[0, 0], [1, 0], [3, 1], [4, 1]])
    >>> targets = Targets(torch.arange(4), value, torch.ones(4), torch.zeros(4, dtype=torch.int64))
    >>> contrastive(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), targets)
    tensor([0.6931, 0.0000, 0.6931, 0.0000])
    """
    assert targets.sample is not None
    text, same = targets.value.unbind(-1)
    stride = int(text.max()) + 1
    known, which = torch.unique(targets.sample * stride + text, return_inverse=True)
    vectors = pooled(logits, which, len(known))
    places = torch.arange(len(which), device=which.device)
    first = places.new_full((len(known),), len(which)).scatter_reduce(0, which, places, "amin")
    group, part, same = known // stride, known % stride, same[first]
    anchors, others = (part % 3 == 0).nonzero()[:, 0], (part % 3 != 0).nonzero()[:, 0]
    scores = vectors[anchors] @ vectors[others].T / TEMPERATURE
    partner = (group[anchors][:, None] == group[others]) & (part[anchors][:, None] + 1 == part[others])
    negative = (group[anchors][:, None] == group[others]) & (same[anchors][:, None] != same[others])
    scores = scores.masked_fill(~(partner | negative), -torch.inf)
    found = F.cross_entropy(scores, partner.int().argmax(-1), reduction="none")
    return found.new_zeros(len(which)).index_add(0, first[anchors], found)
