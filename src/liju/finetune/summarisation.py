"""Summaries: a long text is read, a short one is written; ROUGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from liju.evaluate import Measure, mean_measure
from liju.evaluate.metrics import rouge_scores
from liju.finetune.examples import Example
from liju.finetune.task import Answer, Baseline
from liju.finetune.writing import TextToText
from liju.ngram import TranslationMemory
from liju.vocab import sentences

__all__ = ["SummarisationTask", "lead"]


def lead(text: str, count: int = 3) -> str:
    """The first sentences of a text: of news, a summary that is hard to beat (Nallapati et al. 2016).

    >>> lead("One. Two. Three. Four.")
    'One. Two. Three.'
    """
    return "".join(sentences(text)[:count]).strip()


class SummarisationTask(TextToText):
    """Texts to summaries. Of a text that is too long the beginning is read.

    >>> SummarisationTask(16).measures([{"text": "a red cat"}], [Example({"summary": "a cat"}, "x:1")])[
    ...     "rouge1"].value
    0.8
    """

    name = "summarisation"
    metric = "rougeL"
    shown = ("rouge1", "rouge2", "rougeL")
    needed = ("text", "summary")

    def source(self, values: Mapping[str, str]) -> str:
        return values.get("text", "")

    def target(self, values: Mapping[str, str]) -> str:
        return values["summary"]

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """F1 of ROUGE; Chinese by character."""
        scores = rouge_scores([a["text"] for a in answers], [e["summary"] for e in examples])
        table = np.array([[part.f1 for part in row] for row in scores])
        return {
            name: mean_measure(table[:, at].tolist())
            for name, at in (("rougeL", 2), ("rouge1", 0), ("rouge2", 1))
        }

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The first sentences, and the summary of the nearest training text."""
        found = []

        def nearest() -> list[Answer]:
            memory = TranslationMemory().fit([e["text"] for e in train], [e["summary"] for e in train])
            return [{"text": text} for text in memory.translate([e["text"] for e in test])]

        if "majority" in wanted:
            found.append(
                Baseline(
                    "lead-3", "the first three sentences", lambda: [{"text": lead(e["text"])} for e in test]
                )
            )
        if {"ngram", "retrieval"} & set(wanted):
            found.append(Baseline("nearest", "the summary of the nearest training text", nearest))
        return found
