"""Questions on paragraphs: the JSON of SQuAD 1.1 and 2.0 and of CMRC 2018, question by question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from liju.errors import DataError
from liju.text.composed import places_of

__all__ = ["LARGEST", "Question", "answers_of", "is_squad", "placed", "questions"]

# Characters that a file has at most: SQuAD 2.0 has 42 million, and a file is read as a whole.
LARGEST = 500_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """One question: where it stands, "data[0].paragraphs[2].qas[1]", and its values; or what is `wrong`.

    `values` has question, context, answers (a JSON list of {"text", "start"}, empty where the question has no
    answer), and id where there is one.
    """

    place: str
    values: dict[str, str] = field(default_factory=dict)
    wrong: str = ""


def is_squad(head: str) -> bool:
    """Whether a JSON file that starts so is one of these, and not of one object a line.

    >>> is_squad('{"version": "1.1", "data": [{"title": "A", "paragraphs": ['), is_squad('{"text": "a"}')
    (True, False)
    """
    start = head.lstrip().lstrip("\ufeff")
    return (start.startswith("{") and '"data"' in head and '"paragraphs"' in head) or (
        start.startswith("[") and '"context_text"' in head and '"qas"' in head
    )


def questions(text: str) -> Iterator[Question]:
    """The questions of a file, in its order; one that is not as it should be has `wrong`.

    Reads `{"data": [{"paragraphs": [{"context", "qas": [{"question", "answers", "id", "is_impossible"}]}]}]}`
    and the first form of CMRC 2018, `[{"context_text", "qas": [{"query_text", "answers"}]}]`. Raises
    DataError where the text is no JSON, with line and column, or another kind of it.

    >>> text = '{"data": [{"paragraphs": [{"context": "Ada wrote it.", "qas": [{"question": "Who?", ' \\
    ...        '"answers": [{"text": "Ada", "answer_start": 0}]}, {"answers": []}]}]}]}'
    >>> for question in questions(text):
    ...     print(question.place, question.values.get("answers", question.wrong))
    data[0].paragraphs[0].qas[0] [{"text": "Ada", "start": 0}]
    data[0].paragraphs[0].qas[1] no question
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"not JSON: {error.msg} at {where}", hint="is the file whole?") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON that can be read: {error}") from None
    articles = data.get("data") if isinstance(data, dict) else None
    if isinstance(data, list):
        for at, paragraph in enumerate(data):
            yield from _of_paragraph(paragraph, f"[{at}]")
        return
    if not isinstance(articles, list):
        has = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise DataError(
            f"no list 'data' (it has {has:.80})",
            hint='SQuAD is {"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]}',
        )
    for at, article in enumerate(articles):
        paragraphs = article.get("paragraphs") if isinstance(article, Mapping) else None
        if not isinstance(paragraphs, list):
            yield Question(f"data[{at}]", wrong="no list 'paragraphs'")
            continue
        for number, paragraph in enumerate(paragraphs):
            yield from _of_paragraph(paragraph, f"data[{at}].paragraphs[{number}]")


def _of_paragraph(paragraph: Any, place: str) -> Iterator[Question]:
    found: Mapping[str, Any] = paragraph if isinstance(paragraph, Mapping) else {}
    context = found.get("context", found.get("context_text"))
    if not isinstance(context, str) or not context.strip():
        yield Question(place, wrong="no context")
        return
    asked = found.get("qas")
    if not isinstance(asked, list):
        yield Question(place, {"context": context}, "no list 'qas'")
        return
    for at, one in enumerate(asked):
        yield _question(one, context, f"{place}.qas[{at}]")


def _question(one: Any, context: str, place: str) -> Question:
    found: Mapping[str, Any] = one if isinstance(one, Mapping) else {}
    question = found.get("question", found.get("query_text"))
    wrong = ""
    if not isinstance(question, str) or not question.strip():
        return Question(place, {"context": context}, "no question")
    answers: list[dict[str, Any]] = []
    if "answers" not in found and not found.get("is_impossible"):
        wrong = "no 'answers'"
    try:
        answers = answers_of(found.get("answers", []))
    except DataError as error:
        wrong = error.message
    if found.get("is_impossible") and answers:
        wrong = "is_impossible, and it has answers"
    elif found.get("is_impossible") is False and not answers:
        wrong = wrong or "is_impossible is false, and it has no answers"
    number = found.get("id", found.get("query_id"))
    values = {"question": question, "context": context, "answers": json.dumps(answers, ensure_ascii=False)}
    return Question(place, values | ({} if number is None else {"id": str(number)}), wrong)


