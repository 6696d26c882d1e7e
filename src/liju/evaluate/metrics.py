"""Numbers: how good answers are, and how sure that number is.

Nothing here knows a model. Labels, texts and sums of nats come in; floats in their natural unit come out:
shares lie in 0..1, BLEU and chrF in 0..100 as sacrebleu prints them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from liju.errors import DataError, MissingExtra
from liju.ngram.bits import bits_per_byte  # one definition: the n-gram models are measured with it too

__all__ = ["Confusion", "CorpusScore", "Interval", "Spread", "accuracy", "accuracy_interval", "bits_per_byte"]
__all__ += ["bleu", "chrf", "confusion", "f1", "han_share", "perplexity", "spread"]


def _paired(answers: Sequence[object], expected: Sequence[object]) -> None:
    if len(answers) != len(expected):
        raise DataError(f"{len(answers)} answers for {len(expected)} expected ones")
    if not len(expected):
        raise DataError("nothing to score: no examples", hint="give a test set that has rows")


def accuracy(answers: Sequence[str], expected: Sequence[str]) -> float:
    r"""The share of answers that are right.

    $$ \mathrm{accuracy} = \frac{1}{n} \sum_{i=1}^{n} [\hat y_i = y_i] $$

    Raises DataError when the two differ in length or are empty.

    >>> accuracy(["pos", "neg", "pos"], ["pos", "neg", "neg"])
    0.6666666666666666
    """
    _paired(answers, expected)
    return sum(answer == right for answer, right in zip(answers, expected, strict=True)) / len(expected)


def f1(
    answers: Sequence[str], expected: Sequence[str], average: Literal["macro", "micro"] = "macro"
) -> float:
    r"""The harmonic mean of precision and recall, over all labels that occur in either list.

    $$ F_1 = \frac{2\,TP}{2\,TP + FP + FN} $$

    macro: the plain mean of the labels' $F_1$, so that a rare label counts as much as a common one;
    micro: $TP$, $FP$ and $FN$ summed over the labels first: the accuracy, when each example has one label.
    A label that is never right has $F_1 = 0$. (scikit-learn, `f1_score`.)

    Raises DataError on lengths that differ or are 0, MissingExtra without scikit-learn.

    >>> f1(["a", "a", "a"], ["a", "a", "b"])
    0.4
    >>> f1(["a", "a", "a"], ["a", "a", "b"], average="micro")
    0.6666666666666666
    """
    _paired(answers, expected)
    try:
        from sklearn.metrics import f1_score
    except ImportError:
        raise MissingExtra("scikit-learn", extra="evaluate") from None
    return float(f1_score(list(expected), list(answers), average=average, zero_division=0))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Confusion:
    """How often each label was answered for each: `counts[expected][answered]`, in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def confusion(answers: Sequence[str], expected: Sequence[str], labels: Sequence[str] = ()) -> Confusion:
    """The table of expected (rows) by answered (columns); `labels` gives the order, new ones come after it.

    Raises DataError on lengths that differ or are 0.

    >>> confusion(["pos", "neg", "pos"], ["pos", "neg", "neg"])
    Confusion(labels=('neg', 'pos'), counts=((1, 1), (0, 1)))
    """
    _paired(answers, expected)
    order = list(dict.fromkeys([*labels, *sorted({*answers, *expected})]))
    counts = Counter(zip(expected, answers, strict=True))
    return Confusion(tuple(order), tuple(tuple(counts[right, got] for got in order) for right in order))


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
    _paired(answers, references)
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingExtra("sacrebleu", extra="evaluate") from None
    share = han_share(references)
    if tokenize:
        note = f"tokenized as {tokenize!r}, as asked"
    else:
        tokenize = "zh" if share >= 0.3 else "13a"
        note = f"tokenized as {tokenize!r}: {share:.0%} of the references' characters are Han".replace(
            "%", " %"
        )
    metric = BLEU(tokenize=tokenize)
    score = metric.corpus_score(list(answers), [list(references)]).score
    return CorpusScore(float(score), str(metric.get_signature()), note)


