"""The answers of OpenAI's API, read with care: servers differ in what they leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from liju.prompt.model import Score

__all__ = ["Choice", "read_choices", "read_echo", "read_piece"]


@dataclass(frozen=True)
class Choice:
    """One answer of several."""

    text: str
    finish: str
    logprobs: tuple[float, ...] | None


def read_choices(answer: Mapping[str, Any], *, chat: bool, wanted: int) -> list[Choice]:
    """The answers in their order. Raises ValueError, KeyError or TypeError for another shape.

    >>> body = {"choices": [{"index": 0, "text": " home", "finish_reason": "stop", "logprobs": None}]}
    >>> read_choices(body, chat=False, wanted=1)
    [Choice(text=' home', finish='stop', logprobs=None)]
    """
    choices = sorted(answer["choices"], key=lambda choice: choice.get("index", 0))
    if len(choices) != wanted:
        raise ValueError(f"{len(choices)} answers where {wanted} were asked for")
    return [_chat(choice) if chat else _completion(choice) for choice in choices]


def read_piece(event: Mapping[str, Any], *, chat: bool) -> str:
    """The text that an event of a stream adds.

    >>> read_piece({"choices": [{"delta": {"content": " home"}}]}, chat=True)
    ' home'
    """
    choices = event.get("choices") or [{}]
    choice = choices[0] if isinstance(choices[0], Mapping) else {}
    text = (choice.get("delta") or {}).get("content") if chat else choice.get("text")
    return text if isinstance(text, str) else ""


def read_echo(answer: Mapping[str, Any], prompt: str, continuation: str) -> Score:
    """The score of a continuation from the probabilities of an echoed prompt that holds it.

    Raises ValueError where the server has not echoed, or tells no probabilities.

    >>> told = {"tokens": ["a", " b", " c"], "token_logprobs": [None, -0.5, -2.0], "text_offset": [0, 1, 3]}
    >>> told["top_logprobs"] = [None, {" b": -0.5}, {"!": -0.1, " c": -2.0}]
    >>> answer = {"choices": [{"text": "a b c", "logprobs": told}]}
    >>> read_echo(answer, "a", " b")
    Score(text=' b', tokens=(' b',), logprobs=(-0.5,), greedy=True)
    """
    choice = answer["choices"][0]
    whole, text, told = prompt + continuation, choice["text"], choice.get("logprobs")
    if not isinstance(text, str) or not text.startswith(whole):
        raise ValueError("the server does not echo the prompt")
    if not isinstance(told, Mapping) or not told.get("token_logprobs") or not told.get("tokens"):
        raise ValueError("the server tells no probabilities of the prompt's tokens")
    tokens, figures = list(told["tokens"]), list(told["token_logprobs"])
    best = list(told.get("top_logprobs") or [None] * len(tokens))
    if not len(tokens) == len(figures) == len(best):
        raise ValueError("the server tells of more tokens than probabilities")
    begins = _begins(tokens, told.get("text_offset"), text)
    # Parts of one character begin together, and end together where the next token begins.
    ends = [len(text)] * len(begins)
    for i in range(len(begins) - 2, -1, -1):
        ends[i] = begins[i + 1] if begins[i + 1] > begins[i] else ends[i + 1]
    # Tokens that hold characters of the continuation, without what was written after it.
    places = [i for i, end in enumerate(ends) if end > len(prompt) and begins[i] < len(whole)]
    if not places:
        raise ValueError(f"the continuation {continuation!r} has no token to score")
    if ends[places[-1]] > len(whole):
        raise ValueError("the server joins the continuation with what it writes after it")
    if any(not isinstance(figures[i], int | float) for i in places):
        raise ValueError("the server tells no probability of the first token: give a prompt")
    greedy = all(figures[i] >= max((best[i] or {"": 0.0}).values()) for i in places)
    return Score(
        continuation, tuple(str(tokens[i]) for i in places), tuple(float(figures[i]) for i in places), greedy
    )


def _begins(tokens: Sequence[str], offsets: Any, text: str) -> list[int]:
    """Where each token's characters begin in the text."""
    sums = list(accumulate(map(len, tokens), initial=0))
    if "".join(tokens) == text:
        return sums[:-1]
    if "".join(tokens[1:]) == text:  # a token that begins every text is no part of it
        return [-1, *(at - sums[1] for at in sums[1:-1])]
    # Parts of characters, and vocabularies that change the text: the server knows where they stand.
    if isinstance(offsets, list) and len(offsets) == len(tokens) and all(type(at) is int for at in offsets):
        begins = [at - offsets[0] for at in offsets]
        if begins == sorted(begins) and begins[-1] <= len(text):
            return begins
    raise ValueError("the server does not say where its tokens are in the text")


def _completion(choice: Mapping[str, Any]) -> Choice:
    told = choice.get("logprobs")
    figures = told.get("token_logprobs") if isinstance(told, Mapping) else None
    if isinstance(told, Mapping) and figures is None:  # some servers answer in the shape of chat here
        return Choice(_text(choice["text"]), _finish(choice), _chat_figures(told))
    return Choice(
        _text(choice["text"]), _finish(choice), None if figures is None else tuple(map(float, figures))
    )


def _chat(choice: Mapping[str, Any]) -> Choice:
    told = choice.get("logprobs")
    figures = _chat_figures(told) if isinstance(told, Mapping) else None
    return Choice(_text(choice["message"].get("content") or ""), _finish(choice), figures)


def _chat_figures(told: Mapping[str, Any]) -> tuple[float, ...] | None:
    content = told.get("content")
    return None if content is None else tuple(float(token["logprob"]) for token in content)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("an answer has no text")
    return value


def _finish(choice: Mapping[str, Any]) -> str:
    return str(choice.get("finish_reason") or "stop")