def answers_of(value: Any) -> list[dict[str, Any]]:
    """Answers in any of the field's forms as a list of {"text", "start"}; `start` is -1 where none is given.

    A text; {"text", "answer_start" or "start"}; a list of these; Hugging Face's {"text": [...],
    "answer_start": [...]}. Raises DataError for anything else.

    >>> answers_of({"text": ["Ada", "Ada"], "answer_start": [0, 9]})
    [{'text': 'Ada', 'start': 0}, {'text': 'Ada', 'start': 9}]
    >>> answers_of("Ada"), answers_of([])
    ([{'text': 'Ada', 'start': -1}], [])
    """
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        texts = value["text"]
        starts = value.get("answer_start", value.get("start"))
        starts = [-1] * len(texts) if starts is None else starts
        if not isinstance(starts, list) or len(starts) != len(texts):
            raise DataError("answers: as many answer_start as text", hint="one place for each answer")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    found = []
    for one in value if isinstance(value, list) else [value]:
        one = {"text": one} if isinstance(one, str) else one
        text = one.get("text") if isinstance(one, Mapping) else None
        start = one.get("answer_start", one.get("start", -1)) if isinstance(one, Mapping) else None
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"answers: {json.dumps(one, ensure_ascii=False):.60} is no answer",
                hint='{"text": "...", "answer_start": 12}; answers = [] says that there is none',
            )
        start = -1 if start is None else start
        # A table with a gap in the column makes numbers such as 28.0 of all others.
        if isinstance(start, bool) or not isinstance(start, int | float) or not float(start).is_integer():
            raise DataError(f"answers: answer_start {start!r} of {text!r:.60} is no whole number")
        found.append({"text": text, "start": int(start)})
    return found


def placed(context: str, text: str, start: int = -1) -> tuple[int, int, str]:
    """Where an answer stands in its context, (begin, end) in characters without the space around it, and what
    had to be mended: a wrong `start` where the text occurs once, or none given where it occurs several times.

    An answer in another Unicode form than its context is found too. Raises DataError where it does not occur,
    or a wrong `start` does not say which of several is meant.

    >>> placed("Ada wrote it. Ada!", "Ada", 14), placed("Ada wrote it.", "wrote ", 2)
    ((14, 17, ''), (4, 9, 'wrong answer_start'))
    >>> placed("Ada wrote it. Ada!", "Ada")
    (0, 3, 'no answer_start, the first of several places taken')
    """
    if start >= 0 and context[start : start + len(text)] == text:
        begin = start + len(text) - len(text.lstrip())
        return begin, begin + len(text.strip()), ""
    text = text.strip() if text not in context else text  # the space around it may be another
    found, mended = _verbatim(context, text), ""
    if not found:
        found, mended = places_of(context, text), "in another Unicode form (NFC, NFD)"
    if not found:
        raise DataError(
            f"the answer {text!r:.60} is not in the context", hint="it must stand there, letter by letter"
        )
    right = [place for place in found if place[0] == start]
    if len(found) > 1 and start >= 0 and not right:
        raise DataError(
            f"answer_start {start} is wrong, and {text!r:.60} stands in {len(found)} places",
            hint="count characters from 0",
        )
    if start >= 0 and not right:
        mended = "wrong answer_start"
    elif start < 0 and len(found) > 1:
        mended = "no answer_start, the first of several places taken"
    begin, end = (right or found)[0]
    return begin, end, mended


def _verbatim(context: str, text: str) -> list[tuple[int, int]]:
    """Where a text stands in a context to the letter, without the space around it."""
    lead, size = len(text) - len(text.lstrip()), len(text.strip())
    places = (match.start() + lead for match in re.finditer(re.escape(text), context))
    return [(at, at + size) for at in places]