def chrf(answers: Sequence[str], references: Sequence[str]) -> CorpusScore:
    r"""chrF2 of a corpus with one reference each (Popović 2015), computed by sacrebleu; needs no tokenizer.

    $$ \mathrm{chrF}_\beta = 100 \cdot (1 + \beta^2)\,\frac{P R}{\beta^2 P + R}, \quad \beta = 2 $$

    with $P$ and $R$ the precision and recall of character $n$-grams, averaged over $n = 1..6$.

    Raises DataError on lengths that differ or are 0, MissingExtra without sacrebleu.

    >>> chrf(["例句"], ["例句"]).score
    100.0
    """
    _paired(answers, references)
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise MissingExtra("sacrebleu", extra="evaluate") from None
    metric = CHRF()
    score = metric.corpus_score(list(answers), [list(references)]).score
    return CorpusScore(float(score), str(metric.get_signature()))


def perplexity(nats: float, tokens: int) -> float:
    r"""How many tokens the model hesitates between, on average; comparable only with the same vocabulary.

    $$ \mathrm{ppl} = \exp\Big(\frac1n \sum_{i=1}^{n} -\ln p(x_i)\Big) $$

    `nats` is the summed loss over `tokens` tokens. Infinite where the mean is beyond a float's range.
    Raises DataError when there are no tokens.

    >>> round(perplexity(nats=3 * math.log(7), tokens=3), 9)
    7.0
    """
    if tokens < 1:
        raise DataError("perplexity of no tokens", hint="give held-out text")
    try:
        return math.exp(nats / tokens)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Spread:
    """The mean and the sample deviation of `n` runs. The deviation of one run is not known: NaN."""

    mean: float
    deviation: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    r"""Mean and deviation over seeds.

    $$ \bar x = \frac1n \sum x_i, \qquad s = \sqrt{\frac{1}{n-1} \sum (x_i - \bar x)^2} $$

    A NaN among the values makes both NaN: a run that failed is not averaged away.
    Raises DataError when there are no values.

    >>> spread([0.5, 0.7, 0.9])
    Spread(mean=0.7, deviation=0.2, n=3)
    >>> spread([0.5])
    Spread(mean=0.5, deviation=nan, n=1)
    """
    if not len(values):
        raise DataError("the mean of no values")
    if not all(map(math.isfinite, values)):
        mean = math.nan if any(map(math.isnan, values)) or len(set(values)) > 1 else values[0]
        return Spread(mean, math.nan, len(values))
    # Exact fractions inside `statistics` make the result independent of the order of the seeds.
    from statistics import mean as exact_mean
    from statistics import stdev

    deviation = stdev(values) if len(values) > 1 else math.nan
    return Spread(float(exact_mean(values)), float(deviation), len(values))


@dataclass(frozen=True)
class Interval:
    """From `low` to `high` with the given confidence."""

    low: float
    high: float
    confidence: float = 0.95


def accuracy_interval(
    answers: Sequence[str],
    expected: Sequence[str],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    r"""The percentile bootstrap interval of the accuracy (Efron 1979).

    Draw $n$ examples with replacement, `resamples` times; the interval lies between the
    $(1 - c)/2$ and $(1 + c)/2$ quantiles of their accuracies. The number of right ones in such a draw is
    $\mathrm{Binomial}(n, \text{accuracy})$, so it is drawn as that. It says how much the
    choice of the test set matters; how much the choice of the seed does, is the deviation over seeds. When
    all are right (or wrong) the interval has no width: then n is too small to tell, not the model perfect.

    Raises DataError on lengths that differ or are 0.

    >>> accuracy_interval(["a"] * 90 + ["b"] * 10, ["a"] * 100)
    Interval(low=0.84, high=0.96, confidence=0.95)
    """
    import numpy as np

    share = accuracy(answers, expected)
    number = len(expected)
    drawn = np.random.default_rng(seed).binomial(number, share, size=resamples) / number
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence)
