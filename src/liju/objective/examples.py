"""A few sentences in two languages, for the examples of this folder and for tests: everything in memory."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from liju.config import Vocab
from liju.samples.shards import TokenShards, write_shards
from liju.vocab import Tokenizer, train

__all__ = ["TEXTS", "shards", "tokenizer"]

TEXTS = [
    "An example sentence shows how a word is used. Give two of them. Then ask for a third.",
    "例句说明一个词怎么用。先给两个例子。再请它写第三个。",
    "The cat sat on the mat. The dog sat on the log.",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "One sentence only",
]


@cache
def tokenizer(family: str) -> Tokenizer:
    """A small vocabulary of the family's kind, with its special tokens."""
    return train(TEXTS * 3, Vocab(size=400), family)


@cache
def shards(family: str) -> TokenShards:
    """The sentences as token shards in a temporary folder that lasts as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="liju-")
    made = write_shards(TEXTS, tokenizer(family), Path(folder.name) / "tokens")
    made.keep = folder  # type: ignore[attr-defined] - the folder goes when the shards go
    return made
