"""What must be the same for a run to go on, and what may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from torch import nn

from liju.errors import CheckpointError
from liju.objective.base import Objective
from liju.samples.steps import ORDER
from liju.train.checkpoint import Checkpoint
from liju.train.settings import ROUNDING, TrainSettings

__all__ = ["check_same", "fingerprints"]


def fingerprints(model: nn.Module, objective: Objective, settings: TrainSettings) -> dict[str, str]:
    """Of the data (with its tokenizer), the objective, the order of samples, the model's shape and the
    settings that bind: two runs with the same ones take the same steps."""
    config = getattr(model, "config", None)
    described = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    if not described.get("value_residual"):  # a run that is older than the switch goes on
        described.pop("value_residual", None)
    parameters = [(name, list(p.shape), p.requires_grad) for name, p in model.named_parameters()]
    aim = [objective.name, objective.size, objective.pad, objective.weights, objective.label_smoothing]

    def digest(value: Any) -> str:
        return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]

    return {
        "data": objective.fingerprint,
        "objective": digest(aim),
        "order": digest(ORDER),
        "model": digest([described, parameters]),
        "settings": settings.fingerprint,
    }


def check_same(
    found: Checkpoint,
    prints: Mapping[str, str],
    settings: TrainSettings,
    ranks: int,
    notice: Callable[[str], None],
) -> None:
    """Raise CheckpointError, with both fingerprints, when data, model or settings are others than the
    checkpoint's. What changes the result to rounding only (micro-batches, ranks, ...) is told to `notice`."""
    saved = found.state["settings"]
    asked, binding = json.loads(json.dumps([asdict(settings), settings.binding]))
    for name, own in prints.items():
        other = found.state["fingerprints"].get(name)
        if own == other:
            continue
        message = (
            f"{found.folder} cannot be continued: the fingerprint of the {name} is {own} and was {other}"
        )
        if name == "settings":
            changed = [key for key in binding if saved.get(key) != binding[key]]
            message += "".join(f"; {key} is {binding[key]!r} and was {saved.get(key)!r}" for key in changed)
        raise CheckpointError(message, hint="start a new run, or put it back as it was")
    # A key that is newer than the run says nothing of it.
    pairs = [(name, asked[name], saved[name]) for name in sorted(ROUNDING & saved.keys())]
    for name, own, other in [*pairs, ("the number of ranks", ranks, found.state["ranks"])]:
        if own != other:
            notice(f"{name} is {own!r} and was {other!r}: the same to rounding, not bit for bit")
