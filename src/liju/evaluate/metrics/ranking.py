"""Metrics of search and embeddings: is what was looked for among the first?"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from liju.errors import DataError
from liju.evaluate.metrics.pairing import paired

__all__ = ["gold_ranks", "mean_reciprocal_rank", "recall_at", "reciprocal_ranks"]


def gold_ranks(scores: Float[np.ndarray, "query document"], gold: Sequence[int]) -> Int[np.ndarray, " query"]:
    """The rank of each query's right document, from 1; what scores the same stands before it.

    So a model that gives all documents the same score finds nothing. `gold` is the right document's place.
    Raises DataError on lengths that differ or are 0, and for a place that is none.

    >>> gold_ranks(np.array([[0.9, 0.1, 0.5], [0.3, 0.3, 0.3]]), [2, 0]).tolist()
    [2, 3]
    """
    paired(scores, gold)
    table, place = np.asarray(scores, float), np.asarray(gold, int)
    if table.ndim != 2 or place.min() < 0 or place.max() >= table.shape[1]:
        raise DataError(
            f"scores of shape {table.shape} for right documents {place.min()} to {place.max()}",
            hint="a row a query, a column a document",
        )
    own = table[np.arange(len(place)), place][:, None]
    # A score that is not a number is no better than any.
    return np.where(np.isnan(own[:, 0]), table.shape[1], (table >= own).sum(1))


def recall_at(k: int, found: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]]) -> float:
    r"""The share of the relevant documents that stand among the first $k$ found, as a mean over queries.

    $$ \mathrm{recall@}k = \frac1n \sum_q \frac{|\mathrm{found}_q[:k] \cap \mathrm{relevant}_q|}
       {|\mathrm{relevant}_q|} $$

    Raises DataError on lengths that differ or are 0, for $k < 1$, and for a query without a relevant one.

    >>> recall_at(2, [["a", "b", "c"], ["c", "a", "b"]], [["a"], ["b", "c"]])
    0.75
    """
    _check(k, found, relevant)
    shares = [
        len(set(ranked[:k]) & set(right)) / len(set(right))
        for ranked, right in zip(found, relevant, strict=True)
    ]
    return sum(shares) / len(shares)


def reciprocal_ranks(
    found: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]]
) -> list[float]:
    """One over the rank of the first relevant document of each query; 0 where none was found.

    Raises DataError on lengths that differ or are 0, and for a query without a relevant one.

    >>> reciprocal_ranks([["a", "b"], ["a"]], [["b"], ["c"]])
    [0.5, 0.0]
    """
    _check(1, found, relevant)
    return [
        next((1 / rank for rank, one in enumerate(ranked, 1) if one in right), 0.0)
        for ranked, right in zip(found, map(set, relevant), strict=True)
    ]


def mean_reciprocal_rank(
    found: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]]
) -> float:
    r"""The mean of one over the rank of the first relevant document (MRR).

    $$ \mathrm{MRR} = \frac1n \sum_q \frac{1}{\mathrm{rank}_q} $$

    Raises DataError on lengths that differ or are 0, and for a query without a relevant one.

    >>> mean_reciprocal_rank([["a", "b"], ["b", "a"]], [["a"], ["a"]])
    0.75
    """
    ranks = reciprocal_ranks(found, relevant)
    return sum(ranks) / len(ranks)


def _check(k: int, found: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]]) -> None:
    paired(found, relevant)
    if k < 1:
        raise DataError(f"recall at {k}", hint="1 or more")
    for at, right in enumerate(relevant, 1):
        if not len(right):
            raise DataError(f"query {at} has no relevant document", hint="leave it out")
