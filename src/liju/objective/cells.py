"""The held-out loss of parts of the data (by language, by source), each sample computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from liju.objective.loss import Predicts, held_out, means
from liju.samples.layout import Layout

if TYPE_CHECKING:
    from liju.objective.base import Objective

__all__ = ["combined", "held_out_by"]


def combined(parts: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> dict[str, float]:
    r"""The answer of `held_out` for all samples together, from its answers for parts of them:

    $L_h = \sum_p \mathrm{nats}_{h,p} / \sum_p \mathrm{count}_{h,p}$ for each head $h$. A part in which a head
    predicts nothing does not have that head.

    >>> one = {"words": 2.0, "words_nats": 6.0, "words_count": 3.0, "words_accuracy": 1 / 3, "loss": 2.0}
    >>> two = {"words": 4.0, "words_nats": 4.0, "words_count": 1.0, "words_accuracy": 1.0, "loss": 4.0}
    >>> combined([one, two], {"words": 1.0})
    {'words': 2.5, 'words_accuracy': 0.5, 'words_nats': 10.0, 'words_count': 4.0, 'loss': 2.5}
    """
    totals: dict[str, np.ndarray] = {}
    for part in parts:
        for head in (name.removesuffix("_nats") for name in part if name.endswith("_nats")):
            nats, count = part[f"{head}_nats"], part[f"{head}_count"]
            right = part.get(f"{head}_accuracy", np.nan) * count
            totals[head] = totals.get(head, np.zeros(3)) + np.array([nats, right, count])
    return means({head: found.tolist() for head, found in totals.items()}, weights)


def held_out_by(
    model: Predicts,
    objective: Objective,
    groups: Mapping[str, Sequence[str] | np.ndarray],
    limit: int = 8192,
    layout: Layout | None = None,
) -> dict[str, float]:
    """As `held_out` for samples 0, 1, ..., and the loss of each group of them.

    `groups`: beginning of a key to the names of the samples' groups. With `{"loss/": ["zh", "en", "zh"]}` the
    answer has `loss/zh` and `loss/en` besides; a grouping in which all samples have one name adds nothing.
    Samples that share all their names are computed together, none is computed twice.
    """
    kept = {key: np.asarray(names) for key, names in groups.items() if len(set(names)) > 1}
    if not kept:
        most = min(map(len, groups.values()), default=0)
        return held_out(model, objective, limit, layout, most=most)
    cells: dict[tuple[str, ...], list[int]] = {}
    for number, names in enumerate(zip(*(found.tolist() for found in kept.values()), strict=True)):
        cells.setdefault(names, []).append(number)
    found = {
        names: held_out(model, objective, limit, layout, numbers=numbers) for names, numbers in cells.items()
    }
    scores = combined(list(found.values()), objective.weights)
    for i, key in enumerate(kept):
        for name in dict.fromkeys(kept[key].tolist()):
            those = [part for names, part in found.items() if names[i] == name]
            scores[f"{key}{name}"] = combined(those, objective.weights)["loss"]
    return scores
