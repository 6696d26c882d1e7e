"""Machines that a training can be planned for, from `machines.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from liju.errors import RequestError, did_you_mean

__all__ = ["Machine", "machine", "machines", "parse_machine"]


@dataclass(frozen=True)
class Machine:
    """One device of a kind, and how its like are joined. Units: bytes, bytes/s, FLOP/s, dollars an hour."""

    key: str
    name: str
    memory: float
    peak: Mapping[str, float] = field(hash=False)  # by precision
    mfu: float  # share of the peak that a good training reaches
    measured: str  # where that share comes from
    bandwidth: float = 0.0  # of its memory; 0: not known
    link: float = 0.0  # between devices of a node
    network: float = 0.0  # to other nodes
    node: int = 1
    price: float = 0.0
    priced: str = ""
    source: str = ""

    def peak_of(self, precision: str) -> float:
        """FLOP/s in a precision. Raises RequestError for one that the machine does not compute in.

        >>> machine("a100").peak_of("bfloat16") / 1e12
        312.0
        """
        if precision not in self.peak:
            raise RequestError(
                f"{self.key} has no peak in {precision!r}", hint=f"one of {', '.join(self.peak)}"
            )
        return self.peak[precision]


@cache
def machines() -> dict[str, Machine]:
    """Every machine of the data file, by name.

    >>> sorted(machines())
    ['a100', 'h100', 'h200', 'p100', 'tpu-v3', 'tpu-v4', 'v100']
    """
    text = (files("liju.plan") / "machines.toml").read_text(encoding="utf-8")
    return {key: Machine(key=key, **values) for key, values in tomllib.loads(text).items()}


def machine(name: str) -> Machine:
    """The machine of that name. Raises RequestError for an unknown one.

    >>> machine("h10")
    Traceback (most recent call last):
        ...
    liju.errors.RequestError: unknown machine 'h10'
    """
    known = machines()
    if name not in known:
        near = did_you_mean(name, [*known, "here"])
        raise RequestError(f"unknown machine {name!r}", hint=near or f"one of {', '.join(known)}, here")
    return known[name]


def parse_machine(text: str) -> tuple[str, int]:
    """The name and the number of devices that `a100:1024` means. Raises RequestError for no number above 0.

    >>> parse_machine("a100:1024"), parse_machine("here")
    (('a100', 1024), ('here', 1))
    """
    name, colon, count = text.partition(":")
    if not colon:
        return name, 1
    try:
        devices = int(count.replace("_", "").replace(",", ""))
    except ValueError:
        devices = 0
    if devices < 1:
        raise RequestError(
            f"{text!r}: the number of devices must be a whole number above 0", hint=f"{name}:8"
        )
    return name, devices
