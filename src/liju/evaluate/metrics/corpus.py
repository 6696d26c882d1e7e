"""BLEU and chrF of a corpus, by sacrebleu, each with the signature that says how it was computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from liju.errors import MissingExtra
from liju.evaluate.metrics.pairing import paired

__all__ = ["CorpusScore", "bleu", "bleu_counts", "bleu_of_counts", "chrf", "chrf_counts", "chrf_of_counts"]
__all__ += ["han_share"]

# sacrebleu's own, which its signature names.
BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2


def han_share(texts: Sequence[str]) -> float:
    """The share of Han characters among all that are not white space.

    >>> han_share(["例句 ok"])
    0.5
    """
    han = total = 0
    for text in texts:
        for character in text:
            if not character.isspace():
                total += 1
                code = ord(character)
                han += 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x323AF
    return han / total if total else 0.0


@dataclass(frozen=True)
class CorpusScore:
    """A score in 0..100, sacrebleu's signature of how it was computed, and why that tokenizer was taken."""

    score: float
    signature: str
    note: str = ""


def _bleu_metric(references: Sequence[str], tokenize: str, **options: Any) -> tuple[Any, str]:
    """sacrebleu's metric, and why it cuts words as it does."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingExtra("sacrebleu", extra="evaluate") from None
    if tokenize:
        return BLEU(tokenize=tokenize, **options), f"tokenized as {tokenize!r}, as asked"
    share = han_share(references)
    tokenize = "zh" if share >= 0.3 else "13a"
    note = f"tokenized as {tokenize!r}: {share:.0%} of the references' characters are Han"
    return BLEU(tokenize=tokenize, **options), note.replace("%", " %")


def bleu(answers: Sequence[str], references: Sequence[str], tokenize: str = "") -> CorpusScore:
    r"""BLEU of a corpus with one reference each (Papineni et al. 2002), computed by sacrebleu.

    $$ \mathrm{BLEU} = 100 \min\left(1, e^{1 - r/c}\right) \exp\Big(\tfrac14 \sum_{n=1}^{4} \ln p_n\Big) $$

    with $c$ and $r$ the lengths in words of answers and references, and $p_n$ the clipped precision of
    $n$-grams. What a word is, is the tokenizer: `zh` (each Han character is one) when at least 30 % of the
    references' characters are Han, else `13a`. The note says which and why; `tokenize` overrides it.

    Raises DataError on lengths that differ or are 0, MissingExtra without sacrebleu.

    >>> score = bleu(["the cat sat on the mat"], ["the cat sat on the red mat"])
    >>> round(score.score, 1), "tok:13a" in score.signature
    (67.3, True)
    >>> bleu(["我 喜欢 猫"], ["我喜欢猫"]).note
    "tokenized as 'zh': 100 % of the references' characters are Han"
    """
    paired(answers, references)
    metric, note = _bleu_metric(references, tokenize)
    score = metric.corpus_score(list(answers), [list(references)]).score
    return CorpusScore(float(score), str(metric.get_signature()), note)


def bleu_counts(
    answers: Sequence[str], references: Sequence[str], tokenize: str = ""
) -> Float[np.ndarray, "example 10"]:
    """What each pair adds to BLEU: right n-grams, all n-grams of the answer (n = 1..4), and both lengths.

    Raises DataError on lengths that differ or are 0, MissingExtra without sacrebleu.

    >>> bleu_counts(["the cat sat"], ["the cat ran"]).astype(int).tolist()
    [[2, 1, 0, 0, 3, 2, 1, 0, 3, 3]]
    """
    paired(answers, references)
    metric, _ = _bleu_metric(references, tokenize, effective_order=True)
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        one = metric.sentence_score(answer, [reference])
        rows.append([*one.counts, *one.totals, one.sys_len, one.ref_len])
    return np.array(rows, float)


def bleu_of_counts(counts: Float[np.ndarray, "*some 10"]) -> Float[np.ndarray, "*some"]:
    """BLEU from summed counts, smoothed as sacrebleu's default does ("exp").

    >>> round(float(bleu_of_counts(np.array([6, 4, 3, 2, 6, 5, 4, 3, 6, 7.0]))), 1)
    67.3
    """
    right, total = counts[..., :BLEU_ORDER], counts[..., BLEU_ORDER : 2 * BLEU_ORDER]
    answered, expected = counts[..., -2], counts[..., -1]
    # The k-th order without a right n-gram counts as if it had 1 / 2^k of one.
    halved = 0.5 ** np.cumsum((right == 0) & (total > 0), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(right > 0, right, halved) / total
        short = np.minimum(1, np.exp(1 - expected / answered))
        score = 100 * short * np.exp(np.log(precision).mean(-1))
    # No match at all, or no n-gram of some order: 0, as there.
    return np.where((right.sum(-1) > 0) & (total > 0).all(-1), score, 0.0)


def chrf(answers: Sequence[str], references: Sequence[str]) -> CorpusScore:
    r"""chrF2 of a corpus with one reference each (Popović 2015), computed by sacrebleu; needs no tokenizer.

    $$ \mathrm{chrF}_\beta = 100 \cdot (1 + \beta^2)\,\frac{P R}{\beta^2 P + R}, \quad \beta = 2 $$

    with $P$ and $R$ the precision and recall of character $n$-grams, averaged over $n = 1..6$.

    Raises DataError on lengths that differ or are 0, MissingExtra without sacrebleu.

    >>> chrf(["例句"], ["例句"]).score
    100.0
    """
    paired(answers, references)
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise MissingExtra("sacrebleu", extra="evaluate") from None
    metric = CHRF()
    score = metric.corpus_score(list(answers), [list(references)]).score
    return CorpusScore(float(score), str(metric.get_signature()))


def chrf_counts(answers: Sequence[str], references: Sequence[str]) -> Float[np.ndarray, "example 18"]:
    """What each pair adds to chrF: for n = 1..6 the n-grams of the answer, of the reference, and shared.

    Raises DataError on lengths that differ or are 0.

    >>> chrf_counts(["a b"], ["ab"])[0, :9].astype(int).tolist()
    [2, 2, 2, 1, 1, 1, 0, 0, 0]
    """
    paired(answers, references)
    rows = np.zeros((len(answers), 3 * CHRF_ORDER))
    for at, pair in enumerate(zip(answers, references, strict=True)):
        answer, reference = ("".join(text.split()) for text in pair)
        for n in range(1, CHRF_ORDER + 1):
            got, want = (
                Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (answer, reference)
            )
            rows[at, 3 * n - 3 : 3 * n] = got.total() if want else 0, want.total(), (got & want).total()
    return rows


def chrf_of_counts(counts: Float[np.ndarray, "*some 18"]) -> Float[np.ndarray, "*some"]:
    """chrF2 from summed counts; an order that one side is too short for is left out of the mean.

    >>> float(chrf_of_counts(chrf_counts(["ab"], ["ab"])[0]))
    100.0
    """
    got, want, shared = counts[..., 0::3], counts[..., 1::3], counts[..., 2::3]
    known = (got > 0) & (want > 0)
    orders = np.maximum(known.sum(-1), 1)
    precision, recall = (
        np.divide(shared, side, out=np.zeros(shared.shape), where=known).sum(-1) / orders
        for side in (got, want)
    )
    below = CHRF_BETA**2 * precision + recall
    above = (1 + CHRF_BETA**2) * precision * recall
    return 100 * np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
