"""One worker, and the queue before it: requests that wait together are answered together.

The model is called by one thread only, never twice at once. While it works, texts gather; the next call
takes those with the same options, oldest first. Batches grow with the load; a lone request does not wait.
What waits need not be texts: with `call`, anything that this function answers goes the same way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from liju.errors import LijuError

__all__ = ["Batcher", "Overloaded", "Stopping"]

Predict = Callable[..., Sequence[Any]]


class Overloaded(LijuError):
    """The queue is full; `retry_after` is a fair number of seconds to wait."""

    retry_after = 1


class Stopping(LijuError):
    """The server is going down and takes no more work."""


@dataclass
class Waiting:
    """One text in the queue. Texts are answered in one call when their `kind` is the same."""

    text: Any
    pair: str | None
    options: Mapping[str, Any]
    answer: asyncio.Future[Any]
    call: Predict
    kind: Hashable = field(init=False)

    def __post_init__(self) -> None:
        self.kind = (self.call, self.pair is None, repr(sorted(self.options.items())))


class Batcher:
    """A bounded queue before `predict(texts, **options)`, called on one thread.

    At most `max_waiting` texts wait (then Overloaded), at most `max_batch` go into one call. An error in a
    call of several texts is found out by asking each alone, so that nobody fails for a neighbour.

    >>> async def ask():
    ...     batcher = Batcher(lambda texts: [{"length": len(text)} for text in texts])
    ...     answers = await batcher.ask(["例句", "one"])
    ...     await batcher.stop()
    ...     return answers
    >>> asyncio.run(ask())
    [{'length': 2}, {'length': 3}]
    """

    def __init__(self, predict: Predict, max_batch: int = 32, max_waiting: int = 1024):
        self.predict = predict
        self.max_batch = max_batch
        self.max_waiting = max_waiting
        self.calls = 0
        self.answered = 0
        self.seconds = 0.0
        self._queue: deque[Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="liju-model")
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Texts in the queue, without those being answered."""
        return len(self._queue)

    async def ask(
        self,
        texts: Sequence[Any],
        pairs: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        call: Predict | None = None,
    ) -> list[Any]:
        """The answers, in the order of the texts. Raises Overloaded, Stopping, or what `predict` raised.

        call: what answers these, on the same thread and in the same queue (None: `predict`).
        """
        if self._stopping:
            raise Stopping("the server is stopping", hint="ask another one, or again in a moment")
        if len(self._queue) + len(texts) > self.max_waiting:
            raise Overloaded(
                f"{len(self._queue)} texts are waiting already", hint="wait a moment and ask again"
            )
        loop = asyncio.get_running_loop()
        waiting = [
            Waiting(
                text, pairs[at] if pairs else None, options or {}, loop.create_future(), call or self.predict
            )
            for at, text in enumerate(texts)
        ]
        self._queue.extend(waiting)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        try:
            return list(await asyncio.gather(*(one.answer for one in waiting)))
        finally:
            # One failed or the asker is gone: its other texts need no answer.
            for one in waiting:
                one.answer.cancel()

    async def stop(self) -> None:
        """Take no more, answer what waits, and let the thread go."""
        self._stopping = True
        if self._worker is not None:
            await self._worker
        self._thread.shutdown(wait=True)

    async def _work(self) -> None:
        # Requests that came in the same moment are read one after the other: let them all in.
        await asyncio.sleep(0)
        while batch := self._next():
            await self._answer(batch)

    def _next(self) -> list[Waiting]:
        """The oldest text and those that can go with it; the others keep their places."""
        batch: list[Waiting] = []
        later: deque[Waiting] = deque()
        while self._queue and len(batch) < self.max_batch:
            one = self._queue.popleft()
            if one.answer.done():
                continue
            if not batch or one.kind == batch[0].kind:
                batch.append(one)
            else:
                later.append(one)
        self._queue = later + self._queue
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            start = loop.time()
            answers = await loop.run_in_executor(self._thread, self._call, batch)
            self.seconds += loop.time() - start
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self.answered += len(batch)
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)

    def _call(self, batch: list[Waiting]) -> list[Any]:
        self.calls += 1
        options = dict(batch[0].options)
        if batch[0].pair is not None:
            options["pairs"] = [one.pair for one in batch]
        answers = list(batch[0].call([one.text for one in batch], **options))
        if len(answers) != len(batch):
            raise RuntimeError(f"the model gave {len(answers)} answers for {len(batch)} texts")
        return answers
