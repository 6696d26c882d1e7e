"""Entities from tags, and their F1: what seqeval computes, lenient (as conlleval) or strict.

The schemes: BIO (IOB2), BIOES (IOBES), BMES (BIOES with M for I), BILOU (BIOES with L for E and U for S).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from liju.errors import DataError
from liju.evaluate.metrics.labels import LabelScore
from liju.evaluate.metrics.pairing import paired

__all__ = ["SCHEMES", "EntityScores", "Scheme", "entities", "entity_counts", "entity_scores", "scheme_of"]

Scheme = Literal["BIO", "BIOES", "BMES", "BILOU"]
SCHEMES: tuple[Scheme, ...] = ("BIO", "BIOES", "BMES", "BILOU")

# Each scheme's letters, and what BIOES calls them.
_LETTERS: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I", "O": "O"},
    "BIOES": {letter: letter for letter in "BIOES"},
    "BMES": {"B": "B", "M": "I", "E": "E", "S": "S", "O": "O"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "O": "O", "U": "S"},
}


def scheme_of(tags: Iterable[Iterable[str]]) -> Scheme:
    """The scheme that sentences of tags are in, from their first letters.

    Letters that fit several are of the first of them in the order BIO, BIOES, BMES, BILOU.
    Raises DataError where no scheme has them all.

    >>> scheme_of([["B-PER", "M-PER", "E-PER", "O"]])
    'BMES'
    """
    found = {tag[:1] for sentence in tags for tag in sentence}
    for scheme in SCHEMES:
        if found <= _LETTERS[scheme].keys():
            return scheme
    raise DataError(
        f"tags that begin with {', '.join(sorted(found))} are of no scheme",
        hint=f"known: {', '.join(SCHEMES)}",
    )


def _split(tags: Sequence[str], scheme: Scheme, where: str) -> list[tuple[str, str]]:
    """Letter (of BIOES) and type of each tag."""
    letters, found = _LETTERS[scheme], []
    for at, tag in enumerate(tags, 1):
        letter, dash, kind = tag.partition("-")
        if letter not in letters or (dash and not kind) or (letter == "O" and dash):
            raise DataError(
                f"{where}tag {at} is {tag!r}, which is none of {scheme}",
                hint=f"O, or one of {', '.join(x for x in letters if x != 'O')} with a type: B-PER",
            )
        found.append((letters[letter], "" if letter == "O" else kind or "_"))
    return found


def entities(
    tags: Sequence[str], scheme: Scheme | None = None, strict: bool = False, where: str = ""
) -> list[tuple[str, int, int]]:
    """The entities of one sentence: type, first tag, and the tag after the last.

    Lenient, as the CoNLL script `conlleval`: an entity also begins where a type changes or an I follows no B,
    and ends where the next one begins. Strict: only what the scheme allows is an entity (B I I; in BIOES
    B I E or S), the rest is none. `where` begins the message of an error.

    Raises DataError for a tag that the scheme does not have.

    >>> tags = ["B-PER", "I-PER", "O", "I-LOC"]
    >>> entities(tags), entities(tags, strict=True)
    ([('PER', 0, 2), ('LOC', 3, 4)], [('PER', 0, 2)])
    """
    if isinstance(tags, str):
        raise DataError(f"{tags!r:.40} is one text", hint="give the tags of a sentence as a list")
    scheme = scheme or scheme_of([tags])
    parts = _split(tags, scheme, where)
    return _strict(parts, scheme) if strict else _lenient(parts)


def _lenient(parts: list[tuple[str, str]]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    begin, last, kind = 0, "O", ""
    for at, (letter, own) in enumerate([*parts, ("O", "")]):
        changed = own != kind
        if last != "O" and (last in "ES" or letter in "BSO" or changed):
            found.append((kind, begin, at))
        if letter != "O" and (letter in "BS" or last in "ESO" or changed):
            begin = at
        last, kind = letter, own
    return found


def _strict(parts: list[tuple[str, str]], scheme: Scheme) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    ends = scheme != "BIO"  # an entity must say where it ends
    at = 0
    while at < len(parts):
        letter, kind = parts[at]
        begin, at = at, at + 1
        if letter not in "BS":
            continue
        while letter in "BI" and at < len(parts) and parts[at][0] in "IE" and parts[at][1] == kind:
            letter = parts[at][0]
            at += 1
        if not ends or letter in "ES":
            found.append((kind, begin, at))
    return found


def entity_counts(
    answers: Sequence[Sequence[str]],
    expected: Sequence[Sequence[str]],
    scheme: Scheme | None = None,
    strict: bool = False,
) -> tuple[list[str], Float[np.ndarray, "sentence type 3"]]:
    """The types that occur, sorted, and for each sentence and type the entities right, answered, expected.

    Raises DataError as `entity_scores` does.

    >>> types, counts = entity_counts([["B-PER", "O"]], [["B-PER", "B-LOC"]])
    >>> types, counts.astype(int).tolist()
    (['LOC', 'PER'], [[[0, 0, 1], [1, 1, 1]]])
    """
    paired(answers, expected)
    for at, (got, want) in enumerate(zip(answers, expected, strict=True), 1):
        if len(got) != len(want):
            raise DataError(f"sentence {at}: {len(got)} tags answered for {len(want)}", hint="one tag a word")
    scheme = scheme or scheme_of([*expected, *answers])
    pairs = [
        [set(entities(tags, scheme, strict, f"sentence {at}: ")) for tags in both]
        for at, both in enumerate(zip(answers, expected, strict=True), 1)
    ]
    types = sorted({kind for pair in pairs for side in pair for kind, _, _ in side})
    place = {kind: at for at, kind in enumerate(types)}
    counts = np.zeros((len(pairs), len(types), 3), np.float32)
    for at, (got, want) in enumerate(pairs):
        for column, found in enumerate((got & want, got, want)):
            for kind, _, _ in found:
                counts[at, place[kind], column] += 1
    return types, counts


@dataclass(frozen=True)
class EntityScores:
    """Precision, recall and F1 over all entities (micro), the mean F1 of the types (macro), and each type."""

    precision: float
    recall: float
    f1: float
    macro_f1: float
    types: tuple[LabelScore, ...]
    scheme: Scheme


def entity_scores(
    answers: Sequence[Sequence[str]],
    expected: Sequence[Sequence[str]],
    scheme: Scheme | None = None,
    strict: bool = False,
) -> EntityScores:
    r"""How many entities were found whole and with the right type, from a tag a word (seqeval).

    $$ P = \frac{\text{right}}{\text{answered}}, \quad R = \frac{\text{right}}{\text{expected}}, \quad
       F_1 = \frac{2\,\text{right}}{\text{answered} + \text{expected}} $$

    `scheme` is read off the tags when it is not given. Lenient by default, as seqeval and conlleval are;
    `strict` is seqeval's `mode="strict"` with that scheme.

    Raises DataError on numbers of sentences or of tags that differ (naming the sentence), and for a tag that
    the scheme does not have.

    >>> scores = entity_scores([["B-PER", "I-PER", "O", "O"]], [["B-PER", "I-PER", "O", "B-LOC"]])
    >>> scores.precision, scores.recall, round(scores.f1, 4), scores.macro_f1
    (1.0, 0.5, 0.6667, 0.5)
    """
    scheme = scheme or scheme_of([*expected, *answers])
    types, counts = entity_counts(answers, expected, scheme, strict)
    totals = counts.sum(0, dtype=float).tolist()
    each = [LabelScore.of(kind, *row) for kind, row in zip(types, totals, strict=True)]
    all_of_them = LabelScore.of("", *(sum(row[column] for row in totals) for column in range(3)))
    macro = sum(score.f1 for score in each) / len(each) if each else 0.0
    return EntityScores(all_of_them.precision, all_of_them.recall, all_of_them.f1, macro, tuple(each), scheme)
