"""OpenAI's API over a model that writes: any of its clients can talk to it.

GET  /v1/models            the one model
POST /v1/completions       goes on from prompts (an encoder-decoder answers them)
POST /v1/chat/completions  answers a conversation

Requests wait in the same queue as those of /predict, are written together, and each as if it were alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from liju.errors import LijuError, RequestError
from liju.prompt.local import LocalModel
from liju.prompt.reading import read_rows
from liju.prompt.running_text import RunningText
from liju.prompt.writing import Ask, Piece, TokenScore, write
from liju.serve.asked import Problem
from liju.serve.batcher import Batcher
from liju.serve.openai_asked import Completion, read_completion
from liju.serve.openai_told import Shape, check_model, error_body, model_list, refused, request_id, response
from liju.serve.stream import Channel, event_stream

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["OpenAI"]

log = logging.getLogger("liju.serve")

_WRITES = ("generation", "instruction", "fill-span")
_WRITES += ("translation", "summarisation", "generative-answering")


@dataclass
class Job:
    """One answer to one prompt, as it waits in the queue.

    echo: the prompt's text, its tokens and where each begins; sink takes the pieces of a streamed answer.
    """

    ask: Ask
    echo: tuple[str, list[int], list[int]] | None = None
    sink: Callable[[Piece], None] | None = None
    sent: int = 0  # pieces; a call that failed is made again, and tells them again

    @property
    def read(self) -> int:
        """Tokens of the prompt."""
        return len(self.ask.prompt if self.ask.source is None else self.ask.source)


@dataclass
class Answer:
    """What was written, the echoed prompt included."""

    text: str = ""
    tokens: list[TokenScore] = field(default_factory=list)
    finish: str = "stop"
    written: int = 0

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens += piece.tokens
        self.finish, self.written = piece.finish or self.finish, piece.written


class OpenAI:
    """The endpoints of one model, or `of` gives None for one that does not write."""

    def __init__(
        self,
        model: LocalModel,
        batcher: Batcher,
        read_body: Callable[[Request], Awaitable[bytes]],
        max_characters: int,
        max_texts: int,
    ):
        self.model, self.batcher, self.read_body = model, batcher, read_body
        self.max_characters, self.max_texts = max_characters, max_texts

    @classmethod
    def of(cls, loaded: Any, *rest: Any) -> OpenAI | None:
        """The endpoints of a loaded model that writes; None for any other."""
        from liju.finetune import Loaded

        if not isinstance(loaded, Loaded) or loaded.task not in _WRITES:
            return None
        return cls(LocalModel(loaded), *rest)

    def routes(self) -> list[Route]:
        """What Starlette routes."""
        from starlette.routing import Route

        return [
            Route("/v1/models", self.models),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]

    async def models(self, request: Request) -> Response:
        return response(model_list(self.model.name))

    async def completions(self, request: Request) -> Response:
        return await self._answered(request, chat=False)

    async def chat(self, request: Request) -> Response:
        return await self._answered(request, chat=True)

    async def _answered(self, request: Request, *, chat: bool) -> Response:
        try:
            body = await self.read_body(request)
            asked = read_completion(body, "chat" if chat else "completions")
            jobs = self._jobs(asked)
            shape = Shape(self.model.name, self.model.tokenizer, chat=chat, top=asked.top)
            if asked.stream:
                return await self._streamed(asked, jobs, shape)
            answers = await self.batcher.ask(jobs, call=self.answer)
            choices = [
                shape.choice(at, answer.text, answer.tokens, answer.finish)
                for at, answer in enumerate(answers)
            ]
            written = sum(answer.written for answer in answers)
            return response(shape.whole(choices, _usage(asked, jobs, written)))
        except LijuError as error:
            return refused(error)

    async def _streamed(self, asked: Completion, jobs: Sequence[Job], shape: Shape) -> Response:
        """The answer in events. What is wrong before the first of them is an error of HTTP."""
        from starlette.responses import StreamingResponse

        channel = Channel()
        for at, job in enumerate(jobs):
            job.sink = lambda piece, at=at: channel.put((at, piece))
            job.ask = replace(job.ask, gone=channel.gone)
        items = channel.read(self.batcher.ask(jobs, call=self.answer))
        first = await anext(items, None)
        written: dict[int, int] = {}

        def told(item: tuple[int, Piece]) -> dict[str, Any]:
            at, piece = item
            begins = at not in written
            written[at] = piece.written
            return shape.event([shape.part(at, piece.text, piece.tokens, piece.finish, begins=begins)])

        def last() -> Iterator[dict[str, Any]]:
            if asked.count:
                yield shape.event([], _usage(asked, jobs, sum(written.values())))

        body = event_stream(first, items, told, last, _failed)
        headers = {**request_id(), "Cache-Control": "no-cache"}
        return StreamingResponse(body, media_type="text/event-stream", headers=headers)

    def answer(self, jobs: Sequence[Job]) -> list[Answer]:
        """What the batcher calls on the model's thread: every job's answer, written together."""
        answers = [Answer() for _ in jobs]
        counted = [0] * len(jobs)

        def tell(at: int, piece: Piece) -> None:
            answers[at].add(piece)
            counted[at] += 1
            sink = jobs[at].sink
            if sink is not None and counted[at] > jobs[at].sent:
                jobs[at].sent = counted[at]
                sink(piece)

        for at, echo in zip(*self._echoes(jobs), strict=True):
            tell(at, echo)
        asks = [job.ask for job in jobs]
        for at, piece in write(self.model.model, self.model.tokenizer, asks, self.model.eos):
            if jobs[at].echo is not None:
                piece = _shifted(piece, len(jobs[at].echo[0]))  # type: ignore[index]
            tell(at, piece)
        return answers

    def _echoes(self, jobs: Sequence[Job]) -> tuple[list[int], list[Piece]]:
        """The prompts of those who want them back, with their probabilities where these are wanted too."""
        places = [at for at, job in enumerate(jobs) if job.echo is not None]
        wanted = [at for at in places if jobs[at].ask.top is not None]
        most = max((jobs[at].ask.top or 0 for at in wanted), default=0)
        rows = read_rows(self.model.model, [jobs[at].ask.prompt for at in wanted], most)
        scores = dict(zip(wanted, rows, strict=True))
        pieces = []
        for at in places:
            echo, top = jobs[at].echo, jobs[at].ask.top
            assert echo is not None
            text, ids, starts = echo
            found = scores.get(at, [])[len(jobs[at].ask.prompt) - len(ids) :] if top is not None else []
            tokens = [
                TokenScore(score.id, score.logprob, score.top[:top], start)
                for score, start in zip(found, starts, strict=bool(found))
            ]
            pieces.append(Piece(text, tuple(tokens)))
        return places, pieces

    def _jobs(self, asked: Completion) -> list[Job]:
        """The answers that a request wants. Raises Problem for what cannot be answered."""
        model = self.model
        check_model(asked.model, model.name)
        field = "messages" if asked.chat else "prompt"
        if len(asked.prompts) * asked.n > self.max_texts:
            raise Problem(413, f"more than {self.max_texts} answers in one request", "send several", field)
        characters = sum(_length(prompt) for prompt in asked.prompts)
        if characters > self.max_characters:
            hint = f"at most {self.max_characters} in one request ([serve] max_characters)"
            raise Problem(413, f"{characters} characters are too many", hint, field)
        if asked.echo and asked.top is not None and model.encdec:
            raise Problem(400, "an encoder-decoder tells no probabilities of its prompt", "", "logprobs")
        most = model.limit if asked.max_tokens is None else asked.max_tokens
        jobs = []
        for prompt in asked.prompts:
            echo = self._echo(prompt) if asked.echo else None
            for j in range(asked.n):
                try:
                    ask = model.ask(
                        prompt,
                        max_new_tokens=most,
                        temperature=asked.temperature,
                        top_p=asked.top_p,
                        stop=asked.stop,
                        seed=asked.seed + j,
                        top=asked.top,
                        room=0 if asked.echo or not most else 1,
                    )
                except RequestError as error:
                    raise Problem(400, error.message, error.hint, field) from None
                jobs.append(Job(ask, echo))
        return jobs

    def _echo(self, prompt: Any) -> tuple[str, list[int], list[int]]:
        tokenizer = self.model.tokenizer
        if isinstance(prompt, str):
            ids, ends = tokenizer.encode_with_ends(prompt)
            starts, begins, last = [], 0, 0
            for end in ends:
                # Parts of one character end together: they begin together too.
                begins, last = (last, end) if end > last else (begins, last)
                starts.append(begins)
            return prompt, ids, starts
        running = RunningText(tokenizer)
        for token in prompt:
            running.push(token)
        running.finish()
        return running.text, list(prompt), running.starts


def _shifted(piece: Piece, by: int) -> Piece:
    """A piece of text that stands after an echoed prompt."""
    return replace(piece, tokens=tuple(replace(score, start=score.start + by) for score in piece.tokens))


def _usage(asked: Completion, jobs: Sequence[Job], written: int) -> dict[str, int]:
    """Tokens read (each prompt once, however many answers it has) and written."""
    read = sum(job.read for job in jobs[:: asked.n])
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _length(prompt: Any) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    return sum(len(item["content"]) if isinstance(item, dict) else 1 for item in prompt)


def _failed(error: Exception) -> Any:
    if isinstance(error, LijuError):
        return error_body(error, 500)
    if not isinstance(error, asyncio.CancelledError):
        log.error("a streamed answer failed", exc_info=error)
    return error_body(LijuError("the server failed to answer this", "its log says why"), 500)
