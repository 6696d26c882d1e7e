"""Which examples to show before a query: the nearest by n-grams or by vectors, or drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from liju.errors import RequestError
from liju.finetune import Loaded
from liju.ngram import TranslationMemory
from liju.samples import key_of
from liju.text.dedupe import fingerprint

__all__ = ["Embed", "NgramSelector", "RandomSelector", "Selector", "VectorSelector"]

# Texts to their vectors, [text, dimension], each of length 1.
Embed = Callable[[Sequence[str]], np.ndarray]
# Queries that are compared with the pool at once.
_BLOCK = 256
# The company in a batch moves a vector by less than 1e-5 (law 5): what is nearer than that is as near.
_DECIMALS = 5


class Selector(ABC):
    """Chooses from a pool of texts, for each query by itself.

    A query is never among its own examples, whatever its case and spaces (law 8). Texts that are as near as
    each other stand in the order of the pool.
    """

    def __init__(self, texts: Sequence[str]):
        if isinstance(texts, str):
            raise RequestError("texts is one text", hint="give a list of them")
        self.texts = list(texts)
        self._own = np.array([fingerprint(text) for text in self.texts])

    def __call__(self, queries: Sequence[str], k: int) -> list[list[int]]:
        """For each query the rows of `k` texts, the nearest first; fewer where the pool has no more.

        Raises RequestError for a `k` below 0.
        """
        if k < 0:
            raise RequestError(f"{k} examples", hint="0 or more")
        if isinstance(queries, str):
            raise RequestError("queries is one text", hint="give a list of them")
        chosen: list[list[int]] = []
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            for query, near in zip(block, self._near(block), strict=True):
                order = np.argsort(-near, kind="stable")
                chosen.append(order[self._own[order] != fingerprint(query)][:k].tolist())
        return chosen

    @abstractmethod
    def _near(self, queries: Sequence[str]) -> Float64[np.ndarray, "query text"]:
        """How near each text of the pool is to each query; more is nearer."""


class NgramSelector(Selector):
    """The nearest by the cosine of character n-grams' TF-IDF, as of `liju.ngram.TranslationMemory`.

    >>> choose = NgramSelector(["The soup was cold.", "The room was cold.", "汤很冷。"])
    >>> choose(["The soup is warm.", "汤不错。"], k=1)
    [[0], [2]]
    """

    def __init__(self, texts: Sequence[str]):
        super().__init__(texts)
        self._memory = TranslationMemory().fit(self.texts, self.texts) if self.texts else None

    def _near(self, queries: Sequence[str]) -> Float64[np.ndarray, "query text"]:
        near = np.zeros((len(queries), len(self.texts)))
        for row, query in zip(near, queries, strict=True):
            for at, cosine in self._memory.nearest(query, len(self.texts)) if self._memory else ():
                row[at] = cosine
        return near


class VectorSelector(Selector):
    r"""The nearest by the cosine of vectors, $a \cdot b$ of length 1 (Liu et al. 2022, KATE).

    embed: texts to an array of vectors of length 1, or a model that `liju.load` gave and that was fine-tuned
    with task = "embedding". Cosines are compared at five decimals.

    Raises RequestError for vectors of another shape or length, or a model that has none.

    >>> def embed(texts):
    ...     return np.array([[1.0, 0.0] if "soup" in text or "汤" in text else [0.0, 1.0] for text in texts])
    >>> choose = VectorSelector(["The room was cold.", "The soup was cold."], embed)
    >>> choose(["汤不错。"], k=2)
    [[1, 0]]
    """

    def __init__(self, texts: Sequence[str], embed: Embed | Loaded):
        super().__init__(texts)
        self._embed: Embed = embed.embed if isinstance(embed, Loaded) else embed
        self._pool = self._vectors(self.texts)

    def _near(self, queries: Sequence[str]) -> Float64[np.ndarray, "query text"]:
        if not self.texts:
            return np.zeros((len(queries), 0))
        asked = self._vectors(queries, self._pool.shape[1])
        # Row by row: how a matrix product rounds depends on how many queries come together.
        return np.stack([np.round((self._pool * vector).sum(1), _DECIMALS) for vector in asked])

    def _vectors(self, texts: Sequence[str], size: int | None = None) -> Float64[np.ndarray, "text d_model"]:
        # Each different text once: equal texts have the same vector to the last bit.
        different = list(dict.fromkeys(texts))
        if not different:
            return np.zeros((0, size or 0))
        found = np.asarray(self._embed(different), np.float64)
        if found.ndim != 2 or len(found) != len(different) or size not in (None, found.shape[1]):
            told = f"vectors of shape {list(found.shape)} for {len(different)} texts"
            raise RequestError(told, hint=f"one row a text{f', {size} numbers each' if size else ''}")
        length = np.sqrt((found * found).sum(1))
        if not (np.abs(length - 1) < 1e-3).all():  # also of what is not a number
            worst = int(np.argmax(np.where(np.isfinite(length), np.abs(length - 1), np.inf)))
            told = f"the vector of {different[worst]!r:.40} has the length {length[worst]:g}, not 1"
            raise RequestError(told, hint="divide each vector by its length")
        place = {text: at for at, text in enumerate(different)}
        return found[[place[text] for text in texts]]


class RandomSelector(Selector):
    """Texts drawn by the seed and the query alone: what choosing by nearness is compared with.

    >>> choose = RandomSelector(["a", "b", "c"], seed=1)
    >>> choose(["x"], 2) == choose(["y", "x"], 2)[1:]
    True
    """

    def __init__(self, texts: Sequence[str], seed: int = 0):
        super().__init__(texts)
        self.seed = seed

    def _near(self, queries: Sequence[str]) -> Float64[np.ndarray, "query text"]:
        keys = [[key_of("shot", self.seed, query, own) for own in self._own] for query in queries]
        return np.array(keys, np.float64).reshape(len(queries), len(self.texts))
