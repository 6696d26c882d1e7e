"""Tokens on disk: one flat array of ids, with where each sentence and each document ends.

tokens.bin      every id of every document, uint16 (or uint32 for a large vocabulary)
sentences.npy   where each sentence ends in tokens.bin
documents.npy   where each document ends in sentences.npy
index.json      counts, type, vocabulary, fingerprint, sums; written last, so a torn folder is never read
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from liju.errors import DataError
from liju.vocab import Tokenizer, sentences

__all__ = ["TokenShards", "write_shards"]

BATCH = 512  # documents encoded at once
SUMMED = 2**30  # bytes of a file that is read whole at each opening: 0.1 s for 100 MB; more would be felt
FILES = ("tokens.bin", "sentences.npy", "documents.npy")


class TokenShards:
    """A folder of token shards, mapped into memory, never copied.

    Raises DataError when the folder is not whole, or not as it was written. (Of more than a gigabyte the
    tokens themselves are not looked at: where sentences and documents end is, always.)
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        try:
            text = (self.folder / "index.json").read_bytes()
        except OSError:
            raise DataError(f"{self.folder}: no token shards here", hint="liju run makes them") from None
        path = self.folder / "index.json"
        try:
            self.index = json.loads(text)
            self.fingerprint: str = self.index["fingerprint"]
            self.bytes: int = self.index["bytes"]
            counts = [self.index[name] for name in ("tokens", "sentences", "documents")]
            dtype, sums = np.dtype(self.index["dtype"]), self.index.get("sums", {})
            path = self.folder / "tokens.bin"
            if path.stat().st_size != counts[0] * dtype.itemsize:
                raise ValueError("not as long as index.json says")
            self.tokens = np.memmap(path, dtype, "r") if counts[0] else np.zeros(0, dtype)
            path = self.folder / "sentences.npy"
            self.sentence_ends = _ends(path, counts[1], counts[0])
            path = self.folder / "documents.npy"
            self.document_ends = _ends(path, counts[2], counts[1])  # counted in sentences
            for name, found in sums.items():
                path = self.folder / name
                if path.stat().st_size <= SUMMED and _sum(path) != found:
                    raise ValueError("not as it was written")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            made = self.folder.parent if (self.folder.parent / "done.json").exists() else self.folder
            why = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{path}: damaged: {why}", hint=f"remove {made} and run again") from None
        ends = np.concatenate([[0], self.sentence_ends])
        self.document_bounds = ends[np.concatenate([[0], self.document_ends])]  # counted in tokens

    def __len__(self) -> int:
        return len(self.document_ends)

    def document(self, number: int) -> np.ndarray:
        """The ids of one document."""
        return self.tokens[self.document_bounds[number] : self.document_bounds[number + 1]]

    def documents(self) -> Iterator[np.ndarray]:
        for number in range(len(self)):
            yield self.document(number)


def _ends(path: Path, count: int, last: int) -> np.ndarray:
    """So many places, none before the one before it, up to the last. Raises ValueError for others."""
    ends = np.load(path)
    if ends.shape != (count,) or ends.dtype.kind not in "iu":
        raise ValueError(f"not the {count} places that index.json says")
    if count and (ends[0] < 0 or ends[-1] != last or (ends[1:] < ends[:-1]).any()):
        raise ValueError("its places do not rise to the last one")
    return ends


def _sum(path: Path) -> int:
    """CRC-32: what damages a file does not aim at it."""
    found = 0
    with open(path, "rb") as file:
        while block := file.read(2**20):
            found = zlib.crc32(block, found)
    return found


def write_shards(texts: Iterable[str], tokenizer: Tokenizer, folder: str | Path) -> TokenShards:
    """Encode documents, sentence by sentence, into a new folder. No token is dropped.

    Bounded memory: a few hundred documents at a time. Raises DataError when no text comes, and when the
    disk refuses; then nothing half-written is left.
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    dtype = np.dtype(np.uint16 if tokenizer.size <= 65536 else np.uint32)
    digest = hashlib.sha256(tokenizer.fingerprint.encode())
    sentence_ends: list[int] = []
    document_ends: list[int] = []
    tokens = size = 0
    stream = iter(texts)
    try:
        temporary.mkdir(parents=True)
        with open(temporary / "tokens.bin", "wb") as file:
            while batch := list(islice(stream, BATCH)):
                pieces = [sentences(text) for text in batch]
                ids = iter(tokenizer.encode_batch([piece for text in pieces for piece in text]))
                for text, parts in zip(batch, pieces, strict=True):
                    size += len(text.encode())
                    for _ in parts:
                        encoded = np.asarray(next(ids), dtype)
                        if len(encoded):
                            tokens += len(encoded)
                            file.write(encoded.tobytes())
                            digest.update(encoded.tobytes())
                            sentence_ends.append(tokens)
                    document_ends.append(len(sentence_ends))
                    digest.update(b"\n")
        if not tokens:
            raise DataError(
                "no text is left to train on", hint="see what was dropped and why in the text report"
            )
        np.save(temporary / "sentences.npy", np.asarray(sentence_ends, np.int64))
        np.save(temporary / "documents.npy", np.asarray(document_ends, np.int64))
        index = {
            "documents": len(document_ends),
            "sentences": len(sentence_ends),
            "tokens": tokens,
            "bytes": size,
            "dtype": dtype.name,
            "vocabulary": tokenizer.fingerprint,
            "fingerprint": digest.hexdigest()[:16],
            "sums": {name: _sum(temporary / name) for name in FILES},
        }
        (temporary / "index.json").write_text(json.dumps(index, indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}", hint="is the disk full or read-only?") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TokenShards(folder)
