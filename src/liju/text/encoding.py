"""Bytes to text: compressed files opened, the encoding found by strict trial, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from liju.errors import MissingExtra

__all__ = ["Damaged", "Encoding", "byte_chunks", "detect", "strip_compression", "text_chunks"]

CHUNK = 1 << 20
_HEAD = 1 << 16
_BOMS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_COMMON = re.compile(r"[\t\n\r\x20-\x7e\u00a0-\u00ff\u2010-\u2027\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e]")


class Damaged(Exception):
    """A compressed file that ends early or has wrong bytes."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file is to be decoded. `name` is empty where it is not text, and `problem` says why.

    `bad` is the offset of the first byte that is not valid, where a text has some.
    """

    name: str = ""
    problem: str = ""
    bad: int | None = None


def strip_compression(name: str) -> tuple[str, str]:
    """The file name without .gz or .zst, and that ending.

    >>> strip_compression("a/b.jsonl.GZ"), strip_compression("a.txt")
    (('a/b.jsonl', '.gz'), ('a.txt', ''))
    """
    for ending in (".gz", ".zst"):
        if name.lower().endswith(ending):
            return name[: -len(ending)], ending
    return name, ""


def byte_chunks(path: str | Path, size: int = CHUNK) -> Iterator[bytes]:
    """The content of a file in chunks of at most `size` bytes, decompressed if it ends in .gz or .zst.

    Raises OSError, MissingExtra, and Damaged with the offset where a compressed file breaks.
    """
    ending = strip_compression(str(path))[1]
    offset = 0
    with open(path, "rb") as raw:
        stream: object = raw
        if ending == ".gz":
            stream = gzip.GzipFile(fileobj=raw)
        elif ending == ".zst":
            try:
                import pyarrow
            except ImportError:
                raise MissingExtra("pyarrow", "text") from None
            # Unlike zstandard's reader, this one notices a stream that is cut off.
            try:
                stream = pyarrow.CompressedInputStream(raw, "zstd")
            except OSError as error:
                raise Damaged(str(error)) from None
        while True:
            try:
                chunk = stream.read(size)  # pyright: ignore[reportAttributeAccessIssue]
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise Damaged(f"damaged at byte {offset} of its content: {error}") from None
            except OSError as error:
                if ending == ".zst" and error.errno is None:
                    raise Damaged(f"damaged at byte {offset} of its content: {error}") from None
                raise
            if not chunk:
                return
            offset += len(chunk)
            yield chunk


def _first_bad(path: str | Path, name: str) -> int | None:
    """The offset of the first byte that `name` cannot decode, or None. Damage is left to the reader."""
    decoder = codecs.getincrementaldecoder(name)("strict")
    offset = 0
    pending = 0
    try:
        for chunk in byte_chunks(path):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return max(0, offset - pending + error.start)
            offset += len(chunk)
            pending = len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return max(0, offset - pending + error.start)
    except Damaged:
        pass
    return None


def _window(path: str | Path, middle: int, size: int = _HEAD) -> bytes:
    """The bytes around `middle`."""
    start, offset, found = max(0, middle - size // 2), 0, bytearray()
    try:
        for chunk in byte_chunks(path):
            if offset + len(chunk) > start:
                found += chunk[max(0, start - offset) :]
            if len(found) >= size:
                break
            offset += len(chunk)
    except Damaged:
        pass
    return bytes(found[:size])


def _is_damaged_utf8(window: bytes) -> bool:
    """Mostly valid UTF-8 with few bad bytes, as against another encoding."""
    text = window.decode("utf-8", "replace").strip("�")
    bad = text.count("�")
    good = sum(character > "\x7f" for character in text) - bad
    return good > 4 * bad


def _looks_like_gb(window: bytes) -> bool:
    """Whether most of what is not ASCII are common characters: Latin-1 read as GB18030 gives rare ones."""
    beyond = [character for character in window.decode("gb18030", "ignore") if character > "\x7f"]
    common = sum(len(character.encode("gb2312", "ignore")) > 0 for character in beyond)
    return bool(beyond) and common >= 0.5 * len(beyond)


def _is_damaged_gb(window: bytes) -> bool:
    """GB18030 with few bad bytes: nearly all of it are the common characters. Cyrillic read as it has a bad
    byte in every other word."""
    text = window.decode("gb18030", "replace").strip("\ufffd")
    beyond = [character for character in text if character > "\x7f" and character != "\ufffd"]
    common = sum(len(character.encode("gb2312", "ignore")) > 0 for character in beyond)
    return common >= 0.9 * len(beyond) and len(beyond) >= 20 * text.count("\ufffd")


def _has_stray_nuls(head: bytes) -> bool:
    """Text in UTF-8 with a NUL or two in it, as against a binary file."""
    controls = sum(byte < 32 and byte not in b"\t\n\v\f\r" for byte in head)
    if controls != head.count(0) or 200 * controls > len(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _looks_like_utf16(window: bytes) -> str:
    """utf-16-le or utf-16-be where that gives plausible text, else nothing. Only for bytes with NULs: any two
    ASCII letters are a Han character in UTF-16."""
    window = window[: len(window) // 2 * 2]
    best, best_share = "", 0.9
    for name in ("utf-16-le", "utf-16-be"):
        try:
            text = window.decode(name)
        except UnicodeDecodeError:
            continue
        share = len(_COMMON.findall(text)) / max(1, len(text))
        if share > best_share:
            best, best_share = name, share
    return best


def detect(path: str | Path, html: bool = False) -> Encoding:
    """How to decode a file: a byte order mark, else strict trials of UTF-8, GB18030 and UTF-16.

    The whole file is tried, in chunks. Where none fits, it is UTF-8, or GB18030 if all but a few bytes are,
    and `bad` is the first bad byte.
    With `html` a declared charset comes before the guess of GB18030. Raises OSError.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "old.txt"
    >>> _ = file.write_bytes("这是一个例句。".encode("gbk"))
    >>> detect(file).name
    'gb18030'
    """
    try:
        head = next(byte_chunks(path, _HEAD), b"")
    except Damaged as error:
        return Encoding(problem=str(error))
    if not head:
        return Encoding(problem="empty file")
    for mark, name in _BOMS:
        if head.startswith(mark):
            bad = _first_bad(path, name)
            if bad is not None and name != "utf-8-sig":
                return Encoding(problem=f"byte {bad} is not valid {name.upper()}")
            return Encoding(name, bad=bad)
    if b"\0" in head:
        name = _looks_like_utf16(head)
        if name and _first_bad(path, name) is None:
            return Encoding(name)
        if not _has_stray_nuls(head):
            return Encoding(problem=f"binary file (a NUL at byte {head.index(0)})")
    bad = _first_bad(path, "utf-8")
    if bad is None:
        return Encoding("utf-8")
    window = _window(path, bad)
    if _is_damaged_utf8(window):
        return Encoding("utf-8", bad=bad)
    if html and (declared := _META.search(head)):
        try:
            name = codecs.lookup(declared[1].decode("ascii")).name
            name = "gb18030" if name in ("gb2312", "gbk") else name
            if name != "utf-8" and _first_bad(path, name) is None:
                return Encoding(name)
        except LookupError:
            pass
    if _looks_like_gb(window):
        first = _first_bad(path, "gb18030")
        if first is None or _is_damaged_gb(_window(path, first)):
            return Encoding("gb18030", bad=first)
    return Encoding("utf-8", bad=bad)


def text_chunks(path: str | Path, encoding: Encoding, size: int = CHUNK) -> Iterator[str]:
    """The text of a file in chunks, with every newline as "\\n". Bad bytes come out as lone surrogates.

    Raises OSError and Damaged.
    """
    decoder = codecs.getincrementaldecoder(encoding.name)("surrogateescape")
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    for chunk in byte_chunks(path, size):
        if text := newlines.decode(chunk):
            yield text
    if text := newlines.decode(b"", final=True):
        yield text
