"""What the training loop is told: one frozen dataclass."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from liju.errors import ConfigError

__all__ = ["TrainSettings"]

# A change of these gives the same gradients to rounding (law 2), so a run may go on with it, with a notice.
ROUNDING = frozenset({"micro_batch_tokens", "precision", "compile", "layout", "device"})
ROUNDING |= {"sharding", "tensor_parallel", "recompute"}
# A change of these changes no weight.
FREE = frozenset({"evaluate_every", "save_every", "log_every", "keep", "best", "best_is", "max_skips"})
FREE |= {"patience"}


@dataclass(frozen=True)
class TrainSettings:
    """The settings of one training run. Which parameters are trained is said by their `requires_grad`.

    >>> TrainSettings(steps=200, warmup=0.1).warmup_steps
    20
    >>> TrainSettings(steps=-1)
    Traceback (most recent call last):
        ...
    liju.errors.ConfigError: steps must be at least 0, not -1
    """

    steps: int = 1000  # optimizer steps; 0 saves the network as it is
    batch_tokens: int = 4096  # tokens a step, on average, over all ranks
    micro_batch_tokens: int = 4096  # places that fit in memory at once
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3  # peak, of AdamW
    muon_learning_rate: float = 0.02  # peak, of the hidden matrices under muon
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW (Vaswani et al. 2017)
    epsilon: float = 1e-8
    momentum: float = 0.95  # of Muon
    schedule: Literal["cosine", "inverse-sqrt", "wsd", "constant"] = "cosine"
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 0.01  # decoupled; matrices only
    clip: float = 1.0  # largest norm of the whole gradient; 0 is off
    max_skips: int = 3  # steps left out for a NaN, an infinity or a spike; one more ends the run; 0 is none
    spike: float = 0.0  # deviations over the last 128 steps that are a spike; 0: nothing is
    evaluate_every: int = 200
    save_every: int = 200
    log_every: int = 1  # steps a line of metrics.jsonl
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    layout: Literal["auto", "grouped", "packed", "flat"] = "auto"  # of rows (`liju.samples.micro_batches`)
    sharding: Literal["auto", "replicate", "shard", "offload"] = "auto"  # of the weights over the ranks
    tensor_parallel: int = 1  # ranks that share each sample and each matrix
    recompute: Literal["off", "blocks", "selective"] = "off"  # activations in the backward pass
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    keep: int = 2  # newest checkpoints kept; the best one is kept besides
    best: str = ""  # the key of evaluate's answer that says which checkpoint is best; empty: none
    best_is: Literal["lower", "higher"] = "lower"
    patience: int = 0  # looks without a better score after which the run ends; 0: it does not
    layer_decay: float = 1.0  # the learning rate of each block is this times that of the block above it

    def __post_init__(self) -> None:
        least = {"steps": 0, "seed": 0, "clip": 0, "weight_decay": 0, "max_skips": 0, "spike": 0}
        least |= {"patience": 0}
        least |= dict.fromkeys(("batch_tokens", "micro_batch_tokens", "keep", "tensor_parallel"), 1)
        least |= dict.fromkeys(("evaluate_every", "save_every", "log_every"), 1)
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if self.patience and not self.best:
            raise ConfigError("patience needs a score to watch", hint="best = the key of evaluate's answer")
        if self.optimizer == "muon" and self.tensor_parallel > 1:
            raise ConfigError(
                "muon needs whole matrices, and tensor_parallel cuts them twice",
                hint='optimizer = "adamw", or sharding = "shard" without tensor_parallel',
            )
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is a factor a block, in (0, 1], not {self.layer_decay}")
        for name in ("learning_rate", "muon_learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup is a share of the steps, in [0, 1), not {self.warmup}")
        for name, kind in get_type_hints(type(self)).items():
            choices = get_args(kind)
            if choices and isinstance(choices[0], str) and getattr(self, name) not in choices:
                raise ConfigError(f"{name} is {getattr(self, name)!r}", hint=f"one of {', '.join(choices)}")
        object.__setattr__(self, "betas", tuple(self.betas))

    @classmethod
    def of(cls, section: Any, **values: Any) -> TrainSettings:
        """The settings that a section of the project file names, and `values`, which win.

        >>> from liju.config import Pretrain
        >>> TrainSettings.of(Pretrain(steps=30, optimizer="muon"), seed=7).steps
        30
        """
        shared = {f.name: getattr(section, f.name) for f in fields(cls) if hasattr(section, f.name)}
        return cls(**{**shared, **values})

    @property
    def warmup_steps(self) -> int:
        """Steps that warm up."""
        return round(self.warmup * self.steps)

    @property
    def binding(self) -> dict[str, Any]:
        """What a resumed run must share with the run it continues."""
        values = asdict(self)
        return {name: values[name] for name in values if name not in ROUNDING | FREE}

    @property
    def fingerprint(self) -> str:
        """Of `binding`: two runs with the same one take the same steps.

        >>> TrainSettings().fingerprint == TrainSettings(save_every=7).fingerprint
        True
        >>> TrainSettings().fingerprint == TrainSettings(seed=7).fingerprint
        False
        """
        return hashlib.sha256(json.dumps(self.binding, sort_keys=True).encode()).hexdigest()[:16]
