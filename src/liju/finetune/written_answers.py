"""Questions on a text, answered in the model's own words: exact match and F1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from liju.errors import DataError, RequestError
from liju.evaluate import Measure, cmrc_scores, han_share, mean_measure, squad_scores
from liju.finetune.examples import Example
from liju.finetune.task import Answer, Baseline
from liju.finetune.writing import TextToText
from liju.ngram import TranslationMemory

__all__ = ["GenerativeAnswering"]


class GenerativeAnswering(TextToText):
    """Questions and contexts to answers that need not stand in the context. The question is read first; of a
    context that is too long the beginning. Where an example has several answers, the first is learned and any
    counts as right; where it has none, nothing is to be written.

    >>> task = GenerativeAnswering(16)
    >>> task.source({"question": "Who?", "context": "Ada lives."})
    'Who?\\nAda lives.'
    """

    name = "generative-answering"
    metric = "answer_f1"
    shown = ("exact", "answer_f1")
    asked = ("question", "context")
    needed = ("question", "context")
    optional = ("answers", "answer", "id")

    @classmethod
    def from_row(cls, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """A row's fields with all of its answers as a JSON list of texts; nothing is mended.

        `answer` is a text. `answers` is a list of texts, or as SQuAD has it: {"text": [...]} or
        [{"text": ...}]. Raises DataError where there is neither.

        >>> row = {"question": "Who?", "context": "Ada.", "answers": '{"text": ["Ada"], "answer_start": [0]}'}
        >>> GenerativeAnswering.from_row(row)[0]["answers"]
        '["Ada"]'
        """
        kept = {name: values[name].strip() for name in ("question", "context", "id") if name in values}
        if "answers" in values:
            found = _texts(values["answers"])
        elif "answer" in values:
            found = [values["answer"].strip()]
        else:
            raise DataError(
                f"no answer (it has {', '.join(values)})",
                hint="a field answer, or answers = [...]; answers = [] says there is none",
            )
        return {**kept, "answers": json.dumps(list(dict.fromkeys(found)), ensure_ascii=False)}, []

    def source(self, values: Mapping[str, str]) -> str:
        if not values.get("question", "").strip():
            raise RequestError("the question is empty", hint='send {"text": "a question", "pair": "a text"}')
        if not values.get("context", "").strip():
            hint = 'send {"text": "a question", "pair": "the text to answer from"}'
            raise RequestError("this model answers from a text", hint=hint)
        return f"{values['question']}\n{values['context']}"

    def target(self, values: Mapping[str, str]) -> str:
        return next(iter(json.loads(values["answers"])), "")

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "pairs": True}

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """SQuAD's; CMRC's, by character, where the answers are Chinese."""
        written = [answer["text"] for answer in answers]
        known = [json.loads(example["answers"]) for example in examples]
        texts = [text for one in known for text in one]
        chinese = bool(texts) and all(known) and han_share(texts) >= 0.3
        exact, overlap = (cmrc_scores if chinese else squad_scores)(written, known)
        return {"answer_f1": mean_measure(overlap), "exact": mean_measure(exact)}

    def right(self, answer: Answer, example: Example) -> bool | None:
        return bool(self.measures([answer], [example])["exact"].value)

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """The most frequent answer, and that of the nearest training question."""
        found = []
        most = Counter(self.target(example.values) for example in train).most_common(1)[0][0]

        def nearest() -> list[Answer]:
            targets = [self.target(example.values) for example in train]
            memory = TranslationMemory().fit([e["question"] for e in train], targets)
            return [{"text": text} for text in memory.translate([e["question"] for e in test])]

        if "majority" in wanted:
            always: list[Answer] = [{"text": most} for _ in test]
            found.append(Baseline("most frequent", f"always {most!r}", lambda: always))
        if {"ngram", "retrieval"} & set(wanted):
            found.append(Baseline("nearest", "the answer to the nearest training question", nearest))
        return found


def _texts(answers: str) -> list[str]:
    """The texts in a value of the field `answers`."""
    try:
        found: Any = json.loads(answers)
    except ValueError:
        return [answers.strip()]
    if isinstance(found, dict):
        found = found.get("text")
    if not isinstance(found, list):
        return [answers.strip()]
    texts = [one.get("text") if isinstance(one, dict) else one for one in found]
    if any(not isinstance(text, str) for text in texts):
        raise DataError(f"answers is {answers[:60]!r}", hint='a list of texts, or [{"text": "..."}]')
    return [str(text).strip() for text in texts]
