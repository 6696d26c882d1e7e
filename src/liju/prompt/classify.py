r"""Classification without training: the label whose words are likeliest after the prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from liju.errors import RequestError
from liju.prompt.model import LanguageModel, Score

__all__ = ["Normalise", "classify"]

Normalise = Literal["none", "tokens", "bytes"]


def classify(
    model: LanguageModel,
    prompts: Sequence[str],
    labels: Mapping[str, str] | Sequence[str],
    normalise: Normalise = "none",
) -> list[dict[str, Any]]:
    r"""For each prompt the label $\arg\max_y s(y)$ with $s(y) = \log p(v_y \mid \mathrm{prompt}) / m(v_y)$,
    where $v_y$ are the label's words and $m$ is 1, their tokens, or their bytes of UTF-8 (the "acc" and
    "acc_norm" of Gao et al., lm-evaluation-harness).

    labels: words by label; a list means that a label's words are a space and its name. An answer is what a
    classification model of liju answers: `label`, `score`, and `scores`, which are $\mathrm{softmax}(s)$ over
    the labels, so that `Classification.score` judges both alike; and `logprobs`, in nats.

    Raises RequestError for fewer than two labels, two with the same words, or a model without probabilities.

    >>> from liju.prompt import Score
    >>> class Says:
    ...     def score_batch(self, requests):
    ...         return [[Score(c, (c,), (-float(len(c)),), False) for c in given] for _, given in requests]
    >>> answer = classify(Says(), ["The room was clean."], {"good": " ja", "bad": " nein"})[0]
    >>> answer["label"], round(answer["score"], 3), answer["logprobs"]
    ('good', 0.881, {'good': -3.0, 'bad': -5.0})
    """
    if isinstance(prompts, str):
        raise RequestError("prompts is one text", hint="give a list of them")
    if normalise not in ("none", "tokens", "bytes"):
        raise RequestError(f"normalise is {normalise!r}", hint="one of none, tokens, bytes")
    words = dict(labels) if isinstance(labels, Mapping) else {label: f" {label}" for label in labels}
    if len(words) < 2 or len(set(words.values())) < len(words):
        raise RequestError(f"{len(words)} labels to choose from", hint="two or more, of different words")
    found = model.score_batch([(prompt, list(words.values())) for prompt in prompts])
    return [_answer(list(words), scores, normalise) for scores in found]


def _answer(labels: Sequence[str], scores: Sequence[Score], normalise: Normalise) -> dict[str, Any]:
    values = [score.logprob / _measure(score, normalise) for score in scores]
    best = max(values)
    weights = [math.exp(value - best) for value in values]
    shares = [weight / sum(weights) for weight in weights]
    chosen = max(range(len(labels)), key=values.__getitem__)
    return {
        "label": labels[chosen],
        "score": shares[chosen],
        "scores": dict(zip(labels, shares, strict=True)),
        "logprobs": {label: score.logprob for label, score in zip(labels, scores, strict=True)},
    }


def _measure(score: Score, normalise: Normalise) -> int:
    if normalise == "tokens":
        return max(1, len(score.tokens))
    return len(score.text.encode()) if normalise == "bytes" else 1
