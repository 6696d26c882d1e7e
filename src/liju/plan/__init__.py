"""What a model costs before it is paid for: parameters, FLOPs, memory, time, money.

parameters  the exact number, from a closed form
flops       FLOPs of training
memory      bytes of one process: training, serving
sharding    bytes of one device of many
layout      how to spread a training over devices
largest     the largest model that they hold
machines    machines, as data with sources (machines.toml)
scaling     the loss to expect, after three published fits
speed       a few steps, timed
summary     all of it, for one training
table       the same for people
"""

from liju.plan.flops import flops_per_token, training_flops
from liju.plan.largest import largest_model, scaled
from liju.plan.layout import choose_layout, gather_seconds, step_seconds
from liju.plan.machines import Machine, machine, machines, parse_machine
from liju.plan.memory import Memory, kv_cache_bytes, serving_memory, training_memory
from liju.plan.parameters import Parameters, count_parameters
from liju.plan.scaling import FITS, Fit, compute_optimal, expected_loss, optimal_tokens
from liju.plan.sharding import (
    SHARDS,
    Layout,
    activation_bytes,
    device_memory,
    largest_block,
    state_bytes,
)
from liju.plan.speed import Speed, probe
from liju.plan.summary import Plan, plan
from liju.plan.table import table

__all__ = [
    "FITS",
    "SHARDS",
    "Fit",
    "Layout",
    "Machine",
    "Memory",
    "Parameters",
    "Plan",
    "Speed",
    "activation_bytes",
    "choose_layout",
    "compute_optimal",
    "count_parameters",
    "device_memory",
    "expected_loss",
    "flops_per_token",
    "gather_seconds",
    "kv_cache_bytes",
    "largest_block",
    "largest_model",
    "machine",
    "machines",
    "optimal_tokens",
    "parse_machine",
    "plan",
    "probe",
    "scaled",
    "serving_memory",
    "state_bytes",
    "step_seconds",
    "table",
    "training_flops",
    "training_memory",
]
