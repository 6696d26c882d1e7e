"""The messages of a conversation, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liju.errors import RequestError

__all__ = ["ROLES", "check_messages"]

ROLES = ("system", "user", "assistant")


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The messages, each with a role and a content. Raises RequestError naming the one that is wrong.

    >>> check_messages([{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}])
    [{'role': 'system', 'content': 'Be brief.'}]
    """
    if not messages:
        raise RequestError("messages is empty", hint='send [{"role": "user", "content": "..."}]')
    found = []
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) - {"role", "content", "name"}:
            raise RequestError(f"messages[{at}] is not a role and a content")
        role, content = message.get("role"), message.get("content")
        role = "system" if role == "developer" else role
        if role not in ROLES:
            raise RequestError(f"messages[{at}].role: {role!r} is none of {', '.join(ROLES)}")
        if isinstance(content, list):  # parts, as newer clients send them
            texts = [part.get("text") for part in content if isinstance(part, Mapping)]
            known = [text for text in texts if isinstance(text, str)]
            content = "".join(known) if len(known) == len(content) else None
        if not isinstance(content, str):
            raise RequestError(f"messages[{at}].content is not a text")
        found.append({"role": role, "content": content})
    return found
