"""Which held-out samples are of which language and which source, so that each has a loss of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liju.samples import Origins, TokenShards
from liju.text import Document, resolve

if TYPE_CHECKING:
    from liju.project.directory import Run

__all__ = ["KEYS", "groups_of", "origins_of"]

# How a loss of a part is called in metrics.jsonl: loss/zh, loss/source/reviews.tsv.
KEYS = {"language": "loss/", "source": "loss/source/"}


def origins_of(run: Run, documents: Iterable[Document]) -> tuple[Origins, Iterator[str]]:
    """The texts of documents, and where they came from: their languages, and the sources of the project
    file. What is known of a document is written down as its text is taken."""
    named = {}
    for source in run.project.text.sources:
        named |= {file.name: source.path for file in resolve(source, run.base)}
    origins = Origins()
    rows = ((one.text, one.language, source_of(one.source, named)) for one in documents)
    return origins, origins.note(rows)


def source_of(place: str, named: dict[str, str]) -> str:
    """The source that a document's place belongs to.

    >>> source_of("news/a.txt:7+en", {"news/a.txt": "news"}), source_of("b.txt", {"b.txt": "*.txt"})
    ('news', '*.txt')
    """
    return named.get(place) or named.get(file := re.sub(r"(:[^:/]*)?(\+[^+/]*)?$", "", place)) or file


def groups_of(objective: Any, folder: Path) -> dict[str, np.ndarray]:
    """For each key of KEYS the names of the samples of a first pass over held-out shards. Of shards that do
    not know where their documents came from, all have one name."""
    numbers = np.arange(objective.size)
    origins = Origins.load(folder, len(TokenShards(folder)))
    if origins is None:
        return dict.fromkeys(KEYS.values(), np.full(objective.size, "unknown"))
    documents = objective.documents(numbers)
    return {key: origins.labels(kind, documents) for kind, key in KEYS.items()}
