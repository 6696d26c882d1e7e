"""Conversations for models that came without a template: as plain text.

Without a template a decoder reads

    {system}

    User: {user}
    Assistant: {assistant}
    User: {user}
    Assistant:

and its answer ends before the next "\\nUser:"; an encoder-decoder reads the last message, and no more.
With one, `liju.vocab.ChatTemplate` renders it, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liju.vocab.chat import ChatTemplate
from liju.vocab.chat_messages import check_messages

__all__ = ["PLAIN_STOP", "ChatTemplate", "check_messages", "plain_chat"]

PLAIN_STOP = ("\nUser:",)


def plain_chat(messages: Sequence[Mapping[str, str]]) -> str:
    r"""A conversation as plain text, for a decoder that has no template.

    >>> plain_chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}])
    'Be brief.\n\nUser: Hello\nAssistant:'
    """
    lines = ""
    for message in messages:
        if message["role"] == "system":
            lines += f"{message['content']}\n\n"
        else:
            lines += f"{message['role'].capitalize()}: {message['content']}\n"
    return lines + "Assistant:"
