"""Answers in the shapes of OpenAI's API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from liju.errors import LijuError
from liju.prompt.writing import TokenScore
from liju.serve.asked import Problem
from liju.serve.batcher import Overloaded, Stopping
from liju.serve.body import to_json
from liju.vocab import Tokenizer

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["Shape", "check_model", "error_body", "model_list", "refused", "request_id", "response"]


def request_id() -> dict[str, str]:
    """The header by which a client can name an answer."""
    return {"X-Request-Id": f"req_{secrets.token_hex(12)}"}


def response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A whole answer as JSON."""
    from starlette.responses import Response

    return Response(to_json(body), status, request_id() | dict(headers or {}), media_type="application/json")


def refused(error: LijuError) -> Response:
    """The answer to a request that failed: what is wrong, with the status that clients know."""
    if isinstance(error, Overloaded):
        wait = {"Retry-After": str(error.retry_after)}
        return response(error_body(error, 503, "overloaded"), 503, wait)
    if isinstance(error, Stopping):
        gone = {"Retry-After": "5", "Connection": "close"}
        return response(error_body(error, 503, "stopping"), 503, gone)
    status = error.status if isinstance(error, Problem) else 400
    unread = {"Connection": "close"} if status in (408, 413) else None
    code = "model_not_found" if status == 404 else None
    return response(error_body(error, status, code), status, unread)


def model_list(name: str) -> dict[str, Any]:
    """The body of /v1/models.

    >>> [one["id"] for one in model_list("first")["data"]]
    ['first']
    """
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "liju"}],
    }


def check_model(asked: str | None, name: str) -> None:
    """Raise Problem (404) where a request names another model than the one that is here."""
    if asked is not None and asked != name:
        raise Problem(404, f"no model {asked!r} is here", f"there is {name!r}", "model")


def error_body(error: LijuError, status: int, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape.

    >>> error_body(LijuError("no prompt", "send one"), 400)["error"]["message"]
    'no prompt (send one)'
    """
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    kind = "server_error" if status >= 500 else "invalid_request_error"
    field = getattr(error, "field", "") or None
    return {"error": {"message": message, "type": kind, "param": field, "code": code}}


class Shape:
    """The bodies of one request's answers: whole, or in events.

    top: how many likely tokens are told at each place; None: no probabilities.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, *, chat: bool, top: int | None):
        self.tokenizer, self.chat, self.top = tokenizer, chat, top
        self.kind = "chat.completion" if chat else "text_completion"
        self.head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
            "object": self.kind,
            "created": int(time.time()),
            "model": name,
        }

    def whole(self, choices: Sequence[dict[str, Any]], usage: dict[str, int]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        return {**self.head, "choices": list(choices), "usage": usage}

    def event(self, choices: Sequence[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        """One event of a stream."""
        head = {**self.head, "object": "chat.completion.chunk"} if self.chat else self.head
        return {**head, "choices": list(choices), **({} if usage is None else {"usage": usage})}

    def choice(self, index: int, text: str, tokens: Sequence[TokenScore], finish: str) -> dict[str, Any]:
        """One of the answers."""
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {"index": index, **said, "logprobs": self.logprobs(tokens), "finish_reason": finish}

    def part(
        self, index: int, text: str, tokens: Sequence[TokenScore], finish: str | None, *, begins: bool
    ) -> dict[str, Any]:
        """What is new of one of the answers."""
        said: dict[str, Any] = {"text": text}
        if self.chat:
            said = {"delta": {**({"role": "assistant"} if begins else {}), "content": text}}
        return {"index": index, **said, "logprobs": self.logprobs(tokens), "finish_reason": finish}

    def logprobs(self, tokens: Sequence[TokenScore]) -> dict[str, Any] | None:
        """The probabilities of tokens, in nats; those of a completion say where in the text they begin."""
        if self.top is None:
            return None
        if self.chat:
            return {
                "content": [
                    {
                        **self._spelled(score.id, score.logprob),
                        "top_logprobs": [self._spelled(token, figure) for token, figure in score.top],
                    }
                    for score in tokens
                ]
            }
        return {
            "tokens": [spelling(self.tokenizer, score.id) for score in tokens],
            "token_logprobs": [score.logprob for score in tokens],
            "top_logprobs": [self._likeliest(score) for score in tokens] if self.top else None,
            "text_offset": [score.start for score in tokens],
        }

    def _likeliest(self, score: TokenScore) -> dict[str, float] | None:
        if score.logprob is None:
            return None
        found: dict[str, float] = {}
        for token, figure in (*score.top, (score.id, score.logprob)):
            found.setdefault(spelling(self.tokenizer, token), figure)
        return found

    def _spelled(self, token: int, figure: float | None) -> dict[str, Any]:
        text = spelling(self.tokenizer, token)
        whole = not text.startswith("bytes:")
        return {"token": text, "logprob": figure, "bytes": list(text.encode()) if whole else None}


def spelling(tokenizer: Tokenizer, token: int) -> str:
    r"""A token as OpenAI's API writes it: its text, or bytes:\xe4\xbe where it is part of a character.

    >>> from liju.config import Vocab
    >>> from liju.vocab import train
    >>> tokenizer = train(["low lower"] * 9, Vocab(size=300), "decoder")
    >>> [spelling(tokenizer, token) for token in tokenizer.encode("low 低")][:3]
    ['low', ' ', 'bytes:\\xe4']
    """
    text = tokenizer.tokens([token])[0]
    return f"bytes:{text}" if "\ufffd" in tokenizer.decode([token]) else text
