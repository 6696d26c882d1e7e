"""What a step's output depends on, as one short key: change anything that matters and the key changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import liju

__all__ = ["code_version", "files_fingerprint", "key"]


def key(*parts: object) -> str:
    """Eight hexadecimal digits.

    >>> key("text", {"size": 1}) == key("text", {"size": 1}), key("text") == key("vocab")
    (True, False)
    """
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:8]


@cache
def code_version(*places: str) -> str:
    """A fingerprint of the source of some of liju's folders and files: an upgrade that changes how a step
    works makes the step run again, and one that does not, does not."""
    root = Path(liju.__file__).parent
    digest = hashlib.sha256()
    for place in places:
        for path in [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def files_fingerprint(paths: Iterable[Path]) -> str:
    """A fingerprint of the contents of files, and of their names."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
