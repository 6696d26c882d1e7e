"""A sentence split for Chinese and English that loses no character.

White space belongs to the sentence that follows it, as in byte-level BPE, where a word owns the space
before it. So the tokens of the pieces are the tokens of the whole, wherever a cut lies between two words
of the pre-tokenizer. (It does not where closing marks meet opening ones, 。”“, which the pre-tokenizer
keeps together.)
"""

from __future__ import annotations

import re

__all__ = ["sentences"]

# Marks that may follow the end of a sentence and belong to it.
_CLOSERS = "\"'”’»）)】」』》〉］]"
_ENDS = "。！？｡!?.…"

# A full stop, question or exclamation mark, doubled or not, and what closes after it.
_MARK = re.compile(rf"[{re.escape(_ENDS)}]+[{re.escape(_CLOSERS)}]*")
_LINE = re.compile(r"\s*\n\s*")

_CJK = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_IS_CJK = re.compile(f"[{_CJK}]")

# Words whose full stop does not end a sentence, without it.
_SHORT = (
    "mr mrs ms dr prof st sr jr vs etc e.g i.e cf al fig figs eq no nos vol vols ed eds pp p ch sec "
    "dept univ inc ltd co corp gen col lt sgt capt rev hon gov sen rep pres approx est jan feb mar apr "
    "jun jul aug sep sept oct nov dec a.m p.m u.s u.k u.n ph.d b.a m.a"
)
_ABBREVIATIONS = frozenset(_SHORT.split())
_LAST_WORD = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*$")


def sentences(text: str) -> list[str]:
    """The sentences of a Chinese or English text, in pieces whose concatenation is the text.

    A sentence ends at 。！？ and the marks that close after them; at . ! ? before white space, unless the
    word before is an abbreviation or an initial, or the next word is lower case; and at the end of a
    paragraph. A very long sentence is left alone.

    >>> sentences("你好。“走吧！”他说。 Mr. Li left at 3.15 p.m. on foot. Why?\\n\\nNobody knows.")
    ['你好。', '“走吧！”', '他说。', ' Mr. Li left at 3.15 p.m. on foot.', ' Why?', '\\n\\nNobody knows.']
    """
    cuts = sorted({*_mark_cuts(text), *_line_cuts(text)})
    pieces, start = [], 0
    for cut in cuts:
        # A piece of white space alone is no sentence.
        if text[start:cut].strip() and text[cut:].strip():
            pieces.append(text[start:cut])
            start = cut
    return [*pieces, text[start:]] if text else []


def _mark_cuts(text: str) -> list[int]:
    cuts = []
    for mark in _MARK.finditer(text):
        end, run = mark.end(), mark[0].rstrip(_CLOSERS)
        if end == len(text):
            break
        wide = any(letter in "。！？｡" for letter in run)
        if wide or (text[end].isspace() and not _goes_on(text, mark.start(), run, end)):
            cuts.append(end)
        elif run[-1] in "!?" and _IS_CJK.match(text[end]) and _is_cjk_before(text, mark.start()):
            # Half-width marks between Chinese characters.
            cuts.append(end)
    return cuts


def _goes_on(text: str, start: int, run: str, end: int) -> bool:
    """Whether the sentence continues after an English mark and white space."""
    following = text[end : end + 64].lstrip()[:1]
    if following.islower():
        return True
    if run != ".":
        return "…" in run and not following.isupper()
    word = _LAST_WORD.search(text, max(0, start - 24), start)
    if not word:
        return False
    initial = len(word[0]) == 1 and word[0].isupper() and word[0] != "I"
    return initial or word[0].lower() in _ABBREVIATIONS


def _is_cjk_before(text: str, start: int) -> bool:
    return start > 0 and _IS_CJK.match(text[start - 1]) is not None


def _line_cuts(text: str) -> list[int]:
    """Ends of lines that end sentences: of a paragraph, a title, a Chinese line; not of a wrapped line."""
    cuts, previous = [], 0
    for gap in _LINE.finditer(text):
        start, end = gap.span()
        before, after = text[start - 1 : start], text[end : end + 1]
        paragraph = gap[0].count("\n") > 1
        wrapped = after.islower() or (start - previous >= 60 and before not in _ENDS + _CLOSERS)
        if paragraph or _IS_CJK.match(before) or _IS_CJK.match(after) or not wrapped:
            cuts.append(start)
        previous = end
    return cuts
