"""What every language model does, here or behind HTTP: write on, and say how likely a text is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Generation", "LanguageModel", "Message", "Prompt", "Score"]

# {"role": "system" | "user" | "assistant", "content": "..."}
Message = Mapping[str, str]
# A text that is written on, or a conversation that is answered.
Prompt = str | Sequence[Message]


@dataclass(frozen=True)
class Generation:
    """What was written after a prompt.

    `finish` is "stop" (an end token or a stop string, both left out) or "length". `tokens` counts what was
    written, the end token left out (None: the server did not say). `logprobs` are the natural logarithms of
    the probabilities of the tokens of `text`, at temperature 1 whatever they were drawn at (None: not asked
    for, or the server gives none).
    """

    text: str
    finish: str
    tokens: int | None
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Score:
    r"""How likely a continuation is, in nats, its end token not counted:
    $\log p(c \mid \mathrm{prompt}) = \sum_i \log p(c_i \mid \mathrm{prompt}, c_{<i})$.

    `tokens` are the continuation's as a person reads them, `logprobs` one figure a token; `greedy` says that
    no token was less likely than another would have been: temperature 0 writes this continuation.

    >>> Score(" yes", (" ", "yes"), (-0.5, -0.25), greedy=False).logprob
    -0.75
    """

    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    greedy: bool

    @property
    def logprob(self) -> float:
        """The sum, in nats."""
        return sum(self.logprobs)


@runtime_checkable
class LanguageModel(Protocol):
    """A model that continues text: `LocalModel` and `RemoteModel` are two, and answer alike.

    Every answer is a function of its own prompt and the options: what stands beside it changes nothing.
    """

    name: str

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        n: int = 1,
        logprobs: bool = False,
    ) -> list[Generation]:
        """`n` answers to each prompt, those of a prompt side by side: prompt i's are [i * n, i * n + n).

        temperature 0 takes the likeliest token each time. `stop`: texts before which an answer ends. Answer j
        of every prompt draws from `seed` + j. Raises RequestError for what cannot be answered.
        """
        ...

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[str]:
        """One answer, in pieces, each as soon as it is there; together they are `generate`'s text."""
        ...

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """How likely each continuation is after the prompt.

        The two are cut into tokens as one text. A token that holds characters of both is scored with the
        continuation. Raises RequestError where the model tells no probabilities.
        """
        ...

    def score_batch(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
        """`score` for many prompts, as many at once as the model likes."""
        ...
