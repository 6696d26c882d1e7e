"""A published shape made smaller or larger, its structure kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liju.errors import ModelError

__all__ = ["scaled"]

LEAST_D_K = 4
LEAST_LENGTH = 64


def scaled(switches: Mapping[str, Any], scale: float) -> dict[str, Any]:
    r"""The switches at `scale` times the width.

    With $r = \sqrt{scale}$:

    - heads and the width of a head shrink by $r$ each, so that together they shrink by `scale`; a head's
      width stays even (rotary pairs), heads of keys and values divide those of queries, and where they were
      fewer they stay fewer;
    - d_model is heads times the width of a head where it was so, and else `scale` times itself, a multiple of
      8; d_ff and the width of narrow embeddings keep their ratio to it;
    - layers shrink by $r$, with enough of them that a windowed model keeps both kinds of layers;
    - the longest sample and the window shrink by `scale`.

    The vocabulary, and every switch that is no size, stay. Raises ModelError where scale is not positive.

    >>> base = {"d_model": 768, "num_layers": 12, "num_heads": 12, "max_length": 512}
    >>> small = scaled(base, 0.1)
    >>> small["d_model"], small["num_layers"], small["num_heads"], small["max_length"]
    (80, 4, 4, 64)
    """
    if not scale > 0:
        raise ModelError(f"scale is {scale}", hint="a share of the width, such as 0.1")
    found = dict(switches)
    if scale == 1:
        return found
    d_model, heads = found["d_model"], found["num_heads"]
    d_k = found.get("d_k") or d_model // heads
    keys = found.get("num_kv_heads") or heads
    root = scale**0.5
    many = max(min(2, heads), round(heads * root))
    small_d_k = max(min(LEAST_D_K, d_k), 2 * round(d_k * root / 2))
    found["num_heads"] = many
    if keys != heads:
        most = max(1, min(round(keys * root), many // 2))
        found["num_kv_heads"] = max(n for n in range(1, most + 1) if many % n == 0)
    if heads * d_k == d_model:
        width = many * small_d_k
        found.pop("d_k", None)
    else:
        width = max(8, 8 * round(d_model * scale / 8))
        # Heads that were wider than their share, or narrower, stay so.
        while (many * small_d_k > width) != (heads * d_k > d_model) or many * small_d_k == width:
            small_d_k += 2 if heads * d_k > d_model else -2
            if small_d_k < 2:
                width, small_d_k = width + 8, LEAST_D_K
        found["d_k"] = small_d_k
    found["d_model"] = width
    for name in ("d_ff", "d_embedding"):
        if found.get(name):
            found[name] = max(4, 2 * round(found[name] * width / d_model / 2))
    if found.get("d_embedding") == width:
        found["d_embedding"] = width // 2
    least = max(2, found.get("global_every", 0))
    found["num_layers"] = max(min(least, found["num_layers"]), round(found["num_layers"] * root))
    length = found.get("max_length", 512)
    found["max_length"] = max(min(LEAST_LENGTH, length), 8 * round(length * scale / 8))
    if found.get("window"):
        found["window"] = max(2, round(found["window"] * scale))
    return found
