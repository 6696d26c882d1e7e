"""What a model costs before it is paid for: parameters, FLOPs, memory, time."""

from liju.plan.flops import flops_per_token, training_flops
from liju.plan.memory import Memory, kv_cache_bytes, serving_memory, training_memory
from liju.plan.parameters import Parameters, count_parameters
from liju.plan.speed import Speed, probe
from liju.plan.summary import Plan, plan

__all__ = [
    "Memory",
    "Parameters",
    "Plan",
    "Speed",
    "count_parameters",
    "flops_per_token",
    "kv_cache_bytes",
    "plan",
    "probe",
    "serving_memory",
    "training_flops",
    "training_memory",
]
