"""A model of ours as a `LanguageModel`: decoders, and encoder-decoders whose prompt is the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from liju.errors import RequestError
from liju.finetune import Loaded, load
from liju.generate import Sampling
from liju.hub.files import read_json
from liju.prompt.chat import PLAIN_STOP, ChatTemplate, check_messages, plain_chat
from liju.prompt.model import Generation, Prompt, Score
from liju.prompt.reading import read_tails
from liju.prompt.writing import Ask, TokenScore, write

__all__ = ["LocalModel"]


class LocalModel:
    """A bundle, a run directory, or what `liju.load` gave, as a `LanguageModel`.

    chat: a prompt that is a text is a user's message, not a text to write on. batch: how many prompts go
    through the network together.

    A prompt is never shortened: one that leaves no room for an answer is refused. An answer ends with
    "length" where the model's `max_length` is reached.

    Raises BundleError where there is no model, RequestError where it does not write.
    """

    def __init__(
        self, model: Loaded | str | Path, *, chat: bool = False, device: str = "auto", batch: int = 32
    ):
        self.loaded = model if isinstance(model, Loaded) else load(model, device)
        self.model, self.tokenizer = self.loaded.model, self.loaded.tokenizer
        self.name: str = self.loaded.describe()["name"]
        self.chat, self.batch = chat, batch
        config = self.model.config
        if self.model.decoder is None or "words" not in self.model.heads:
            raise RequestError(
                f"{self.name}: a model for {self.loaded.task} does not write", hint="use its predict"
            )
        self.limit = config.max_length
        self.encdec = config.family == "encdec"
        task = self.loaded.bundle.task
        begins = (task.get("start", self.tokenizer.pad or 0)) if self.encdec else self.tokenizer.bos
        self.start: list[int] = [] if begins is None else [begins]
        self.template = ChatTemplate.of(self.tokenizer)
        self.eos = self._ends()

    def __repr__(self) -> str:
        return f"LocalModel({self.name!r}, {self.model.config.family})"

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
        """As `LanguageModel.generate` says."""
        if isinstance(prompts, str):
            raise RequestError("prompts is one text", hint="give a list of them")
        asks = [
            self.ask(
                prompt,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                stop=stop,
                seed=seed + j,
                top=0 if logprobs else None,
            )
            for prompt in prompts
            for j in range(n)
        ]
        found: list[Generation | None] = [None] * len(asks)
        # Prompts of like length together: less of the work is for empty places.
        order = sorted(range(len(asks)), key=lambda i: len(asks[i].source or asks[i].prompt))
        for start in range(0, len(order), self.batch):
            group = order[start : start + self.batch]
            texts: list[list[str]] = [[] for _ in group]
            told: list[list[TokenScore]] = [[] for _ in group]
            for at, piece in write(self.model, self.tokenizer, [asks[i] for i in group], self.eos):
                texts[at].append(piece.text)
                told[at] += piece.tokens
                if piece.finish:
                    figures = tuple(score.logprob or 0.0 for score in told[at]) if logprobs else None
                    found[group[at]] = Generation("".join(texts[at]), piece.finish, piece.written, figures)
        return [one for one in found if one is not None]

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
        """As `LanguageModel.stream` says."""
        ask = self.ask(
            prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=seed,
        )
        for _, piece in write(self.model, self.tokenizer, [ask], self.eos):
            if piece.text:
                yield piece.text

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """As `LanguageModel.score` says. The prompt is read once, whatever the number of continuations; an
        encoder-decoder's is its source, and the continuation its target."""
        if isinstance(continuations, str):
            raise RequestError("continuations is one text", hint="give a list of them")
        if not continuations:
            return []
        source = None
        if self.encdec:
            source, cut = self.source(prompt), 0
            rows = [[*self.start, *self.tokenizer.encode(text)] for text in continuations]
            starts = [len(self.start)] * len(rows)
        else:
            cut = len(prompt)
            rows, starts = [], []
            for text in continuations:
                ids, ends = self.tokenizer.encode_with_ends(prompt + text)
                rows.append([*self.start, *ids])
                starts.append(len(self.start) + sum(end <= cut for end in ends))
        for text, row, start in zip(continuations, rows, starts, strict=True):
            if start == len(row):
                raise RequestError(f"the continuation {text!r} has no token to score")
            if start == 0:
                raise RequestError("nothing is before the continuation", hint="give a prompt")
            if len(row) > self.limit:
                raise RequestError(
                    f"prompt and continuation have {len(row)} tokens; the model takes {self.limit}",
                    hint="shorten the prompt",
                )
        shared = min(starts)
        first = rows[0]
        for row in rows:
            while row[:shared] != first[:shared]:
                shared -= 1
        if shared == 0:  # two beginnings that differ at once: one by one
            return [self.score(prompt, [text])[0] for text in continuations]
        found = read_tails(self.model, first[:shared], [row[shared:] for row in rows], source, self.batch)
        return [
            self._score(text, told[start - shared :])
            for text, told, start in zip(continuations, found, starts, strict=True)
        ]

    def score_batch(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
        """As `LanguageModel.score_batch` says; the continuations of a prompt go together."""
        return [self.score(prompt, continuations) for prompt, continuations in requests]

    def ask(
        self,
        prompt: Prompt | Sequence[int],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        top: int | None = None,
        room: int = 1,
    ) -> Ask:
        """A prompt as `write` takes it. A list of token ids is taken as it is.

        Raises RequestError where fewer than `room` tokens could be written after it.
        """
        if max_new_tokens < 0 or seed < 0:
            raise RequestError("max_new_tokens and seed must not be negative")
        if isinstance(stop, str):
            stop = (stop,)
        source: list[int] | None = None
        if _is_ids(prompt):
            ids, stops = list(prompt), tuple(stop)
            if self.encdec:
                source, ids = ids, self.start
        else:
            text, stops = self._text(prompt, tuple(stop))
            if self.encdec:
                source, ids = self.source(text), self.start
            elif isinstance(text, str):
                ids = [*self.start, *self.tokenizer.encode(text)]
            else:
                ids = text
        if not ids or (source is not None and not source):
            raise RequestError("the prompt is empty", hint="write something to go on from")
        if self.limit - len(ids) < room:
            raise RequestError(
                f"the prompt has {len(ids)} tokens; the model takes {self.limit}, answer included",
                hint="shorten the prompt",
            )
        vocab = self.model.config.vocab_size
        if min(ids) < 0 or max(ids) >= vocab:
            raise RequestError(f"the prompt has a token outside the vocabulary of {vocab}")
        sampling = Sampling(temperature, 0, top_p)
        return Ask(ids, source, max_new_tokens, self.limit, sampling, seed, stops, top)

    def source(self, text: str | Sequence[int]) -> list[int]:
        """What the encoder of an encoder-decoder reads, of a text or of its tokens. Raises RequestError for
        an empty or too long one."""
        if isinstance(text, str) and not text.strip():
            raise RequestError("the prompt is empty", hint="an encoder-decoder answers a text")
        end = [] if self.tokenizer.eos is None else [self.tokenizer.eos]
        ids = [*(self.tokenizer.encode(text) if isinstance(text, str) else text), *end]
        if len(ids) > self.limit:
            raise RequestError(
                f"the prompt has {len(ids)} tokens; the model takes {self.limit}", hint="shorten the prompt"
            )
        return ids

    def _ends(self) -> frozenset[int]:
        """What ends an answer: the tokenizer's end, those of generation_config.json, the end of a turn."""
        found = set() if self.tokenizer.eos is None else {self.tokenizer.eos}
        path = self.loaded.bundle.folder / "generation_config.json"
        if path.is_file():
            told = read_json(path).get("eos_token_id")
            found |= {one for one in (told if isinstance(told, list) else [told]) if isinstance(one, int)}
        if self.template is not None:
            found |= self.template.turn_ends(self.tokenizer)
        return frozenset(found)

    def _text(self, prompt: Any, stop: tuple[str, ...]) -> tuple[str | list[int], tuple[str, ...]]:
        """The text to write on (or its tokens, where a template says how), and where to stop."""
        if isinstance(prompt, str):
            if not self.chat:
                return prompt, stop
            prompt = [{"role": "user", "content": prompt}]
        messages = check_messages(prompt)
        if self.template is not None:
            return self.template.encode(messages, self.tokenizer), stop
        if self.encdec:
            return messages[-1]["content"], stop
        return plain_chat(messages), (*stop, *PLAIN_STOP)

    def _score(self, text: str, told: Sequence[TokenScore]) -> Score:
        figures = tuple(score.logprob or 0.0 for score in told)
        greedy = all(
            figure >= score.top[0][1] for figure, score in zip(figures, told, strict=True) if score.top
        )
        return Score(text, tuple(self.tokenizer.tokens([score.id for score in told])), figures, greedy)


def _is_ids(prompt: Prompt | Sequence[int]) -> TypeGuard[Sequence[int]]:
    return not isinstance(prompt, str) and len(prompt) > 0 and isinstance(prompt[0], int)
