r"""Prompts with worked examples before the question (Brown et al. 2020)."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence

from liju.errors import RequestError, did_you_mean
from liju.finetune import Example
from liju.prompt.model import Message
from liju.prompt.selection import Selector

__all__ = ["FewShot"]


class FewShot:
    r"""Examples that a selector chooses, each as a question and its answer, and then the query as a question.

    The nearest example stands last, beside the query. question, answer: how an example is written, with its
    fields in braces; `Example.input` is what the selector compares, so make the selector of
    `[example.input for example in examples]`. k: examples a prompt, at most. instruction: what stands first.
    limit: of the whole prompt, by `length` (characters, or what a tokenizer counts): the farthest examples
    are left out until it fits.

    Raises RequestError for a field that an example lacks, a selector of another pool, or a query that does
    not fit even alone.

    >>> from liju.prompt import NgramSelector
    >>> rows = [("The soup was cold.", "bad"), ("A clean room.", "good"), ("A fine soup.", "good")]
    >>> examples = [Example({"text": text, "label": label}, "here") for text, label in rows]
    >>> shots = FewShot(examples, NgramSelector([text for text, _ in rows]), k=2)
    >>> print(*shots.prompts(["The soup was warm."]))
    A fine soup. => good
    The soup was cold. => bad
    The soup was warm. =>
    """

    def __init__(
        self,
        examples: Sequence[Example],
        selector: Selector,
        k: int = 4,
        *,
        question: str = "{text} =>",
        answer: str = " {label}",
        between: str = "\n",
        instruction: str = "",
        limit: int | None = None,
        length: Callable[[str], int] = len,
    ):
        if [example.input for example in examples] != selector.texts:
            hint = "selector: of [example.input for example in examples]"
            raise RequestError("the selector is of other texts than the examples", hint=hint)
        self.selector, self.k = selector, k
        self.question, self.between, self.instruction = question, between, instruction
        self.limit, self.length = limit, length
        self._asked = [_filled(question, example.values, example.place) for example in examples]
        self._answered = [_filled(answer, example.values, example.place) for example in examples]

    def prompts(self, queries: Sequence[str | Mapping[str, str]]) -> list[str]:
        """A prompt for each query, to be written on: it ends with the query's question.

        A query that is a text is {"text": ...}; one of several fields is compared as `Example.input` is.
        """
        return [self._joined(shots, asked) for shots, asked in self._chosen(queries)]

    def messages(self, queries: Sequence[str | Mapping[str, str]]) -> list[list[Message]]:
        """The same as conversations: questions are the user's messages, answers the assistant's."""
        found: list[list[Message]] = []
        for shots, asked in self._chosen(queries):
            talk: list[Message] = (
                [{"role": "system", "content": self.instruction}] if self.instruction else []
            )
            for at in shots:
                talk.append({"role": "user", "content": self._asked[at]})
                talk.append({"role": "assistant", "content": self._answered[at].strip()})
            found.append([*talk, {"role": "user", "content": asked}])
        return found

    def _chosen(self, queries: Sequence[str | Mapping[str, str]]) -> list[tuple[list[int], str]]:
        """Of each query the rows of its examples, the nearest last, and its question."""
        if isinstance(queries, str | Mapping):
            raise RequestError("queries is one query", hint="give a list of them")
        examples = [
            Example({"text": query} if isinstance(query, str) else dict(query), f"query {at}")
            for at, query in enumerate(queries, 1)
        ]
        found = []
        chosen = self.selector([example.input for example in examples], self.k)
        for example, rows in zip(examples, chosen, strict=True):
            asked, shots = _filled(self.question, example.values, example.place), rows[::-1]
            while self.limit is not None and self.length(self._joined(shots, asked)) > self.limit:
                if not shots:
                    size = self.length(self._joined([], asked))
                    hint = f"at most {self.limit}; shorten it"
                    raise RequestError(f"{example.place}: {size} long without any example", hint=hint)
                shots = shots[1:]
            found.append((shots, asked))
        return found

    def _joined(self, shots: Sequence[int], asked: str) -> str:
        first = [self.instruction] if self.instruction else []
        return self.between.join([*first, *(self._asked[at] + self._answered[at] for at in shots), asked])


def _filled(form: str, values: Mapping[str, str], place: str) -> str:
    """A form with its fields; what stands in a field is never read as a form.

    >>> _filled("{text} =>", {"text": "{label}"}, "here")
    '{label} =>'
    """
    try:
        pieces = list(string.Formatter().parse(form))
    except ValueError as error:
        hint = "a field is {text}; write {{ for a {"
        raise RequestError(f"the form {form!r:.60} cannot be read: {error}", hint=hint) from None
    found = ""
    for words, name, how, _ in pieces:
        found += words
        if name is None:
            continue
        if name not in values or how:
            hint = did_you_mean(name, values) or f"it has {', '.join(values)}"
            raise RequestError(f"{place}: no field {f'{name}:{how}' if how else name!r}", hint=hint)
        found += values[name]
    return found
