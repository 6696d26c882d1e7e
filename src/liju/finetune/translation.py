"""Translation, and any other text to text: an encoder-decoder, beam search, BLEU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import Measure, bleu, bleu_measure, chrf, chrf_measure
from liju.finetune.examples import Example
from liju.finetune.task import DECODING, Answer, Baseline
from liju.generate import generate
from liju.model import Transformer
from liju.ngram import StatisticalTranslator, TranslationMemory
from liju.objective import Translation
from liju.vocab import Tokenizer

__all__ = ["TranslationTask"]


class TranslationTask:
    """Sources to targets. The output layer is the vocabulary projection that pre-training used."""

    name = "translation"
    metric = "bleu"
    higher_is_better = True
    shown: tuple[str, ...] = ("bleu", "chrf")
    options: ClassVar[dict[str, Any]] = DECODING
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ("source", "target")
    optional: tuple[str, ...] = ()

    def __init__(self, max_length: int, start: int | None = None):
        self.max_length = max_length
        self.start = start  # what an answer begins with; None: the padding, as liju trains it
        self.too_long: list[str] = []  # places of training pairs that do not fit

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> TranslationTask:
        return cls(max_length)

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> TranslationTask:
        return cls(values["max_length"], values.get("start"))

    def describe(self) -> dict[str, Any]:
        own = {} if self.start is None else {"start": self.start}
        return {"name": self.name, "max_length": self.max_length, **own}

    def prepare(self, model: Transformer) -> None:
        """Nothing to add: the words head translates."""

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Translation:
        """Pairs longer than the model's max_length cannot be trained on; they are listed in `too_long`."""
        sources = tokenizer.encode_batch([example["source"] for example in examples])
        targets = tokenizer.target.encode_batch([example["target"] for example in examples])
        kept = [
            i
            for i, pair in enumerate(zip(sources, targets, strict=True))
            if max(map(len, pair)) < self.max_length
        ]
        self.too_long = [examples[i].place for i in sorted(set(range(len(examples))) - set(kept))]
        if not kept:
            raise DataError(
                f"finetune.train: every pair is longer than model.max_length {self.max_length}",
                hint="raise model.max_length",
            )
        return Translation(
            [sources[i] for i in kept],
            [targets[i] for i in kept],
            tokenizer,
            self.max_length,
            seed,
            settings.label_smoothing,
        )

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        texts = [values.get("source") or values.get("text", "") for values in inputs]
        if not all(text.strip() for text in texts):
            raise RequestError("the text is empty", hint='send {"text": "..."}')
        assert tokenizer.eos is not None
        sources = [[*ids[: self.max_length - 1], tokenizer.eos] for ids in tokenizer.encode_batch(texts)]
        results: list[Answer] = [{} for _ in sources]
        # Sources of like length together: little padding, and the longest answers end at about one time.
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), 32):
            group = order[start : start + 32]
            outputs = generate(
                model,
                None,
                sources=[sources[i] for i in group],
                eos=tokenizer.eos,
                start=tokenizer.pad or 0 if self.start is None else self.start,
                max_new_tokens=min(settings.max_new_tokens, self.max_length - 1),
                beam=settings.beam,
                length_penalty=settings.length_penalty,
            )
            for i, ids in zip(group, outputs, strict=True):
                results[i] = {"text": tokenizer.decode(ids)}
                if len(sources[i]) == self.max_length:
                    results[i]["shortened"] = True
        return results

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        written = [answer["text"] for answer in answers]
        references = [example["target"] for example in examples]
        return {"bleu": bleu(written, references).score, "chrf": chrf(written, references).score}

    def right(self, answer: Answer, example: Example) -> bool | None:
        return True if answer["text"].strip() == example["target"].strip() else None

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
