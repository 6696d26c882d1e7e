"""Learning rates over time: pure functions from the step (0, 1, ...) to a factor of the peak, in [0, 1]."""

from __future__ import annotations

import math

from liju.errors import ConfigError, did_you_mean

__all__ = ["constant", "cosine", "inverse_sqrt", "noam_peak", "schedule", "wsd"]


def _warm(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / max(1, warmup))


def constant(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then the peak.

    >>> [constant(step, 10, warmup=4) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return _warm(step, warmup)


def cosine(step: int, steps: int, warmup: int) -> float:
    r"""Linear warm-up, then $\frac{1}{2}(1 + \cos \pi p)$ with $p$ from 0 towards 1 (one cycle of
    Loshchilov & Hutter 2016, arXiv:1608.03983).

    The end is zero, not a tenth of the peak: short runs end lower so (Bergsma et al. 2025, arXiv:2502.15938).

    >>> [round(cosine(step, 12, warmup=2), 3) for step in (0, 1, 2, 7, 11)]
    [0.5, 1.0, 1.0, 0.5, 0.024]
    """
    if step < warmup:
        return _warm(step, warmup)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))


def inverse_sqrt(step: int, steps: int, warmup: int) -> float:
    r"""The schedule of "Attention Is All You Need" (2017), equation 3, relative to its peak.

    $\min(t / w, \sqrt{w / t})$ with $t$ = step + 1. The article's rate is this times `noam_peak`.

    >>> [inverse_sqrt(step, 100, warmup=4) for step in (0, 3, 15, 63)]
    [0.25, 1.0, 0.5, 0.25]
    """
    warmup, t = max(1, warmup), step + 1
    return min(t / warmup, math.sqrt(warmup / t))


def noam_peak(d_model: int, warmup: int) -> float:
    r"""The peak rate of the 2017 article, reached at t = w: $d_{model}^{-0.5} \cdot w^{-0.5}$.

    >>> f"{noam_peak(512, 4000):.2e}", f"{noam_peak(1024, 4000):.2e}"
    ('6.99e-04', '4.94e-04')
    """
    return (d_model * warmup) ** -0.5


def wsd(step: int, steps: int, warmup: int, decay: float = 0.2) -> float:
    r"""Warm-up, stable, decay: the last share `decay` of the steps falls as $1 - \sqrt{p}$
    (Hu et al. 2024, arXiv:2404.06395; this fall: Hägele et al. 2024, arXiv:2405.18392).

    >>> [round(wsd(step, 100, warmup=10), 3) for step in (0, 9, 50, 80, 85, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.5, 0.025]
    """
    start = steps - max(1, round(decay * steps))
    if step <= start or step < warmup:
        return _warm(step, warmup)
    return 1 - math.sqrt(min(1.0, (step - start) / (steps - start)))


KINDS = {"constant": constant, "cosine": cosine, "inverse-sqrt": inverse_sqrt, "wsd": wsd}


def schedule(kind: str, step: int, steps: int, warmup: int) -> float:
    """The factor of the schedule named `kind` at `step` of `steps`. Raises ConfigError for an unknown name.

    >>> schedule("cosine", 0, 10, 0)
    1.0
    >>> schedule("cosin", 0, 10, 0)
    Traceback (most recent call last):
        ...
    liju.errors.ConfigError: unknown schedule 'cosin'
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"one of {', '.join(KINDS)}"
        raise ConfigError(f"unknown schedule {kind!r}", hint=hint)
    return KINDS[kind](step, steps, warmup)
