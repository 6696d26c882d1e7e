"""Conversations to tokens by a vocabulary's template: one renderer for training, scoring and serving."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from liju.errors import RequestError, TokenizerError
from liju.vocab.chat_sandbox import compiled
from liju.vocab.chat_segments import Segments, special_names
from liju.vocab.tokenizer import Tokenizer

__all__ = ["CHATML", "TURNS", "ChatTemplate", "Conversation", "own_template"]

# liju's own: a turn is a small document, from <s> to </s>, and its first line says whose it is. Every
# vocabulary of a decoder has these two tokens, and no user can write them.
TURNS = (
    "{%- for message in messages -%}\n"
    "{{- (bos_token or '') + message['role'] + '\\n' + message['content'] + eos_token -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- (bos_token or '') + 'assistant\\n' -}}{%- endif -%}\n"
)
# Where a vocabulary has its tokens.
CHATML = (
    "{%- for message in messages -%}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n"
)


@dataclass(frozen=True)
class Conversation:
    """The tokens of a conversation, and which of them are an answer's: its text and the end of its turn."""

    ids: list[int]
    answer: list[bool]


def own_template(tokenizer: Tokenizer) -> str:
    """The template for a vocabulary that came with none. Raises TokenizerError where no token ends a text.

    >>> from liju.objective.examples import tokenizer
    >>> own_template(tokenizer("decoder")) == TURNS
    True
    """
    names = special_names(tokenizer)
    if {"<|im_start|>", "<|im_end|>"} <= names.keys():
        return CHATML
    if tokenizer.eos is None:
        raise TokenizerError(
            "a conversation needs a token that ends a turn; this vocabulary has no </s>",
            hint="train a decoder's vocabulary",
        )
    return TURNS


