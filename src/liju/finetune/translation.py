"""Translation: a sentence into another language; BLEU and chrF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liju.evaluate import Measure, bleu, bleu_measure, chrf, chrf_measure
from liju.finetune.examples import Example
from liju.finetune.task import Answer, Baseline
from liju.finetune.writing import TextToText
from liju.ngram import StatisticalTranslator, TranslationMemory

__all__ = ["TranslationTask"]


class TranslationTask(TextToText):
    """Sources to targets. The output layer is the vocabulary projection that pre-training used. A pair of
    which one side is too long is not trained on: half a sentence has no translation."""

    name = "translation"
    metric = "bleu"
    shown = ("bleu", "chrf")
    needed = ("source", "target")
    shortens = False

    def source(self, values: Mapping[str, str]) -> str:
        return values.get("source") or values.get("text", "")

    def target(self, values: Mapping[str, str]) -> str:
        return values["target"]

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        written = [answer["text"] for answer in answers]
        references = [example["target"] for example in examples]
        return {"bleu": bleu(written, references).score, "chrf": chrf(written, references).score}

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        got, want = [a["text"] for a in answers], [e["target"] for e in examples]
        return {"bleu": bleu_measure(got, want), "chrf": chrf_measure(got, want)}

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The source as it is, the nearest training pair, and phrases by counting."""
        most = 100_000  # pairs: a few minutes of one thread, and a few GB
        found = []

        def nearest() -> list[Answer]:
            memory = TranslationMemory().fit([e["source"] for e in train], [e["target"] for e in train])
            return [{"text": text} for text in memory.translate([e["source"] for e in test])]

        def phrases() -> list[Answer]:
            part = train[:most]
            model = StatisticalTranslator().fit([e["source"] for e in part], [e["target"] for e in part])
            return [{"text": text} for text in model.translate([e["source"] for e in test])]

        if {"ngram", "retrieval"} & set(wanted):
            found.append(Baseline("n-gram", "translation memory: the nearest training pair", nearest))
        if "statistical" in wanted:
            note = "phrases by IBM Model 1, Kneser-Ney, beam search"
            note += f"; the first {most:,} pairs" if len(train) > most else ""
            found.append(Baseline("statistical", note, phrases))
        if "majority" in wanted:
            copied: list[Answer] = [{"text": example["source"]} for example in test]
            found.append(Baseline("copy", "the source as it is", lambda: copied))
        return found
