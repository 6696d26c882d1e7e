"""Bodies of requests and answers: read with a bound, written as JSON."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from liju.serve.asked import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["read_body", "to_json"]


async def read_body(request: Request, max_bytes: int, seconds: float) -> bytes:
    """The body, refused as soon as it is known to be too long, by its header or while it comes."""
    hint = f"at most {max_bytes} bytes"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise Problem(413, f"a body of {declared} bytes is too long", hint)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > max_bytes:
                    raise Problem(413, "the body is too long", hint)
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {seconds:g} seconds") from None
    return b"".join(parts)


def to_json(value: Any) -> bytes:
    """JSON as UTF-8. NumPy and torch numbers are numbers; one that is not finite is null: JSON has no NaN.

    >>> to_json({"text": "例句", "score": float("nan"), "scores": (1, 0.5)}).decode()
    '{"text":"例句","score":null,"scores":[1,0.5]}'
    """
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    tolist = getattr(value, "tolist", None)
    return str(value) if tolist is None else _plain(tolist())
