r"""Instruction tuning: conversations, of which the answers alone are learned."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.evaluate import Measure, bits_per_byte_measure, mean_measure
from liju.finetune.answered import Answered, nats_of, windows, write_texts
from liju.finetune.conversations import Messages, asked_of, conversation, read_row, shortened_talk
from liju.finetune.examples import Example
from liju.finetune.task import SAMPLING, Answer, Baseline
from liju.finetune.writing import ends_of, template_for
from liju.model import Transformer
from liju.ngram import KneserNey, TranslationMemory
from liju.objective import Objective, Translation
from liju.vocab import Tokenizer
from liju.vocab.chat import ChatTemplate

__all__ = ["InstructionTask", "final_number"]

_NUMBER = re.compile(r"####\s*([-+]?[$]?[\d.,]+)")
# The longest answers that are compared as wholes: labels, names, numbers.
_SHORT = 40


def final_number(text: str) -> str | None:
    """The number after the last "####", as GSM8K ends its answers (Cobbe et al. 2021).

    >>> final_number("48 + 24 = 72\\n#### 1,072.00"), final_number("72")
    ('1072', None)
    """
    found = _NUMBER.findall(text)
    if not found:
        return None
    number = found[-1].replace(",", "").replace("$", "").rstrip(".")
    return number.rstrip("0").rstrip(".") if "." in number else number


class InstructionTask:
    """Conversations to answers. All answers of a conversation are learned, each with the end of its turn.

    Rendered by the vocabulary's chat template, or liju's own, which is then kept in the bundle. Of a
    conversation that is too long the oldest turns are left out (`shortened` lists them); where its last turn
    alone does not fit, it is not trained on (`too_long`). An encoder-decoder reads what was said before an
    answer and writes the answer: each answer is a sample.

    Scored by the bits per byte of the answers; `numbers`: also by the number after "####"; `short`: also by
    exact match.
    """

    name = "instruction"
    metric = "bits_per_byte"
    higher_is_better = False
    options: ClassVar[dict[str, Any]] = SAMPLING
    asked: tuple[str, ...] = ("text",)
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = (
        *("messages", "conversations", "system", "instruction", "input", "output", "text", "answer"),
    )

    def __init__(self, max_length: int, numbers: bool = False, short: bool = False):
        self.max_length, self.numbers, self.short = max_length, numbers, short
        self.encdec = False
        self.too_long: list[str] = []  # places of conversations that do not fit
        self.shortened: list[str] = []  # places of those whose oldest turns were left out

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics of the score table."""
        more = (("number",) if self.numbers else ()) + (("exact",) if self.short else ())
        return ("bits_per_byte", *more)

    @classmethod
    def of(cls, examples: Sequence[Example], max_length: int) -> InstructionTask:
        answers = [example["answer"] for example in examples]
        numbers = sum(final_number(answer) is not None for answer in answers) * 2 > len(answers)
        lengths = sorted(map(len, answers))
        short = not numbers and bool(lengths) and lengths[len(lengths) // 2] <= _SHORT
        return cls(max_length, numbers, short)

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> InstructionTask:
        return cls(values["max_length"], values.get("numbers", False), values.get("short", False))

    def describe(self) -> dict[str, Any]:
        scored = {name: True for name in ("numbers", "short") if getattr(self, name)}
        return {"name": self.name, "max_length": self.max_length, **scored}

    @classmethod
    def from_row(cls, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """A row as an example (see `read_row`), and what was mended: nothing.

        >>> InstructionTask.from_row({"text": "Hi", "answer": "Hello"})
        ({'text': 'Hi', 'answer': 'Hello'}, [])
        """
        return read_row(values), []

    def prepare(self, model: Transformer) -> None:
        """Nothing to add: the words head writes."""
        self.encdec = model.config.family == "encdec"

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, settings: Finetune, seed: int
    ) -> Objective:
        """Raises DataError where no conversation fits."""
        template = template_for(tokenizer)
        self.too_long, self.shortened = [], []
        rows: list[Any] = []
        for example in examples:
            talk: Messages | None = conversation(example.values)
            while talk is not None and not (found := self._rows(talk, template, tokenizer)):
                talk = shortened_talk(talk)
            if talk is None:
                self.too_long.append(example.place)
                continue
            if len(talk) < len(conversation(example.values)):
                self.shortened.append(example.place)
            rows += found
        if not rows:
            raise DataError(
                f"finetune.train: every conversation is longer than model.max_length {self.max_length}",
                hint="raise model.max_length",
            )
        if not self.encdec:
            return Answered(rows, tokenizer.pad or 0, seed, settings.label_smoothing)
        sources, targets = [row[0] for row in rows], [row[1] for row in rows]
        return Translation(sources, targets, tokenizer, self.max_length, seed, settings.label_smoothing)

    def _rows(self, talk: Messages, template: ChatTemplate, tokenizer: Tokenizer) -> list[Any]:
        """What is trained on of a conversation; nothing where it does not fit."""
        if not self.encdec:
            row = template.encode_answers(talk, tokenizer)
            return [row] if len(row.ids) - 1 <= self.max_length else []
        found = []
        for at, message in enumerate(talk):
            if message["role"] == "assistant":
                source = template.encode(talk[:at], tokenizer)
                target = tokenizer.encode(message["content"])
                if max(len(source), len(target)) >= self.max_length:
                    return []
                found.append((source, target))
        return found

    def answer(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        inputs: Sequence[dict[str, str]],
        settings: Evaluate,
        stop: str | Sequence[str] = (),
        **sampling: Any,
    ) -> list[Answer]:
        """Raises RequestError for an empty text, messages that are none, and a last message that is too long.
        Older turns are left out where they do not fit."""
        talks = []
        for values in inputs:
            talk = asked_of(values)
            if talk[-1]["role"] != "user":
                raise RequestError("the last message is not the user's", hint="what is to be answered?")
            talks.append(talk)
        return self._answers(model, tokenizer, talks, settings, stop, **sampling)

    def _answers(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        talks: Sequence[Messages],
        settings: Evaluate,
        stop: str | Sequence[str] = (),
        *,
        cut: bool = False,
        **sampling: Any,
    ) -> list[Answer]:
        """`cut`: of a last message that is too long, its last tokens are read."""
        template = ChatTemplate.ours(tokenizer)
        encdec = model.config.family == "encdec"
        new = max(1, min(settings.max_new_tokens, self.max_length // 2))
        room = self.max_length - 1 if encdec else self.max_length - new
        prompts, shortened = [], []
        for talk in talks:
            kept: Messages | None = talk
            ids = template.encode(talk, tokenizer)
            while len(ids) > room and (kept := shortened_talk(kept or [])) is not None:
                ids = template.encode(kept, tokenizer)
            if len(ids) > room and not cut:
                raise RequestError(
                    f"the prompt has {len(ids)} tokens; the model takes {self.max_length}, answer included",
                    hint="shorten the last message",
                )
            shortened.append(kept is not talk)
            prompts.append([*ids[-room:], tokenizer.eos] if encdec else ids[-room:])
        written = write_texts(
            model,
            tokenizer,
            prompts,
            start=(tokenizer.pad or 0) if encdec else None,
            ends=ends_of(tokenizer),
            max_new_tokens=new,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            **sampling,
        )
        return [
            {"text": text.strip(), **({"shortened": True} if was else {})}
            for text, was in zip(written, shortened, strict=True)
        ]

    def evaluate(
        self, model: Transformer, tokenizer: Tokenizer, examples: Sequence[Example], settings: Evaluate
    ) -> list[Answer]:
        """The answer written to each conversation, and the nats of the answers that stand in it."""
        self.prepare(model)
        talks = [conversation(example.values) for example in examples]
        answers = self._answers(model, tokenizer, [talk[:-1] for talk in talks], settings, cut=True)
        template = ChatTemplate.ours(tokenizer)
        owners: list[int] = []
        rows: list[Any] = []
        for at, talk in enumerate(talks):
            found = self._measured(talk, template, tokenizer)
            rows += found
            owners += [at] * len(found)
        objective: Objective
        if self.encdec:
            sources, targets = [row[0] for row in rows], [row[1] for row in rows]
            objective = Translation(sources, targets, tokenizer, self.max_length)
        else:
            objective = Answered(rows, tokenizer.pad or 0)
        nats = [0.0] * len(talks)
        for owner, value in zip(owners, nats_of(model, objective, len(rows)).tolist(), strict=True):
            nats[owner] += value
        return [{**answer, "nats": value} for answer, value in zip(answers, nats, strict=True)]

    def _measured(self, talk: Messages, template: ChatTemplate, tokenizer: Tokenizer) -> list[Any]:
        """A conversation as it is measured: nothing is left out, what is too long is read in pieces."""
        if not self.encdec:
            return windows(template.encode_answers(talk, tokenizer), self.max_length)
        found, room = [], self.max_length - 1
        for at, message in enumerate(talk):
            if message["role"] == "assistant":
                source = template.encode(talk[:at], tokenizer)[-room:]
                target = tokenizer.encode(message["content"])
                found += [(source, target[i : i + room]) for i in range(0, max(1, len(target)), room)]
        return found

    def score(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
        return {name: measure.value for name, measure in self.measures(answers, examples).items()}

    def measures(self, answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, Measure]:
        """A system without probabilities has no bits per byte, one that does not write nothing but them."""
        found: dict[str, Measure] = {}
        if all("nats" in answer for answer in answers):
            sizes = [
                sum(len(m["content"].encode()) for m in conversation(e.values) if m["role"] == "assistant")
                for e in examples
            ]
            found["bits_per_byte"] = bits_per_byte_measure([answer["nats"] for answer in answers], sizes)
        if all("text" in answer for answer in answers):
            pairs = [(a["text"], e["answer"]) for a, e in zip(answers, examples, strict=True)]
            if self.numbers:
                found["number"] = mean_measure([float(_same_number(*pair)) for pair in pairs])
            if self.short:
                found["exact"] = mean_measure([float(a.strip() == e.strip()) for a, e in pairs])
        return found

    def right(self, answer: Answer, example: Example) -> bool | None:
        if "text" not in answer:
            return None
        if self.numbers:
            return _same_number(answer["text"], example["answer"])
        same = answer["text"].strip() == example["answer"].strip()
        return same if self.short else True if same else None

    def baselines(
        self, wanted: Sequence[str], train: Sequence[Example], test: Sequence[Example]
    ) -> list[Baseline]:
        """An n-gram model of the same conversations, and the answer to the nearest training question."""
        found = []

        def nats() -> list[Answer]:
            model = KneserNey(6, vocabulary=256).fit([b"".join(_bytes(e)) for e in train])
            costs = []
            for example in test:
                before, after = _bytes(example)
                costs.append(-float(model.logprob(before + after)[len(before) :].sum()))
            return [{"nats": cost} for cost in costs]

        def nearest() -> list[Answer]:
            memory = TranslationMemory().fit([e["text"] for e in train], [e["answer"] for e in train])
            return [{"text": text} for text in memory.translate([e["text"] for e in test])]

        single = not any("messages" in example.values for example in test)
        if "ngram" in wanted and single:
            note = "modified Kneser-Ney of bytes, order 6, on the same conversations"
            found.append(Baseline("n-gram", note, nats))
        if {"ngram", "retrieval"} & set(wanted) and (self.numbers or self.short):
            found.append(Baseline("nearest", "the answer to the nearest training question", nearest))
        return found


def _same_number(written: str, wanted: str) -> bool:
    number = final_number(wanted)
    return number is not None and final_number(written) == number


def _bytes(example: Example) -> tuple[bytes, bytes]:
    return f"{example['text']}\n".encode(), example["answer"].encode()
