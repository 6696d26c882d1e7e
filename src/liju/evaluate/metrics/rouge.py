"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), equal to the `rouge-score` package; Chinese by character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from liju.errors import MissingExtra
from liju.evaluate.metrics.corpus import han_share
from liju.evaluate.metrics.pairing import paired

__all__ = ["Overlap", "Rouge", "common_subsequence", "rouge", "rouge_scores", "rouge_tokens"]

_ENGLISH = re.compile("[a-z0-9]+")
_HAN_RANGES = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_CHINESE = re.compile(rf"[{_HAN_RANGES}]|[^\W_{_HAN_RANGES}]+")


@dataclass(frozen=True)
class Overlap:
    """Precision, recall and F1, as shares."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Rouge:
    """The means over all texts, and how words were cut and why."""

    rouge1: Overlap
    rouge2: Overlap
    rougeL: Overlap
    note: str


def rouge_tokens(text: str, tokenize: Literal["en", "zh"], stem: bool = False) -> list[str]:
    """en: runs of a-z and 0-9 in lower case, nothing else, as `rouge-score` cuts (ü is no letter to it);
    zh: each Han character, and runs of the letters and digits of any other script.

    `stem` takes English suffixes off (Porter's stemmer, words longer than three letters).

    >>> rouge_tokens("The cat's 2 hats.", "en"), rouge_tokens("GPU很快", "zh")
    (['the', 'cat', 's', '2', 'hats'], ['gpu', '很', '快'])
    """
    words = (_ENGLISH if tokenize == "en" else _CHINESE).findall(text.lower())
    if not stem:
        return words
    return [_stemmer()(word) if len(word) > 3 and _ENGLISH.fullmatch(word) else word for word in words]


def _stemmer() -> Callable[[str], str]:
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError:
        raise MissingExtra("nltk", extra="evaluate") from None
    return PorterStemmer().stem


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, by bits (Hyyrö 2004): one step a word of `second`.

    >>> common_subsequence("the cat sat down".split(), "the sat cat down".split())
    3
    """
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    whole = (1 << len(first)) - 1
    row = whole
    for word in second:
        match = row & places.get(word, 0)
        row = (row + match | row - match) & whole
    return len(first) - row.bit_count()


def _overlap(shared: int, got: int, want: int) -> Overlap:
    precision, recall = shared / max(got, 1), shared / max(want, 1)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def rouge_scores(
    answers: Sequence[str],
    references: Sequence[str],
    tokenize: Literal["", "en", "zh"] = "",
    stem: bool = False,
) -> list[tuple[Overlap, Overlap, Overlap]]:
    """ROUGE-1, -2 and -L of each pair.

    Raises DataError on lengths that differ or are 0, MissingExtra where `stem` needs nltk.

    >>> rouge_scores(["the cat"], ["the cat sat"])[0][1].recall
    0.5
    """
    paired(answers, references)
    chosen, _ = _tokenizer(references, tokenize)
    found = []
    for pair in zip(answers, references, strict=True):
        got, want = (rouge_tokens(text, chosen, stem) for text in pair)
        rows = []
        for n in (1, 2):
            grams = [Counter(zip(*(words[at:] for at in range(n)), strict=False)) for words in (got, want)]
            rows.append(_overlap((grams[0] & grams[1]).total(), grams[0].total(), grams[1].total()))
        rows.append(_overlap(common_subsequence(got, want), len(got), len(want)))
        found.append((rows[0], rows[1], rows[2]))
    return found


def rouge(
    answers: Sequence[str],
    references: Sequence[str],
    tokenize: Literal["", "en", "zh"] = "",
    stem: bool = False,
) -> Rouge:
    r"""How much of the reference's words, pairs of words and longest common subsequence an answer has.

    $$ R_n = \frac{\text{shared } n\text{-grams}}{n\text{-grams of the reference}}, \qquad
       R_L = \frac{\mathrm{LCS}(A, R)}{|R|} $$

    (recall; precision divides by the answer's, F1 is the harmonic mean), as means over the pairs. Chinese (at
    least 30 % Han characters in the references) is cut into characters; the note says how it was cut.
    Scores with and without `stem` cannot be compared.

    Raises DataError on lengths that differ or are 0, MissingExtra where `stem` needs nltk.

    >>> scores = rouge(["the cat sat on the mat"], ["the cat sat on the red mat"])
    >>> round(scores.rouge1.f1, 4), round(scores.rouge2.f1, 4), scores.note
    (0.9231, 0.7273, "words as 'en', not stemmed")
    >>> rouge(["房间非常干净"], ["房间很干净"]).rougeL.recall
    0.8
    """
    found = rouge_scores(answers, references, tokenize, stem)
    means = [
        Overlap(
            *(
                sum(getattr(row[at], part) for row in found) / len(found)
                for part in ("precision", "recall", "f1")
            )
        )
        for at in range(3)
    ]
    return Rouge(
        *means, note=_tokenizer(references, tokenize)[1] + (", stemmed" if stem else ", not stemmed")
    )


def _tokenizer(references: Sequence[str], tokenize: str) -> tuple[Literal["en", "zh"], str]:
    chosen = tokenize or ("zh" if han_share(references) >= 0.3 else "en")
    return ("zh", "characters as 'zh'") if chosen == "zh" else ("en", "words as 'en'")
