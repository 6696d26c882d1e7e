"""JSON that every parser reads: a number that is none, as of a metric that is not defined here, is null."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["dumps"]


def dumps(value: Any, indent: int | None = None) -> str:
    """The value as JSON; NaN and infinities are null, and other alphabets stay as they are.

    >>> dumps({"名": [0.5, float("nan")], "most": float("inf")})
    '{"名": [0.5, null], "most": null}'
    """
    return json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
