"""How well text is predicted: perplexity, and bits per byte (defined in `liju.ngram.bits`)."""

from __future__ import annotations

import math

from liju.errors import DataError
from liju.ngram.bits import bits_per_byte  # one definition: the n-gram models are measured with it too

__all__ = ["bits_per_byte", "perplexity"]


def perplexity(nats: float, tokens: int) -> float:
    r"""How many tokens the model hesitates between, on average; comparable only with the same vocabulary.

    $$ \mathrm{ppl} = \exp\Big(\frac1n \sum_{i=1}^{n} -\ln p(x_i)\Big) $$

    `nats` is the summed loss over `tokens` tokens. Infinite where the mean is beyond a float's range.
    Raises DataError when there are no tokens.

    >>> round(perplexity(nats=3 * math.log(7), tokens=3), 9)
    7.0
    """
    if tokens < 1:
        raise DataError("perplexity of no tokens", hint="give held-out text")
    try:
        return math.exp(nats / tokens)
    except OverflowError:
        return math.inf
