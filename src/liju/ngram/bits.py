"""Bits per byte: the one measure that compares models of different words, networks included."""

from __future__ import annotations

import math

from liju.errors import DataError

__all__ = ["bits_per_byte"]


def bits_per_byte(nats: float, num_bytes: int) -> float:
    r"""How well a text is predicted, whatever the tokenizer: lower is better.

    $$ \mathrm{bpb} = \frac{\sum_i -\ln p(x_i)}{\ln 2 \cdot \text{bytes of the text in UTF-8}} $$

    `nats` is the summed (not the mean) loss over the text, the end of each text included: a model that does
    not say where a text ends has not said which text it is. The end has no byte of its own. All bytes count,
    those of white space too. Raises DataError when there are no bytes.

    >>> bits_per_byte(nats=8 * math.log(2), num_bytes=2)
    4.0
    """
    if num_bytes < 1:
        raise DataError("bits per byte of an empty text", hint="give held-out text")
    return nats / (math.log(2) * num_bytes)
