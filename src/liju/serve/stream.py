"""Server-sent events from a thread that writes to a client that may hang up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

__all__ = ["Channel", "event_bytes", "event_stream"]


def event_bytes(value: Any) -> bytes:
    r"""One event. Everything beyond ASCII is escaped: some readers end a line at U+2028.

    >>> event_bytes({"text": "例\u2028"})
    b'data: {"text": "\\u4f8b\\u2028"}\n\n'
    """
    text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    return f"data: {text}\n\n".encode()


class Channel:
    """From the model's thread to one client: `put` there, read here; `gone` tells the thread to stop.

    >>> async def talk():
    ...     channel = Channel()
    ...     async def work():
    ...         await asyncio.to_thread(channel.put, "a")
    ...     return [item async for item in channel.read(work())]
    >>> asyncio.run(talk())
    ['a']
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._gone = threading.Event()

    def gone(self) -> bool:
        """Nobody reads any more."""
        return self._gone.is_set()

    def put(self, item: Any) -> None:
        """From any thread."""
        if not self._gone.is_set():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def read(self, work: Awaitable[Any]) -> AsyncGenerator[Any, None]:
        """What is put while `work` is awaited, in order. Raises what `work` raises."""
        task = asyncio.ensure_future(work)
        getter: asyncio.Future[Any] | None = None
        try:
            while True:
                getter = asyncio.ensure_future(self._queue.get())
                await asyncio.wait((task, getter), return_when=asyncio.FIRST_COMPLETED)
                if getter.done():
                    yield getter.result()
                    continue
                getter.cancel()
                # The last items were put before the work was done.
                await asyncio.sleep(0)
                while not self._queue.empty():
                    yield self._queue.get_nowait()
                await task
                return
        finally:
            self._gone.set()
            if getter is not None:
                getter.cancel()
            task.cancel()


async def event_stream(
    first: Any,
    rest: AsyncGenerator[Any, None],
    shape: Callable[[Any], Any],
    last: Callable[[], Iterable[Any]],
    failed: Callable[[Exception], Any],
) -> AsyncIterator[bytes]:
    """The items as events, then those of `last`, then [DONE]; after an error its event, and no [DONE]."""
    try:
        if first is not None:
            yield event_bytes(shape(first))
        async for item in rest:
            yield event_bytes(shape(item))
        for value in last():
            yield event_bytes(value)
        yield event_bytes("[DONE]")
    except Exception as error:
        yield event_bytes(failed(error))
    finally:  # the client may have hung up
        await rest.aclose()
