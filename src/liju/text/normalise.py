"""Text as it should have been written: mojibake mended, one Unicode form, no controls, tidy spaces."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from liju.errors import MissingExtra

__all__ = ["normalise", "repair"]

# UTF-8 read as Latin-1, Windows-1252 or MacRoman leaves a lead byte (Â to ô, √, ├) and a continuation byte.
# ftfy is hundreds of times slower than this look, so it only sees text that has such a pair.
_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|[\u0080-\u009f]|√[©®°†¢]|├[⌐╝╢ñ]|â€"
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Controls, byte order marks, zero-width spaces, bidirectional marks, soft hyphens, lone surrogates and
# noncharacters. The zero-width joiners stay: emoji and Indic scripts are spelled with them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff]"
)
_WIDE_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
_RUNS = re.compile(r"(?<=[^ \t\n\u3000])[ \t]{2,}(?=[^ \t\n])|(?<=[^ \t\n\u3000])\t(?=[^ \t\n])")
_LINE_ENDS = re.compile(r"[ \t\u3000]+(?=\n|\Z)")
_INDENT = re.compile(r"(?:(?<=\n)|\A)[ \t]*\u3000[ \t\u3000]*")
_UNTIDY = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\xa0\u00ad\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u2069\u3000\ufeff"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|  | \n|\n\n\n|\\A\\s|\\s\\Z"
)
_BLANK_LINES = re.compile(r"\n{3,}")


def repair(text: str) -> str:
    """Text that was decoded with the wrong encoding, decoded again with the right one; else unchanged.

    The detector and the table of encodings are ftfy's (`fix_encoding`), behind a look for suspicious pairs.
    Raises MissingExtra.

    >>> repair("cafÃ© â€” è¿™æ˜¯")
    'café — 这是'
    >>> repair("naïve café, ÂNGSTRÖM")
    'naïve café, ÂNGSTRÖM'
    """
    if not _MOJIBAKE.search(text):
        return text
    try:
        import ftfy
    except ImportError:
        raise MissingExtra("ftfy", "text") from None
    # ftfy judges a whole string at once: one bad line among good ones is only found line by line.
    return "\n".join(ftfy.fix_encoding(line) if _MOJIBAKE.search(line) else line for line in text.split("\n"))


def normalise(
    text: str, form: Literal["nfc", "nfkc", "none"] = "nfc", mend: bool = True
) -> tuple[str, list[str]]:
    """The tidy text, and the names of what was done to it.

    In this order: mojibake ("repaired", if `mend`), terminal colours and control characters ("controls"),
    the Unicode normal form ("nfc" or "nfkc"), then spaces and newlines ("spaces"): one kind of newline, at
    most one blank line, no space at a line's end, one space between words; an ASCII indentation stays.

    >>> normalise("ｅ\\u0301te\\u0301 \\x1b[1m2\\x1b[0m\\r\\n\\n\\n\\nend  of  it ", "nfkc")
    ('été 2\\n\\nend of it', ['controls', 'nfkc', 'spaces'])
    >>> normalise("already tidy")
    ('already tidy', [])
    """
    changes = []
    if mend and (mended := repair(text)) != text:
        text, changes = mended, ["repaired"]
    # Most text has nothing to tidy, and one look finds out.
    untidy = bool(_UNTIDY.search(text))
    if untidy:
        text = _NEWLINES.sub("\n", text)
        if (plain := _CONTROLS.sub("", _ANSI.sub("", text))) != text:
            text = plain
            changes.append("controls")
    if form != "none":
        name = form.upper()
        if not unicodedata.is_normalized(name, text):  # pyright: ignore[reportArgumentType]
            text = unicodedata.normalize(name, text)  # pyright: ignore[reportArgumentType]
            changes.append(form)
            untidy = True
    if untidy and (tidy := _tidy(text)) != text:
        text = tidy
        changes.append("spaces")
    return text, changes


def _tidy(text: str) -> str:
    text = _INDENT.sub("", _WIDE_SPACES.sub(" ", text))
    text = _LINE_ENDS.sub("", _RUNS.sub(" ", text))
    text = _BLANK_LINES.sub("\n\n", text).strip("\n")
    return text if "\n" in text else text.strip()
