"""From a model and a batch to sums of losses, so that any split of a batch adds up to the whole (law 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from liju.objective.kinds import kind_of
from liju.objective.vocabulary import LARGE, chunk_rows, linear_cross_entropy
from liju.samples.batch import Batch, Targets
from liju.samples.layout import Layout, micro_batches

if TYPE_CHECKING:
    from liju.objective.base import Objective

__all__ = ["held_out", "losses"]


class Predicts(Protocol):
    """What a network must do for its losses to be computed; `liju.model.Transformer` does it.

    It may have a method `vocabulary(name, hidden)` besides: what the logits of a head are a linear map of, as
    (hidden, weight, bias, softcap), or None. Then they are made a few rows at a time. It may have a `layout`:
    of rows, the one that it computes fastest.
    """

    training: bool

    def train(self, mode: bool = True) -> Any: ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def __call__(self, batch: Batch) -> Float[Tensor, "row place d_model"]: ...

    def predict(
        self, name: str, hidden: Float[Tensor, "target d_model"]
    ) -> Float[Tensor, "target output"]: ...


def losses(
    model: Predicts, batch: Batch, label_smoothing: float = 0.0
) -> dict[str, tuple[Float[Tensor, ""], float]]:
    """For each head, the weighted sum of its losses (nats, where they are cross-entropies) and the sum of
    the weights.

    Only the places that are predicted reach the heads. `label_smoothing` is for words alone.
    """
    hidden = model(batch).flatten(0, 1)
    found = {}
    for name, targets in batch.targets.items():
        chosen, total = hidden.index_select(0, targets.index), float(targets.weight.sum())
        smoothing = label_smoothing if name == "words" else 0.0
        linear = _linear(model, name, chosen) if targets.loss == "class" else None
        if linear is not None:
            inner, weight, bias, softcap = linear
            nats = linear_cross_entropy(
                inner,
                weight,
                targets.value,
                targets.weight,
                bias=bias,
                smoothing=smoothing,
                softcap=softcap,
            )
            found[name] = (nats, total)
            continue
        logits = model.predict(name, chosen)
        if logits.dtype in (torch.bfloat16, torch.float16):
            logits = logits.float()
        each = kind_of(targets.loss)(logits, targets, smoothing)
        found[name] = ((each * targets.weight.to(each.dtype)).sum(), total)
    return found


def _linear(model: Predicts, name: str, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None, float] | None:
    """What a head's logits are a linear map of, where they are too many to be made at once."""
    ask = getattr(model, "vocabulary", None)
    linear = None if ask is None else ask(name, hidden, LARGE)
    if linear is None:
        return None
    # A weight that is spread over ranks (DTensor) has products of its own kind.
    plain = all(type(x) in (Tensor, torch.nn.Parameter) for x in linear[:3] if x is not None)
    return linear if plain else None


def _parts(model: Predicts, name: str, targets: Targets) -> Iterable[Targets]:
    """The targets of a head, as many at a time as there is room for the logits of."""
    size = getattr(getattr(model, "config", None), "vocab_size", 0)
    if name != "words" or targets.loss != "class" or not size:
        return [targets]
    rows = chunk_rows(size, targets.index.device.type)
    parts = zip(*(x.split(rows) for x in (targets.index, targets.value, targets.weight)), strict=True)
    return [Targets(*part) for part in parts]


@torch.inference_mode()
def held_out(
    model: Predicts,
    objective: Objective,
    limit: int = 8192,
    layout: Layout | None = None,
    most: int = 0,
    numbers: Iterable[int] | None = None,
) -> dict[str, float]:
    """The losses of the first pass over an objective's data (or of the first `most` samples of it).

    Dropout is off; masks and spans are those of samples 0, 1, ..., the same at every look. `layout`: of rows
    (None: the model's own); it changes no loss.
    Besides the means it gives `words_nats` (their sum) and `words_count`, for bits per byte.
    """
    chosen = (
        np.arange(min(objective.size, most or objective.size)) if numbers is None else np.array(list(numbers))
    )
    device = next(model.parameters()).device
    rows: Layout = layout or getattr(model, "layout", "grouped")
    totals: dict[str, np.ndarray] = {}
    training = model.training
    model.train(False)
    try:
        # Lengths are known before the samples are built: groups of like length, a few thousand at a time.
        for group in np.array_split(chosen, max(1, len(chosen) // 2048)):
            samples = [objective.sample(int(number)) for number in group]
            for batch in micro_batches(samples, limit, rows, objective.pad):
                batch = batch.to(device)
                hidden = model(batch).flatten(0, 1)
                for name, targets in batch.targets.items():
                    for some in _parts(model, name, targets):
                        logits = model.predict(name, hidden.index_select(0, some.index)).float()
                        nats = kind_of(some.loss)(logits, some, 0.0) * some.weight
                        right = some.weight * torch.nan
                        if some.loss in ("class", "focal"):
                            right = (logits.argmax(-1) == some.value) * some.weight
                        row = np.array(
                            [float(nats.double().sum()), float(right.sum()), float(some.weight.sum())]
                        )
                        totals[name] = totals.get(name, np.zeros(3)) + row
    finally:
        model.train(training)
    return means(totals, objective.weights)


def means(
    totals: Mapping[str, Sequence[float] | np.ndarray], weights: Mapping[str, float]
) -> dict[str, float]:
    """The answer of `held_out` from each head's (nats, right, count); right is NaN where nothing can be."""
    scores: dict[str, float] = {}
    for name, (nats, right, count) in totals.items():
        scores[name] = nats / max(count, 1e-9)
        if not np.isnan(right):
            scores[f"{name}_accuracy"] = right / max(count, 1e-9)
        scores[f"{name}_nats"], scores[f"{name}_count"] = nats, count
    scores["loss"] = sum(weights.get(name, 1.0) * scores[name] for name in totals)
    return scores
