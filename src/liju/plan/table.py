"""A plan as a table for people: each figure with its formula or its source."""

from __future__ import annotations

import textwrap

from liju.model.config import TransformerConfig
from liju.plan.layout import ROOM
from liju.plan.machines import Machine
from liju.plan.summary import Plan

__all__ = ["table"]

Row = tuple[str, str, str]
LABEL, VALUE = 14, 21  # widths of the first two columns
NARROW = 1024  # a network of less width cannot fill an accelerator


def table(
    plan: Plan,
    config: TransformerConfig,
    machine: Machine,
    name: str = "",
    *,
    measured: str = "",
    steps: int = 0,
    width: int = 110,
) -> str:
    """The figures in lines of `width`. measured: what the speed was measured on; steps: of the project.

    >>> from liju.plan import machine, plan
    >>> gpt2 = TransformerConfig.default("decoder", vocab_size=50257, d_model=768, num_heads=12)
    >>> a100 = machine("a100")
    >>> lines = table(plan(gpt2, 10**9, a100, 8, precision="bfloat16"), gpt2, a100).splitlines()
    >>> lines[3].split()[:2]
    ['parameters', '66,915,840']
    """
    rows = [*_work(plan, config, steps), *_room(plan, machine), *_bill(plan, config, machine, measured)]
    rows += _worth(plan)
    kind = {"encdec": "encoder-decoder"}.get(config.family, config.family)
    blocks = f"{config.num_layers}" + (f" + {config.num_decoder_layers}" if config.num_decoder_layers else "")
    count = f"{plan.devices:,} × " if plan.devices > 1 else ""
    lines = [
        f"{name + ': ' if name else ''}{kind} of {blocks} blocks, width {config.d_model:,}, "
        f"{config.num_heads} heads of {config.d_k}, vocabulary {config.vocab_size:,}",
        f"on {count}{machine.name}, in {plan.precision}",
        "",
    ]
    for label, value, why in rows:
        first, *rest = textwrap.wrap(why, max(40, width - LABEL - VALUE - 2)) or [""]
        lines.append(f"{label:<{LABEL}}{value:<{VALUE}}  {first}".rstrip())
        lines += [" " * (LABEL + VALUE + 2) + line for line in rest]
    return "\n".join(lines)


def _work(plan: Plan, config: TransformerConfig, steps: int) -> list[Row]:
    sides = f"{plan.length:,}" + (f" + {plan.target_length:,}" if plan.target_length else "")
    formula = "6 (N_enc·s + N_dec·t) + 12·L·H·d_k·s" if config.family == "encdec" else "6N + 12·L·H·d_k·s"
    convention = "PaLM's convention, without tables that are only looked up"
    given = f" ({steps:,} steps of {plan.tokens // steps:,})" if steps else ""
    return [
        ("parameters", f"{plan.parameters:,}", "counted from the switches, exact"),
        ("FLOPs a token", f"{plan.flops_per_token:.3g}", f"{formula}; {convention}; samples of {sides}"),
        ("training", f"{plan.training_flops:.3g} FLOPs", f"× {plan.tokens:,} tokens{given}"),
    ]


def _room(plan: Plan, machine: Machine) -> list[Row]:
    assert plan.memory is not None
    rows, layout = [], plan.layout
    if layout is not None:
        shape = f"{layout.data:,} data" + (f" × {layout.tensor} tensor" if layout.tensor > 1 else "")
        held = {"none": "whole copies"}.get(layout.shard, f"{layout.shard} in shares")
        again = {"selective": ", attention computed again", "full": ", blocks computed again"}
        at_once = f"{layout.micro_batch} sequence{'s' * (layout.micro_batch > 1)} at once"
        why = f"{held}{again.get(layout.checkpointing, '')}, {at_once}: {layout.reason}"
        rows.append(("layout", shape, why))
    parts = [f"{name} {_bytes(size)}" for name, size in plan.memory.to_json().items() if size]
    where = f"of {_bytes(machine.memory)} a device" if layout is not None else f"of {_bytes(machine.memory)}"
    rows.append(("memory", _bytes(plan.memory_bytes), f"{where}: {', '.join(parts[:-1])}"))
    if plan.largest:
        why = f"parameters of this shape would fill {ROOM:.0%}: all in shares, blocks computed again"
        rows.append(("largest", f"{plan.largest / 1e9:,.1f} billion", why))
    if plan.serving is not None:
        each = f"weights {_bytes(plan.serving.weights)}, keys and values {_bytes(plan.serving.cache)}"
        rows.append(("serving", _bytes(plan.serving.total), f"{each}: 2·L·H_kv·d_k numbers a token"))
    return rows


def _bill(plan: Plan, config: TransformerConfig, machine: Machine, measured: str) -> list[Row]:
    if plan.seconds is None:
        return []
    rate = plan.tokens / plan.seconds
    why = f"{rate:,.0f} tokens a second" if rate >= 10 else f"{rate:.2g} tokens a second"
    peak = _rate(machine.peak_of(plan.precision))
    if measured:
        why += f": {measured}"
        why += f", {plan.mfu:.0%} of a square product's {peak}" if plan.mfu else ""
        why += "; evaluation and checkpoints come on top"
    elif plan.mfu:
        why += f": FLOPs / ({plan.devices:,} × {peak} × {plan.mfu:.1%})"
        if config.d_model < NARROW and machine.link:
            why += f"; a network of width {config.d_model:,} reaches less"
        if plan.mfu <= machine.mfu * 1.001:
            why += f"; {machine.mfu:.1%} is of {machine.measured}"
    rows = [("time", _duration(plan.seconds), why)]
    if plan.cost_usd is not None and plan.price:
        source = f" ({machine.priced})" if plan.price == machine.price and machine.priced else ""
        hours = plan.seconds / 3600 * plan.devices
        cost = f"${plan.cost_usd:,.0f}" if plan.cost_usd >= 100 else f"${plan.cost_usd:,.2f}"
        worked = f"{hours:,.0f}" if hours >= 100 else f"{hours:,.1f}"
        rows.append(("cost", cost, f"{worked} device hours × ${plan.price:.2f}{source}"))
    return rows


def _worth(plan: Plan) -> list[Row]:
    rows = []
    if plan.loss:
        each = ", ".join(f"{name} {loss:.2f}" for name, loss in plan.loss.items())
        why = f"nats a token, E + A/N^α + B/D^β after fits of other texts and vocabularies: {each}"
        rows.append(("loss", f"{min(plan.loss.values()):.2f} to {max(plan.loss.values()):.2f}", why))
    if plan.optimal_tokens:
        best = plan.optimal_tokens
        rule = best["20 a parameter"]
        ratio = plan.tokens / rule
        told = f"{ratio:.1f} times as many" if ratio >= 1 else f"{1 / ratio:.1f} times fewer"
        span = f"{min(best.values()):.2g} to {max(best.values()):.2g} after the fits"
        rows.append(("best tokens", f"{rule:.3g}", f"20 a parameter; {span}; this plan has {told}"))
    return rows


def _duration(seconds: float) -> str:
    """
    >>> _duration(90), _duration(5e6)
    ('1:30 minutes', '57.9 days')
    """
    if seconds >= 2 * 365 * 86400:
        return f"{seconds / 365 / 86400:,.0f} years"
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:,.1f} days"
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} hours"
    if seconds >= 60:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} minutes"
    return f"{seconds:.2g} seconds"


def _bytes(count: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if abs(count) >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _rate(flops: float) -> str:
    return f"{flops / 1e12:,.0f} TFLOP/s" if flops >= 1e13 else f"{flops / 1e9:,.0f} GFLOP/s"