class ChatTemplate:
    """A Jinja template of the ecosystem's kind, run in a sandbox as transformers runs it.

    Special tokens come from the template alone: what a user writes is never read as one, so that nobody can
    end their own turn and speak as the system. `special` are the tokens by the names that templates use.

    Raises MissingExtra without Jinja2, RequestError where the template refuses the conversation.

    >>> template = ChatTemplate("{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}", {})
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<s>user: Hello</s>'
    """

    def __init__(self, source: str, special: Mapping[str, str]):
        self.source, self.special = source, dict(special)
        compiled(source)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate | None:
        """The template that a vocabulary came with; None where it has none."""
        if not tokenizer.chat_template:
            return None
        return cls(tokenizer.chat_template, _named(tokenizer))

    @classmethod
    def ours(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """The template of a vocabulary, or liju's own."""
        return cls.of(tokenizer) or cls(own_template(tokenizer), _named(tokenizer))

    def render(self, messages: Sequence[Mapping[str, str]], *, answer: bool = True) -> str:
        """The conversation as one text; with `answer` it ends where the next answer begins."""
        return self._render(messages, answer)

    def encode(
        self, messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer, *, answer: bool = True
    ) -> list[int]:
        """The tokens of the conversation; special tokens are those that the template writes."""
        segments = self._segments(tokenizer)
        mark = self._marks(messages)[0]
        return segments.encode(self._render(segments.guard(messages, mark), answer), mark, ())[0]

    def encode_answers(self, messages: Sequence[Mapping[str, str]], tokenizer: Tokenizer) -> Conversation:
        """The tokens of a whole conversation, and which are those that the model is to write itself.

        An answer is what the template puts in `{% generation %}`. Where it has no such tag: all that comes
        after the prompt that asks for it, to the special token that ends its turn.

        Raises RequestError where a template changes answers so that they are not found again.

        >>> from liju.objective.examples import tokenizer
        >>> tokens = tokenizer("decoder")
        >>> talk = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "cat"}]
        >>> found = ChatTemplate.ours(tokens).encode_answers(talk, tokens)
        >>> tokens.decode([i for i, mine in zip(found.ids, found.answer) if mine], special=True)
        'cat</s>'
        """
        segments = self._segments(tokenizer)
        mark, opens, closes = self._marks(messages)
        guarded = segments.guard(messages, mark)
        if self._tagged:
            text, spans = _taken_out(self._render(guarded, False, opens, closes), opens, closes)
        else:
            found = self._by_prompts(guarded) or self._by_marks(guarded, opens, closes)
            if found is None:
                raise RequestError(
                    "the chat template changes the answers: which tokens are theirs cannot be told",
                    hint="put {% generation %} and {% endgeneration %} around them in the template",
                )
            text, begins = found
            spans = [(begin, segments.turn_end(text, begin, end)) for begin, end in begins]
        return Conversation(*segments.encode(text, mark, spans))

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
        names = special_names(tokenizer)
        found = [name for name in names if after.startswith(name)]
        return frozenset(names[max(found, key=len)] for _ in found[:1])

    @cached_property
    def _tagged(self) -> bool:
        return re.search(r"\{%-?\+?\s*generation\s*[-+]?%\}", self.source) is not None

    def _by_prompts(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, list[tuple[int, int]]] | None:
        """The text and each answer's span: what a turn adds to the prompt that asks for it. None where the
        template writes a turn otherwise once another follows."""
        text = self._render(messages, False)
        spans = []
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            try:
                prompt = self._render(messages[:at], True)
                upto = self._render(messages[: at + 1], False)
            except RequestError:
                return None
            if not (text.startswith(upto) and upto.startswith(prompt)):
                return None
            spans.append((len(prompt), len(upto)))
        return text, spans

    def _by_marks(
        self, messages: Sequence[Mapping[str, str]], opens: str, closes: str
    ) -> tuple[str, list[tuple[int, int]]] | None:
        """The same by two characters around each answer. None where the template loses one, or more than
        them changes."""
        wrapped = [
            {**message, "content": _wrapped(message["content"], opens, closes)}
            if message["role"] == "assistant"
            else message
            for message in messages
        ]
        marked = self._render(wrapped, False)
        count = sum(message["role"] == "assistant" for message in messages)
        if [marked.count(one) for one in (opens, closes)] != [count, count]:
            return None
        text, spans = _taken_out(marked, opens, closes)
        if text != self._render(messages, False):
            return None
        following = [begin for begin, _ in spans[1:]]
        ends = [*following, len(text)]
        return text, [(begin, end) for (begin, _), end in zip(spans, ends, strict=True)]

    def _render(
        self, messages: Sequence[Mapping[str, str]], answer: bool, opens: str = "", closes: str = ""
    ) -> str:
        try:
            return compiled(self.source, opens, closes)(
                messages=[dict(message) for message in messages],
                add_generation_prompt=answer,
                tools=None,
                documents=None,
                **self.special,
            )
        except RequestError:
            raise
        except Exception as error:  # a template is a program of somebody else's
            raise RequestError(f"the chat template refuses this conversation: {error}") from None

    def _marks(self, messages: Sequence[Mapping[str, str]]) -> tuple[str, str, str]:
        """Three characters that nobody wrote."""
        used = {character for message in messages for character in message["content"]} | {*self.source}
        free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in used)
        return next(free), next(free), next(free)

    def _segments(self, tokenizer: Tokenizer) -> Segments:
        kept = self.__dict__.setdefault("_kept", {})
        if id(tokenizer) not in kept:
            kept[id(tokenizer)] = Segments(tokenizer)
        return kept[id(tokenizer)]


def _named(tokenizer: Tokenizer) -> dict[str, str]:
    return {f"{role}_token": token for role, token in tokenizer.roles.items()}


def _wrapped(text: str, opens: str, closes: str) -> str:
    """The marks go inside the white space, which templates may take off.

    >>> _wrapped(" Hello\\n", "[", "]")
    ' [Hello]\\n'
    """
    core = text.strip()
    if not core:
        return opens + closes + text
    before, _, after = text.partition(core)
    return before + opens + core + closes + after


def _taken_out(text: str, opens: str, closes: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without the marks, and the spans that stood between them.

    >>> _taken_out("a[bc]d[e]", "[", "]")
    ('abcde', [(1, 3), (4, 5)])
    """
    parts = re.split(f"[{re.escape(opens)}{re.escape(closes)}]", text)
    ends: list[int] = []
    for part in parts:
        ends.append((ends[-1] if ends else 0) + len(part))
    return "".join(parts), list(_pairs(ends[:-1]))


def _pairs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from list(pairwise(places))[::2]
