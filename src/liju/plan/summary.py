"""What a training run will cost, before it is paid for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from liju.model.config import TransformerConfig
from liju.plan.flops import flops_per_token
from liju.plan.memory import Precision, training_memory
from liju.plan.parameters import count_parameters

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """The figures of a training run. `seconds` is None where no speed is known."""

    parameters: int
    tokens: int
    flops_per_token: float
    training_flops: float
    seconds: float | None
    memory_bytes: int

    def to_json(self) -> dict[str, float | int | None]:
        return asdict(self)


def plan(
    config: TransformerConfig,
    tokens: int,
    *,
    length: int = 0,
    target_length: int = 0,
    predicted: float = 1.0,
    micro_batch_tokens: int = 4096,
    optimizer: str = "adamw",
    precision: Precision = "float32",
    tokens_per_second: float | None = None,
) -> Plan:
    """Plan the training of a model on `tokens` tokens in samples of `length` (0: the model's longest).

    >>> bert = TransformerConfig(30522, 768, 12, num_heads=12, num_types=2)
    >>> figures = plan(bert, 10**9, tokens_per_second=1000.0)
    >>> figures.parameters, figures.seconds
    (110104890, 1000000.0)
    """
    length = length or config.max_length
    target_length = target_length or (length if config.family == "encdec" else 0)
    each = flops_per_token(config, length, target_length, predicted=predicted)
    memory = training_memory(
        config,
        micro_batch_tokens,
        length,
        predicted=predicted,
        optimizer="muon" if optimizer == "muon" else "adamw",
        precision=precision,
    )
    return Plan(
        parameters=count_parameters(config).total,
        tokens=tokens,
        flops_per_token=each,
        training_flops=each * tokens,
        seconds=tokens / tokens_per_second if tokens_per_second else None,
        memory_bytes=memory.total,
    )
