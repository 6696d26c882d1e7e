"""Writing with a decoder or an encoder-decoder: greedy, drawn, or searched with beams."""

from liju.generate.beam import Hypothesis, beam_search, length_penalty
from liju.generate.cache import KeyValueCache
from liju.generate.decode import generate, stream
from liju.generate.sampling import Sampling
from liju.generate.session import Session

__all__ = [
    "Hypothesis",
    "KeyValueCache",
    "Sampling",
    "Session",
    "beam_search",
    "generate",
    "length_penalty",
    "stream",
]
