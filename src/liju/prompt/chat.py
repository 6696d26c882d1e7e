"""Conversations to tokens: by the template that a model came with, or plainly where it has none.

Without a template a decoder reads

    {system}

    User: {user}
    Assistant: {assistant}
    User: {user}
    Assistant:

and its answer ends before the next "\\nUser:"; an encoder-decoder reads the last message, and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liju.errors import MissingExtra, RequestError
from liju.vocab import Tokenizer

__all__ = ["PLAIN_STOP", "ChatTemplate", "check_messages", "plain_chat"]

ROLES = ("system", "user", "assistant")
PLAIN_STOP = ("\nUser:",)


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The messages, each with a role and a content. Raises RequestError naming the one that is wrong."""
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


class ChatTemplate:
    """A Jinja template of the ecosystem's kind, run in a sandbox as transformers runs it.

    Special tokens come from the template alone: what a user writes is never read as one, so that nobody can
    end their own turn and speak as the system.

    Raises MissingExtra without Jinja2, RequestError where the template refuses the conversation.

    >>> template = ChatTemplate("{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}", {})
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<s>user: Hello</s>'
    """

    def __init__(self, source: str, special: Mapping[str, str]):
        try:
            from jinja2 import TemplateError
            from jinja2.ext import loopcontrols
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise MissingExtra("jinja2", extra="serve") from None
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise RequestError(f"the chat template cannot be read: {error}") from None
        self.special = dict(special)

    @classmethod
    def of(cls, folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
        """The template in a folder: chat_template.jinja, or `chat_template` of tokenizer_config.json."""
        source: Any = None
        path, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
        if path.is_file():
            source = path.read_text(encoding="utf-8")
        elif settings.is_file():
            source = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
            if isinstance(source, list):
                source = next((one.get("template") for one in source if one.get("name") == "default"), None)
        if not isinstance(source, str) or not source:
            return None
        return cls(source, {f"{role}_token": token for role, token in tokenizer.roles.items()})

    def render(self, messages: Sequence[Mapping[str, str]], *, answer: bool = True) -> str:
        """The conversation as one text; with `answer` it ends where the next answer begins."""
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=answer,
                tools=None,
                documents=None,
                **self.special,
            )
        except Exception as error:  # a template is a program of somebody else's
            raise RequestError(f"the chat template refuses this conversation: {error}") from None

    def encode(self, messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer) -> list[int]:
        """The tokens of the conversation; special tokens are those that the template writes."""
        names = special_names(tokenizer)
        if not names:
            return tokenizer.encode(self.render(messages))
        pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
        used = {character for message in messages for character in message["content"]}
        # A character that nobody wrote, after the first of each special token's name in what people wrote.
        mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in used)
        guarded = [
            {**message, "content": pattern.sub(lambda m: m[0][0] + mark + m[0][1:], message["content"])}
            for message in messages
        ]
        text = self.render(guarded)
        ids: list[int] = []
        at = 0
        for match in pattern.finditer(text):
            ids += tokenizer.encode(text[at : match.start()].replace(mark, ""))
            ids.append(names[match[0]])
            at = match.end()
        return [*ids, *tokenizer.encode(text[at:].replace(mark, ""))]

    def turn_ends(self, tokenizer: Tokenizer) -> frozenset[int]:
        """The special token that the template writes after an answer: the model ends its own with it."""
        said = "\ue000"
        try:
            text = self.render(
                [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}], answer=False
            )
        except RequestError:  # a template may ask for more than this
            return frozenset()
        after = text.rpartition(said)[2].strip() if said in text else ""
        found = [name for name in special_names(tokenizer) if after.startswith(name)]
        return frozenset(special_names(tokenizer)[max(found, key=len)] for _ in found[:1])


def special_names(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens of a vocabulary and their ids."""
    added = tokenizer.backend.get_added_tokens_decoder()
    names = {token.content: number for number, token in added.items() if token.special}
    for token in tokenizer.roles.values():
        number = tokenizer.backend.token_to_id(token)
        if number is not None:
            names[token] = number
    return names


def _refuse(message: str) -> None:
    raise ValueError(message)


def _now(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(form)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **rest: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **rest)
