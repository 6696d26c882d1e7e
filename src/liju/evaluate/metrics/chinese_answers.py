"""Extracted answers in Chinese, as CMRC 2018 scores them: by character, with the longest common run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from liju.errors import MissingExtra
from liju.evaluate.metrics.answers import AnswerScores
from liju.evaluate.metrics.pairing import paired

__all__ = ["chinese_exact_match", "chinese_f1", "cmrc", "cmrc_scores", "mixed_tokens"]

# The punctuation that the official script leaves out; "……" there is two characters, which never equals one.
_LEFT_OUT = set("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_HAN = re.compile("[\u4e00-\u9fa5]")


def mixed_tokens(text: str) -> list[str]:
    """Each Han character by itself, what stands between them in words (as NLTK cuts English).

    The official script cuts such a stretch into sentences first, for which NLTK needs a model file; here it
    is one sentence. Raises MissingExtra without nltk where there is such a stretch.

    >>> mixed_tokens("《Harry Potter》的作者")
    ['harry', 'potter', '的', '作', '者']
    """
    found: list[str] = []
    other = ""
    for character in text.lower().strip():
        if character in _LEFT_OUT:
            continue
        if _HAN.match(character):
            found += [*_words(other), character]
            other = ""
        else:
            other += character
    return found + _words(other)


def _words(text: str) -> list[str]:
    if not text.strip():
        return []
    if text.isascii() and text.isdigit():  # years and numbers: most of what there is
        return [text]
    try:
        from nltk.tokenize import NLTKWordTokenizer
    except ImportError:
        raise MissingExtra("nltk", extra="evaluate") from None
    return NLTKWordTokenizer().tokenize(text)


def chinese_exact_match(answer: str, reference: str) -> float:
    """1 where both are the same in lower case and without punctuation, else 0.

    >>> chinese_exact_match("《红楼梦》", "红楼梦")
    1.0
    """
    return float(_plain(answer) == _plain(reference))


def _plain(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _LEFT_OUT)


def chinese_f1(answer: str, reference: str) -> float:
    r"""F1 of the longest run of tokens that both have in common (not of the bag of them, as in SQuAD).

    $$ F_1 = \frac{2\,\ell}{|A| + |R|} $$

    with $\ell$ the length of the longest common substring (Cui et al. 2019, the official script).

    >>> chinese_f1("曹雪芹写的", "作者曹雪芹")
    0.6
    """
    got, want = mixed_tokens(answer), mixed_tokens(reference)
    longest = 0
    row = [0] * (len(want) + 1)
    for one in got:
        row = [0, *(row[at] + 1 if one == other else 0 for at, other in enumerate(want))]
        longest = max(longest, *row)
    return 2 * longest / (len(got) + len(want)) if longest else 0.0


def cmrc_scores(
    answers: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question: the best over its references; "" is right where there are none.

    Raises DataError on lengths that differ or are 0, MissingExtra without nltk where English needs it.

    >>> cmrc_scores(["曹雪芹。"], [["曹雪芹", "曹霑"]])
    ([1.0], [1.0])
    """
    paired(answers, references)
    both: tuple[list[float], list[float]] = [], []
    for answer, known in zip(answers, references, strict=True):
        silent = float(not answer.strip())  # without a reference nothing is the right answer
        for column, compare in zip(both, (chinese_exact_match, chinese_f1), strict=True):
            column.append(max((compare(answer, text) for text in known), default=silent))
    return both


def cmrc(answers: Sequence[str], references: Sequence[Sequence[str]]) -> AnswerScores:
    """CMRC 2018's metrics: exact match and F1 by character, the best over each question's references.

    The same as the official script, times 100, which has no questions without an answer; here "" is the right
    one where there are no references.

    Raises DataError on lengths that differ or are 0, MissingExtra without nltk where English needs it.

    >>> scores = cmrc(["曹雪芹写的", "1791年"], [["曹雪芹"], ["1791年"]])
    >>> scores.exact, scores.f1
    (0.5, 0.875)
    """
    return AnswerScores.of(*cmrc_scores(answers, references), references)
