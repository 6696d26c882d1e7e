"""What a request of OpenAI's API asks, checked field by field.

A field that would change the answer and is not supported is refused, unless its value changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from liju.errors import RequestError, did_you_mean
from liju.prompt.chat import check_messages
from liju.serve.asked import Problem, read_json

__all__ = ["Completion", "EmbeddingsAsked", "read_completion", "read_embeddings"]

_KINDS = {
    "prompt": "a text, a list of texts, a list of token ids or a list of such lists",
    "stop": "a text or at most 8 texts",
    "messages": "a list of objects with a role and a content",
    "input": "a text or a list of texts",
    "encoding_format": "float or base64",
}
# What may be sent because it changes nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (None, 0, 0.0),
    "frequency_penalty": (None, 0, 0.0),
    "logit_bias": (None, {}),
    "best_of": (None, 1),
    "suffix": (None, ""),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
}

_Shape = TypeVar("_Shape", bound=BaseModel)


@dataclass(frozen=True)
class Completion:
    """A request: prompts (texts, token ids, or one conversation) and how to answer them.

    top: how many likely tokens to tell of at each place; None tells no probabilities.
    """

    prompts: list[Any]
    chat: bool
    max_tokens: int | None
    temperature: float
    top_p: float
    n: int
    stop: tuple[str, ...]
    seed: int
    echo: bool
    top: int | None
    stream: bool
    count: bool  # a last event with the usage
    model: str | None


class _Streaming(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    include_usage: bool = False


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1, le=128)
    stop: str | list[str] | None = Field(default=None, max_length=8)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    stream: bool | None = None
    stream_options: _Streaming | None = None
    max_tokens: int | None = Field(default=None, ge=0)
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logit_bias: Any = None
    user: Any = None  # who asks changes nothing
    metadata: Any = None
    store: Any = None


class _Completion(_Request):
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    best_of: Any = None
    suffix: Any = None


class _Chat(_Request):
    messages: list[dict[str, Any]]
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    tools: Any = None
    tool_choice: Any = None
    response_format: Any = None


class EmbeddingsAsked(BaseModel):
    """A request for vectors; `input` is a list."""

    model_config = ConfigDict(extra="forbid", strict=True)
    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)
    user: Any = None  # who asks changes nothing

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


def read_embeddings(body: bytes) -> EmbeddingsAsked:
    """The request for vectors in `body`. Raises Problem (400) naming the field that is wrong.

    >>> read_embeddings(b'{"input": "spring"}').texts
    ['spring']
    >>> read_embeddings(b'{"input": [5, 7]}')
    Traceback (most recent call last):
        ...
    liju.serve.asked.Problem: input holds token ids, which another vocabulary may have made
    """
    asked = _object(body)
    given = asked.get("input")
    if isinstance(given, list) and given and isinstance(given[0], int | list):
        hint = "send texts; of LangChain: check_embedding_ctx_length=False"
        raise Problem(400, "input holds token ids, which another vocabulary may have made", hint, "input")
    found = _validated(asked, EmbeddingsAsked)
    if not found.texts:
        raise Problem(400, "input is an empty list", "send at least one text", "input")
    for text in found.texts:
        _check_unicode(text, "input")
        if not text.strip():
            raise Problem(400, "input holds an empty text", "leave it out", "input")
    return found


def read_completion(body: bytes, kind: Literal["completions", "chat"]) -> Completion:
    """The request in `body`. Raises Problem (400) naming the field that is wrong.

    >>> read_completion(b'{"prompt": "Once", "max_tokens": 5, "seed": 1}', "completions").prompts
    ['Once']
    >>> read_completion(b'{"prompt": "Once", "best_of": 3}', "completions")
    Traceback (most recent call last):
        ...
    liju.serve.asked.Problem: best_of is not supported here
    """
    asked = _object(body)
    shape = _Chat if kind == "chat" else _Completion
    return _completion(_validated(asked, shape))


def _object(body: bytes) -> dict[str, Any]:
    asked = read_json(body, hint="")
    if not isinstance(asked, dict):
        raise Problem(400, "the body is not a JSON object")
    return asked


def _validated(asked: dict[str, Any], shape: type[_Shape]) -> _Shape:
    """The fields of a request. Raises Problem (400) for the first that is wrong."""
    for name in asked:
        if name not in shape.model_fields:
            raise Problem(400, f"unknown field {name!r}", did_you_mean(name, shape.model_fields), name)
    for name, values in _NEUTRAL.items():
        if name in asked and asked[name] not in values:
            raise Problem(400, f"{name} is not supported here", "leave it out", name)
    try:
        return shape.model_validate(asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise Problem(400, f"{name} is missing", field=name) from None
        told = f"takes {_KINDS[name]}" if name in _KINDS else first["msg"].lower()
        raise Problem(400, f"{name}: {told}", field=name) from None


def _completion(request: _Request) -> Completion:
    prompts: list[Any]
    if isinstance(request, _Chat):
        try:
            prompts = [check_messages(request.messages)]
        except RequestError as error:
            raise Problem(400, error.message, error.hint, "messages") from None
        limits = (request.max_completion_tokens, request.max_tokens)
        max_tokens = next((limit for limit in limits if limit is not None), None)
        top = (request.top_logprobs or 0) if request.logprobs else None
        if request.top_logprobs and not request.logprobs:
            raise Problem(400, "top_logprobs needs logprobs", '"logprobs": true', "top_logprobs")
    else:
        assert isinstance(request, _Completion)
        prompts = _prompts(request.prompt)
        max_tokens = 16 if request.max_tokens is None else request.max_tokens
        top = request.logprobs
    chat, stop = isinstance(request, _Chat), request.stop or ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    for text in prompts:
        _check_unicode(text, "messages" if chat else "prompt")
    for text in stops:
        _check_unicode(text, "stop")
    return Completion(
        prompts=prompts,
        chat=chat,
        max_tokens=max_tokens,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        n=request.n or 1,
        stop=stops,
        # Without a seed every request is another draw.
        seed=secrets.randbits(31) if request.seed is None else request.seed % 2**63,
        echo=bool(getattr(request, "echo", False)),
        top=top,
        stream=bool(request.stream),
        count=bool(request.stream_options and request.stream_options.include_usage),
        model=request.model,
    )


def _prompts(prompt: Any) -> list[Any]:
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        prompt = [prompt]
    if not prompt:
        raise Problem(400, "prompt is an empty list", field="prompt")
    return list(prompt)


def _check_unicode(text: Any, name: str) -> None:
    contents = [message["content"] for message in text] if _is_messages(text) else [text]
    for content in contents:
        if isinstance(content, str):
            try:
                content.encode()
            except UnicodeEncodeError:
                raise Problem(400, f"{name} holds half of a surrogate pair", field=name) from None


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
