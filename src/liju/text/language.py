"""A guess of the language from its letters: enough to count characters and to choose sensible defaults."""

from __future__ import annotations

import re

__all__ = ["guess_language"]

_HAN_RANGES = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_HAN = re.compile(f"[{_HAN_RANGES}]")
_KANA_HANGUL = re.compile("[\u3041-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7a3]")
_LATIN = re.compile(r"[A-Za-z]")
_FOREIGN = re.compile(rf"[^\W\d_A-Za-z{_HAN_RANGES}]")
# A look at this much of a document decides.
_SAMPLE = 500


def guess_language(text: str) -> str:
    """ "zh", "en" or "other", from the share of Han and of ASCII letters among the letters.

    A Latin alphabet with accents is "other"; German or French without any accent counts as "en", so name the
    language of a source where it matters.

    >>> guess_language("今天的 GPU 很快"), guess_language("A sentence."), guess_language("これはペンです")
    ('zh', 'en', 'other')
    >>> guess_language("Ein Mädchen übt für die Prüfung"), guess_language("12 + 3")
    ('other', 'other')
    """
    sample = text[:_SAMPLE]
    han = len(_HAN.findall(sample))
    latin = len(_LATIN.findall(sample))
    foreign = len(_FOREIGN.findall(sample))
    letters = han + latin + foreign
    if not letters:
        return "other"
    # A Han character carries about what two or three Latin letters do.
    if 3 * han >= latin + foreign and 4 * len(_KANA_HANGUL.findall(sample)) < han:
        return "zh"
    return "en" if latin >= 0.98 * (latin + foreign) else "other"
