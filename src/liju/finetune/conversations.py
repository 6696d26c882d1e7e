"""The conversations of examples: read in the forms that they come in, and made shorter by whole turns."""

from __future__ import annotations

import json
from collections.abc import Mapping

from liju.errors import DataError, RequestError
from liju.vocab.chat_messages import check_messages

__all__ = ["Messages", "asked_of", "conversation", "read_row", "said", "shortened_talk"]

Messages = list[dict[str, str]]
_FORM = '[{"role": "user", "content": "..."}]'
# Who speaks, as other formats call them.
_SPEAKERS = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def conversation(values: Mapping[str, str]) -> Messages:
    """The messages of an example: those before its answer, and the answer.

    >>> conversation({"text": "Hi", "answer": "Hello"})[1]
    {'role': 'assistant', 'content': 'Hello'}
    """
    before = json.loads(values["messages"]) if "messages" in values else [said("user", values["text"])]
    return [*before, said("assistant", values["answer"])] if "answer" in values else before


def shortened_talk(messages: Messages) -> Messages | None:
    """The messages without the oldest turns that can go: a user's message and all up to the next one. The
    system's stay. None where only one is left.

    >>> [m["content"] for m in shortened_talk([{"role": "system", "content": "S"},
    ...     *({"role": r, "content": c} for r, c in zip(("user", "assistant", "user"), "abc"))])]
    ['S', 'c']
    """
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    if len(users) < 2:
        return None
    return [m for m in messages[: users[1]] if m["role"] == "system"] + messages[users[1] :]


def read_row(values: Mapping[str, str]) -> dict[str, str]:
    """An example of a row: `text` (what the user said last), `answer`, and `messages` where more was said
    before.

    A row has `messages` (OpenAI's; also ShareGPT's `conversations`), or `instruction`, `input` and `output`
    (Alpaca), or `text` and `answer`; each may have a `system`. Raises DataError.

    >>> read_row({"instruction": "Add.", "input": "1 2", "output": "3"})
    {'text': 'Add.\\n\\n1 2', 'answer': '3'}
    """
    told = values.get("messages") or values.get("conversations")
    if told:
        messages = _messages(told)
    else:
        # Beside an instruction a column "text" may hold the whole, answer included (as Alpaca's does).
        first = "instruction" if "instruction" in values else "text"
        asked = [values[name].strip() for name in (first, "input") if name in values]
        answer = values.get("output", values.get("answer", "")).strip()
        if not asked or not answer:
            missing = "answer" if asked else "question"
            raise DataError(
                f"no {missing} (it has {', '.join(values) or 'no known field'})",
                hint="messages, or instruction and output, or text and answer; name yours in fields",
            )
        messages = [said("user", "\n\n".join(asked)), said("assistant", answer)]
    if values.get("system") and messages[0]["role"] != "system":
        messages = [said("system", values["system"].strip()), *messages]
    before, last = messages[:-1], messages[-1]
    roles = [message["role"] for message in messages]
    if last["role"] != "assistant" or roles[-2:-1] != ["user"] or not last["content"].strip():
        raise DataError(
            "the conversation does not end with a user's message and an answer",
            hint=f"its roles are {', '.join(roles[:9])}",
        )
    plain = [message["role"] for message in before] == ["user"]
    more = {} if plain else {"messages": json.dumps(before, ensure_ascii=False)}
    return {"text": before[-1]["content"], **more, "answer": last["content"]}


def asked_of(values: Mapping[str, str]) -> Messages:
    """What a request asks: its messages, or its text as a user's message."""
    if "messages" in values:
        return check_messages(json.loads(values["messages"]))
    if not values.get("text", "").strip():
        raise RequestError("the text is empty", hint='send {"text": "..."}')
    return [said("user", values["text"])]


def _messages(told: str) -> Messages:
    """The messages of a field, in OpenAI's form or ShareGPT's. Raises DataError."""
    try:
        found = json.loads(told)
    except ValueError as error:
        raise DataError(f"messages is not JSON: {error}", hint=_FORM) from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"messages is {told[:60]!r}", hint=_FORM)
    if all("from" in one and "value" in one for one in found):
        found = [{"role": _SPEAKERS.get(o["from"], o["from"]), "content": o["value"]} for o in found]
    try:
        return check_messages(found)
    except RequestError as error:
        raise DataError(error.message, hint=error.hint) from None
