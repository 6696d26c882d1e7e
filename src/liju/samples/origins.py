"""Where each document of some token shards came from: its language and its source, as small numbers.

origins.json    the names of languages and of sources, as a list each
origins.npy     for each document, its place in the one list and in the other
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from liju.errors import DataError

__all__ = ["KINDS", "MOST", "Origins"]

KINDS = ("language", "source")
MOST = 8  # names of a kind; the rarest are one, "other"
NAMES, CODES = "origins.json", "origins.npy"


class Origins:
    """The language and the source of each document, in the order of the documents.

    >>> origins = Origins([("zh", "a.txt"), ("en", "b.txt"), ("", "a.txt")])
    >>> origins.labels("language", np.array([2, 0])).tolist(), origins.names("source")
    (['unknown', 'zh'], ['a.txt', 'b.txt'])
    """

    def __init__(self, rows: Iterable[tuple[str, str]] = ()):
        self._rows = [(language or "unknown", source or "unknown") for language, source in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def note(self, texts: Iterable[tuple[str, str, str]]) -> Iterator[str]:
        """The texts of (text, language, source), each noted as it passes by."""
        for text, language, source in texts:
            self._rows.append((language or "unknown", source or "unknown"))
            yield text

    def names(self, kind: str) -> list[str]:
        """The names of a kind, the most frequent first."""
        counts = Counter(row[KINDS.index(kind)] for row in self._rows)
        names = sorted(counts, key=lambda name: (-counts[name], name))
        return names if len(names) <= MOST else [*names[: MOST - 1], "other"]

    def labels(self, kind: str, documents: np.ndarray) -> np.ndarray:
        """The names of these documents."""
        place, known = KINDS.index(kind), set(self.names(kind))
        return np.array([row[place] if row[place] in known else "other" for row in self._rows])[documents]

    def save(self, folder: Path) -> None:
        """Write both files into a folder of token shards."""
        names = {kind: sorted({row[i] for row in self._rows}) for i, kind in enumerate(KINDS)}
        index = {kind: {name: code for code, name in enumerate(found)} for kind, found in names.items()}
        codes = [[index[kind][row[i]] for i, kind in enumerate(KINDS)] for row in self._rows]
        np.save(folder / CODES, np.asarray(codes, np.uint32).reshape(-1, len(KINDS)))
        (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, documents: int) -> Origins | None:
        """Those of a folder of so many documents; None where the shards have none (they are older, or were
        made of texts alone). Raises DataError where they do not fit the shards."""
        if not (folder / NAMES).exists():
            return None
        try:
            names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
            codes = np.load(folder / CODES, allow_pickle=False)
            origins = cls(tuple(names[kind][c] for kind, c in zip(KINDS, row, strict=True)) for row in codes)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"{folder / NAMES}: cannot be read: {error}", hint=AGAIN) from None
        if len(origins) != documents:
            raise DataError(f"{folder / CODES}: {len(origins)} documents of {documents}", hint=AGAIN)
        return origins


AGAIN = "remove the folder and run again"
