"""Extractive question answering: which characters of a context answer a question, or that none do."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import (
    AnswerScores,
    Measure,
    Sums,
    best_threshold,
    cmrc_scores,
    han_share,
    mean_measure,
    squad_scores,
)
from liju.finetune.examples import Example
from liju.finetune.predicted import predicted
from liju.finetune.task import Answer, Baseline
from liju.finetune.windows import Questions, Span, best_spans
from liju.model import Transformer
from liju.ngram import SlidingWindow, sentences_of
from liju.samples import key_of
from liju.text import answers_of, placed
from liju.vocab import Tokenizer

__all__ = ["Answering"]


@dataclass(frozen=True)
class Found:
    """The best spans of a context, the score of no answer, and the log of the sum of $e^s$ over all spans."""

    spans: list[Span]
    none: float
    total: float
    shortened: bool = False

    @property
    def margin(self) -> float:
        """How much more "no answer" scores than the best span."""
        return self.none - self.spans[0].score if self.spans else math.inf

    def text(self, context: str) -> str:
        return context[self.spans[0].begin : self.spans[0].end] if self.spans else ""


# Where training says no other: tokens of an answer at most (BERT's script), and the share of the questions on
# which the threshold of "no answer" is found. Fewer of either kind than LEAST tell nothing.
LONGEST, SHARE, LEAST = 30, 0.05, 10


class Answering:
    """Questions answered by characters of their context. The span is the best of all windows; with
    `unanswerable` questions in training, the answer is "" where the score of "no answer", that of [CLS] in
    the window where it is least, is above the best span's by more than `threshold`.

    Scored as SQuAD is, and a question on a Chinese context as CMRC 2018 is: exact match and F1, the best over
    the references.
    """

    name = "answering"
    metric = "answer_f1"
    higher_is_better = True
    options: ClassVar[dict[str, Any]] = {"max_answer_tokens": 0, "best": 1}
    asked: tuple[str, ...] = ("question", "context")
    needed: tuple[str, ...] = ("question", "context")
    optional: tuple[str, ...] = ("answers", "answer", "start", "id")

    def __init__(
        self,
        max_length: int,
        unanswerable: bool = False,
        threshold: float = 0.0,
        longest: int | None = None,
        overlap: int | None = None,
    ):
        self.max_length, self.unanswerable, self.threshold = max_length, unanswerable, threshold
        self.longest, self.overlap = longest, overlap
        self._given = longest is not None
        self.too_long: list[str] = []  # places of training questions that leave no room for a context
        split = ("answered_f1", "unanswerable") if unanswerable else ()
        self.shown: tuple[str, ...] = ("exact", "answer_f1", *split)

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> Answering:
        has = [bool(_references(example.values)) for example in examples]
        if not any(has):
            raise DataError("finetune.train: no question has an answer", hint="look at the field 'answers'")
        return cls(max_length, unanswerable=not all(has))

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> Answering:
        names = ("unanswerable", "threshold", "longest", "overlap")
        return cls(values["max_length"], **{name: values[name] for name in names if name in values})

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "max_length": self.max_length,
            "unanswerable": self.unanswerable,
            "threshold": self.threshold,
            "longest": self.longest,
            "overlap": self.overlap,
            "pairs": True,
        }

    @classmethod
    def from_row(cls, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The fields of an example from those of a row, every answer with its place, and what was mended.

        Raises DataError for a row without answers, and where none of them stands in the context.

        >>> row = {"question": "Who?", "context": "Ada wrote it.", "answer": "Ada", "start": "3"}
        >>> values, mended = Answering.from_row(row)
        >>> values["answers"], mended
        ('[{"text": "Ada", "begin": 0, "end": 3}]', ['wrong answer_start'])
        """
        found: list[dict[str, Any]] = []
        mended: list[str] = []
        first: DataError | None = None
        for one in _given(values):
            text = one["text"]
            try:
                begin, end, what = placed(values["context"], text, one["start"])
                mended += [what] if what else []
                same = text.strip() == values["context"][begin:end]
                text = text if same else values["context"][begin:end]  # what is answered is the context's
            except DataError as error:
                first, begin, end = first or error, -1, -1
                mended.append("a reference that is not in the context, kept to score by")
            found.append({"text": text, "begin": begin, "end": end})
        if first is not None and all(one["begin"] < 0 for one in found):
            raise first
        kept = {name: values[name] for name in ("question", "context", "id") if name in values}
        kept["question"] = kept["question"].strip()
        return {**kept, "answers": json.dumps(found, ensure_ascii=False)}, mended

    def prepare(self, model: Transformer) -> None:
        if not self._given:
            self.longest = None  # those of another fold's answers say nothing here
        model.add_head("span", 2)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Questions:
        """The questions without those that `settle` is for and those that leave a context no room."""
        held = set(self._held_out(examples))
        kept = [i for i in range(len(examples)) if i not in held]
        rows = [self._row(examples[i]) for i in kept]
        found = Questions(rows, tokenizer, self.max_length, overlap=self.overlap, seed=seed)
        self.too_long = [examples[kept[row]].place for row in found.shortened]
        if self.too_long:
            out = set(found.shortened)
            rows = [row for at, row in enumerate(rows) if at not in out]
            if not rows:
                raise DataError(
                    f"every question is too long for model.max_length {self.max_length}",
                    hint="the longest question should take less than three quarters of it",
                )
            found = Questions(rows, tokenizer, self.max_length, overlap=self.overlap, seed=seed)
        if self.longest is None:
            sizes = [span[1] - span[0] + 1 for span in found.spans if span is not None]
            self.longest = max(LONGEST, int(np.quantile(sizes, 0.995))) if sizes else LONGEST
        return found

    def settle(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        validation: Sequence[Example] = (),
    ) -> None:
        """Find the threshold of "no answer" on the training questions that were held out of training, where
        there are both kinds among them; else it stays where it is."""
        held = [examples[i] for i in self._held_out(examples)]
        if not held:
            return
        inputs = [example.values for example in held]
        found = self._found(model, tokenizer, inputs, self.longest or LONGEST, 1)
        answers = [{"text": one.text(e["context"])} for e, one in zip(held, found, strict=True)]
        margins = [one.margin for one in found]
        _, overlap = _scores(answers, held)
        best = best_threshold(overlap, margins, [_references(example.values) for example in held])
        # Nothing is answered below the least margin, which JSON can write.
        self.threshold = float(best.threshold if math.isfinite(best.threshold) else min(margins) - 1)

    def answer(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        inputs: Sequence[dict[str, str]],
        settings: Evaluate,
        max_answer_tokens: int = 0,
        best: int = 1,
    ) -> list[Answer]:
        """The best span of each context: text, begin and end in its characters, and its probability among all
        spans of all windows (and no answer, where the model knows of that).

        `max_answer_tokens` 0 is what training had; `best` > 1 lists alternatives. Raises RequestError for a
        question or a context that is missing or empty.
        """
        for values in inputs:
            for name in self.asked:
                if not values.get(name, "").strip():
                    raise RequestError(
                        f"the {name} is {'empty' if name in values else 'missing'}",
                        hint='send {"text": "a question", "pair": "the text that answers it"}',
                    )
        if max_answer_tokens < 0 or best < 1:
            raise RequestError("max_answer_tokens is 0 or more, best 1 or more")
        longest = max_answer_tokens or self.longest or LONGEST
        found = self._found(model, tokenizer, inputs, longest, best)
        return [self._answer(values, one, best) for values, one in zip(inputs, found, strict=True)]

    def _answer(self, values: Mapping[str, str], found: Found, best: int) -> Answer:
        whole = float(np.logaddexp(found.total, found.none)) if self.unanswerable else found.total
        told = [
            {
                "text": values["context"][span.begin : span.end],
                "begin": span.begin,
                "end": span.end,
                "score": math.exp(span.score - whole),
            }
            for span in found.spans
        ]
        nothing: Answer = {"text": "", "begin": None, "end": None, "score": 0.0}
        answer: Answer = dict(told[0]) if told else nothing
        if self.unanswerable:
            if found.margin > self.threshold:
                answer = {**nothing, "score": math.exp(found.none - whole)}
            answer["no_answer"] = found.margin if found.spans else None
        if best > 1:
            answer["alternatives"] = told
        if found.shortened:
            answer["shortened"] = True
        return answer

    @torch.inference_mode()
    def _found(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        inputs: Sequence[Mapping[str, str]],
        longest: int,
        count: int,
    ) -> list[Found]:
        """What the windows of each input say together."""
        rows = [(values["question"], values["context"], None) for values in inputs]
        objective = Questions(rows, tokenizer, self.max_length, overlap=self.overlap)
        spans: list[dict[tuple[int, int], float]] = [{} for _ in rows]
        none, total = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
        # Windows of like length lie together; only so many are held at a time.
        for start in range(0, objective.size, 2048):
            samples = [objective.at(i, i) for i in range(start, min(start + 2048, objective.size))]
            for batch, outputs in predicted(model, samples, "span", objective.pad):
                logits = outputs.float().cpu()
                sizes = [len(samples[number - start].encoder) for number in batch.samples]  # type: ignore[arg-type]
                for number, found in zip(batch.samples, logits.split(sizes), strict=True):
                    window = objective.windows[number]
                    row, lead = window.row, objective.lead(window.row)
                    inside = found[lead : lead + window.end - window.begin]
                    inside[objective.blank(window)] = -torch.inf
                    best, all_of_them = best_spans(inside[:, 0], inside[:, 1], longest, count)
                    none[row] = min(none[row], float(found[objective.cls].double().sum()))
                    total[row] = np.logaddexp(total[row], all_of_them)
                    for score, first, last in best:
                        place = objective.characters(row, window.begin + first, window.begin + last)
                        spans[row][place] = max(score, spans[row].get(place, -math.inf))
        shortened = set(objective.shortened)
        return [
            Found(
                [Span(*place, score) for place, score in sorted(own.items(), key=_best_first)[:count]],
                float(none[row]),
                float(total[row]),
                row in shortened,
            )
            for row, own in enumerate(spans)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        return self.answer(model, tokenizer, [example.values for example in examples], settings)

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        references = [_references(example.values) for example in examples]
        found = AnswerScores.of(*_scores(answers, examples), references)
        scores = {"exact": found.exact, "answer_f1": found.f1}
        if self.unanswerable or found.unanswerable_total:
            scores["answered_f1"] = math.nan if found.answered_f1 is None else found.answered_f1
            scores["unanswerable"] = math.nan if found.unanswerable is None else found.unanswerable
        return scores

    def right(self, answer: Answer, example: Example) -> bool:
        """Whether it is one of the references, to the letter (after normalisation)."""
        return _scores([answer], [example])[0][0] == 1

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        exact, overlap = _scores(answers, examples)
        found: dict[str, Measure] = {"answer_f1": mean_measure(overlap), "exact": mean_measure(exact)}
        has = np.array([bool(_references(example.values)) for example in examples], float)
        if 0 < has.sum() < len(has):  # of none, no number
            found["answered_f1"] = _among(np.asarray(overlap), has)
            found["unanswerable"] = _among(np.asarray(exact), 1 - has)
        return found

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The first sentence (or always no answer, where that is most frequent), and the sentence that shares
        the most with the question."""
        found = []
        none = sum(not _references(example.values) for example in train)

        def first(example: Example) -> str:
            context = example["context"]
            return next((context[begin:end] for begin, end in sentences_of(context)), "")

        if "majority" in wanted and 2 * none > len(train):
            found.append(Baseline("majority", "always no answer", lambda: [{"text": ""} for _ in test]))
        elif "majority" in wanted:
            found.append(
                Baseline("first sentence", "of the context", lambda: [{"text": first(e)} for e in test])
            )
        if "ngram" in wanted:
            window = SlidingWindow()
            note = "the sentence that shares most with the question (Richardson et al. 2013)"
            found.append(
                Baseline(
                    "sliding window",
                    note,
                    lambda: [{"text": window.answer(e["question"], e["context"])} for e in test],
                )
            )
        return found

    def _row(self, example: Example) -> tuple[str, str, tuple[int, int] | None]:
        """The question, its context, and the answer that most references agree on."""
        places = [(a["begin"], a["end"]) for a in json.loads(example["answers"]) if a["begin"] >= 0]
        most = Counter(places).most_common(1)
        return example["question"], example["context"], most[0][0] if most else None

    def _held_out(self, examples: Sequence[Example]) -> list[int]:
        """The training questions on which the threshold is found: all of some contexts, chosen by their hash,
        or none where they do not have both kinds."""
        if not self.unanswerable:
            return []
        of_context: dict[str, list[int]] = {}
        for at, example in enumerate(examples):
            of_context.setdefault(example["context"], []).append(at)
        chosen: list[int] = []
        kinds = [0, 0]
        for context in sorted(of_context, key=lambda text: key_of("threshold", text)):
            if len(chosen) >= SHARE * len(examples) and min(kinds) >= LEAST:
                break
            chosen += of_context[context]
            for at in of_context[context]:
                kinds[bool(_references(examples[at].values))] += 1
        return sorted(chosen) if min(kinds) >= LEAST and len(chosen) <= len(examples) // 4 else []


def _given(values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The answers that a row gives, in whatever form."""
    if "answers" in values:
        text = values["answers"]
        try:
            parsed = json.loads(text) if text.lstrip().startswith(("[", "{")) else text
        except ValueError:
            parsed = text
        return answers_of(parsed)
    if "answer" not in values:
        raise DataError(
            f"no answers (it has {', '.join(values)})",
            hint='answers = [{"text": "...", "answer_start": 12}], [] where there is none; or an answer',
        )
    start = values.get("start", "").strip() or "-1"
    if not re.fullmatch(r"-?[0-9]+(\.0*)?", start):
        raise DataError(f"start: {start!r} is no whole number", hint="count characters from 0")
    return answers_of([{"text": values["answer"], "start": int(start.partition(".")[0])}])


def _references(values: Mapping[str, str]) -> list[str]:
    return [one["text"] for one in json.loads(values["answers"])]


def _scores(answers: Sequence[Answer], examples: Sequence[Example]) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each question: by character where its context is Chinese."""
    exact, overlap = [0.0] * len(examples), [0.0] * len(examples)
    known = {context: han_share([context]) > 0.3 for context in {e["context"] for e in examples}}
    for chinese, scores in ((False, squad_scores), (True, cmrc_scores)):
        some = [at for at, example in enumerate(examples) if known[example["context"]] is chinese]
        if some:
            texts = [answers[at]["text"] for at in some]
            both = scores(texts, [_references(examples[at].values) for at in some])
            for at, one, other in zip(some, *both, strict=True):
                exact[at], overlap[at] = one, other
    return exact, overlap


def _among(values: np.ndarray, chosen: np.ndarray) -> Sums:
    """The mean over the chosen examples; NaN where there are none."""
    rows = np.stack([values * chosen, chosen], axis=1)
    return Sums(
        rows,
        lambda sums, number: np.divide(*sums.T, out=np.full(len(sums), np.nan), where=sums[:, 1] > 0),
    )


def _best_first(item: tuple[tuple[int, int], float]) -> tuple[float, tuple[int, int]]:
    return -item[1], item[0]
