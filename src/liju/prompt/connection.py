"""One server that speaks OpenAI's HTTP API: its key, its limits, another try, and what it cost.

No message holds the key (key.py), and none has an error of the HTTP library behind it, whose frames hold what
was sent. Redirects are not followed: they could lead the key elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from liju.errors import MissingExtra, RemoteError, RequestError
from liju.prompt.key import Key, Trouble, check_address, is_here
from liju.prompt.limits import Backoff, RateLimit, retry_after
from liju.prompt.sse import event_data

if TYPE_CHECKING:
    import httpx

__all__ = ["Connection", "Usage"]

log = logging.getLogger("liju.prompt")

# Worth another try: the server was slow, busy, or down for a moment.
_AGAIN = frozenset([408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])
# Refusals that another try does not mend, whatever their status.
_FINAL = frozenset(["insufficient_quota", "billing_hard_limit_reached", "access_terminated"])
_LONGEST_BODY = 64 * 2**20


@dataclass(frozen=True)
class Usage:
    """What was asked so far: requests that were answered, further tries, tokens as the server counted them,
    and their price. `uncounted` are answers for which the server gave no count."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    cost: float = 0.0


@dataclass
class Connection:
    """Asks one server. Safe to use from many threads.

    prices: of a million prompt tokens and of a million written ones, in any currency; `usage.cost` is in it.
    longest_wait: seconds; where the server says to wait longer, the request fails at once.

    Raises RequestError for an address that cannot be used, MissingExtra without httpx.
    """

    base_url: str
    api_key_env: str | None = "OPENAI_API_KEY"
    timeout: float = 60.0
    retries: int = 5
    limit: RateLimit = field(default_factory=RateLimit)
    backoff: Backoff = field(default_factory=Backoff)
    longest_wait: float = 120.0
    prices: tuple[float, float] = (0.0, 0.0)
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingExtra("httpx", extra="remote") from None
        here = is_here(check_address(self.base_url))
        self.base_url = self.base_url.rstrip("/")
        self._key = Key(self.api_key_env, here)
        if self.timeout <= 0 or self.retries < 0:
            raise RequestError("timeout must be above 0, and retries not below")
        self.usage = Usage()
        self._lock = threading.Lock()
        # A proxy has no business between this machine and itself.
        self._http = httpx.Client(
            timeout=httpx.Timeout(self.timeout, connect=min(10.0, self.timeout)),
            auth=self._key.auth(),
            trust_env=not here,
            verify=self.base_url.startswith("https"),  # reading all certificates takes half a second
            headers={"User-Agent": "liju"},
        )

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def ask(self, path: str, body: Mapping[str, Any] | None = None, tokens: float = 0) -> dict[str, Any]:
        """The JSON that the server answers to a POST of `body` (a GET where there is none).

        `tokens` is about how many the request will use, for the rate limit. Raises RemoteError.
        """
        return self._again(path, tokens, lambda booking: self._once(path, body, booking))

    def events(self, path: str, body: Mapping[str, Any], tokens: float = 0) -> Iterator[dict[str, Any]]:
        """The JSON of each event that the server streams, to the last.

        A stream that fails before its first event is asked for again; one that ends before it is finished
        raises RemoteError.
        """

        def begin(booking: list[float]) -> tuple[dict[str, Any] | None, Iterator[dict[str, Any]]]:
            # The generator closes the answer, also when nobody reads on.
            stream = self._stream(path, body, booking)
            return next(stream, None), stream

        first, stream = self._again(path, tokens, begin)
        with contextlib.closing(stream):  # type: ignore[type-var]
            if first is not None:
                yield first
                try:
                    yield from stream
                except Trouble as trouble:
                    problem = trouble.with_traceback(None)
                else:
                    return
                raise self._error(path, problem, 1)

    def _again(self, path: str, tokens: float, once: Callable[[list[float]], Any]) -> Any:
        for attempt in range(1, self.retries + 2):
            booking = self.limit.acquire(tokens)
            try:
                result = once(booking)
            except Trouble as trouble:
                problem = trouble.with_traceback(None)
            else:
                with self._lock:
                    self.usage = replace(self.usage, requests=self.usage.requests + 1)
                return result
            # Outside of the handler: what is raised here has no other error behind it.
            wait = max(self.backoff.wait(attempt), problem.wait or 0.0)
            if not problem.again or attempt > self.retries or wait > self.longest_wait:
                raise self._error(path, problem, attempt)
            log.info("%s%s: %s; try %d in %.1f s", self.base_url, path, problem.what, attempt + 1, wait)
            with self._lock:
                self.usage = replace(self.usage, retries=self.usage.retries + 1)
            if problem.status == 429:
                self.limit.pause(wait)  # others would be refused too
            self.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, path: str, body: Mapping[str, Any] | None, booking: list[float]) -> dict[str, Any]:
        with self._response(path, body) as response:
            whole = self._key.hide_bytes(self._read(response))
            status, headers = response.status_code, response.headers
        try:
            answer = json.loads(whole)
        except (ValueError, RecursionError):
            answer = None
        if status != 200:
            raise self._refusal(status, headers, answer, whole)
        if not isinstance(answer, dict):
            raise Trouble("the answer is not a JSON object", status=status, request_id=self._id(headers))
        if body is not None:
            self._count(answer.get("usage"), booking)
        return answer

    def _stream(self, path: str, body: Mapping[str, Any], booking: list[float]) -> Iterator[dict[str, Any]]:
        with self._response(path, body) as response:
            status, headers = response.status_code, response.headers
            if status != 200:
                whole = self._key.hide_bytes(self._read(response))
                try:
                    answer = json.loads(whole)
                except (ValueError, RecursionError):
                    answer = None
                raise self._refusal(status, headers, answer, whole)
            if "text/event-stream" not in headers.get("content-type", ""):
                raise Trouble("the answer is not a stream of events", again=False, status=status)
            usage: Any = None
            finished = False
            for data in event_data(_guarded(response.iter_bytes())):
                if data.strip() == "[DONE]":
                    finished = True
                    break
                try:
                    event = json.loads(self._key.hide(data))
                except ValueError:
                    event = None
                if not isinstance(event, dict):
                    raise Trouble(
                        "an event is not a JSON object", status=status, request_id=self._id(headers)
                    )
                if event.get("error"):
                    raise self._refusal(status, headers, event, b"")
                usage = event.get("usage") or usage
                # Not every server says [DONE].
                finished = finished or any(one.get("finish_reason") for one in event.get("choices") or ())
                yield event
            if not finished:
                what = "the stream ended before it was finished"
                raise Trouble(what, status=status, request_id=self._id(headers))
            self._count(usage, booking)

    @contextlib.contextmanager
    def _response(self, path: str, body: Mapping[str, Any] | None) -> Iterator[httpx.Response]:
        """The head of an answer. What goes wrong on the way is a Trouble without its cause: the frames of an
        HTTP library hold the headers that were sent."""
        import httpx

        problem: Trouble | None = None
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            url = f"{self.base_url}{path}"
            with self._http.stream(method, url, content=content, headers=headers) as response:
                yield response
        except Trouble as trouble:
            problem = trouble
        except httpx.TimeoutException:
            problem = Trouble(f"no answer within {self.timeout:g} seconds")
        except httpx.TransportError as error:
            problem = Trouble(self._key.hide(f"{type(error).__name__}: {error}".rstrip(": ")))
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            problem = Trouble(self._key.hide(str(error)), again=False)
        if problem is not None:
            raise problem

    def _read(self, response: httpx.Response) -> bytes:
        """A whole body. A server that sends a byte now and then does not hold us longer than `timeout`."""
        deadline, parts, size = time.monotonic() + self.timeout, [], 0
        for part in response.iter_bytes():
            size += len(part)
            parts.append(part)
            if size > _LONGEST_BODY:
                raise Trouble(f"the answer is longer than {_LONGEST_BODY} bytes", again=False)
            if time.monotonic() > deadline:
                raise Trouble(f"no whole answer within {self.timeout:g} seconds")
        return b"".join(parts)

    def _refusal(self, status: int, headers: Any, answer: Any, body: bytes) -> Trouble:
        """What an answer that is no answer says, in the shapes that servers use."""
        told = answer.get("error", answer.get("detail", answer)) if isinstance(answer, dict) else answer
        code = str(told.get("code") or told.get("type") or "") if isinstance(told, dict) else ""
        if isinstance(told, dict):
            told = told.get("message") or json.dumps(told)
        if told is None:
            told = body[:4096].decode("utf-8", "replace")
        waits = [headers.get("retry-after-ms"), headers.get("retry-after")]
        seconds = [
            found / (1000 if at == 0 else 1)
            for at, value in enumerate(waits)
            if value and (found := retry_after(value)) is not None
        ]
        again = (status in _AGAIN or status == 200) and code not in _FINAL
        text = " ".join(str(told).split())[:300]
        where = f"{status}" if status != 200 else "an error within the answer"
        return Trouble(
            f"{where}: {text}" if text else where,
            again=again,
            status=status,
            request_id=self._id(headers),
            wait=seconds[0] if seconds else None,
        )

    def _id(self, headers: Any) -> str:
        return self._key.hide(headers.get("x-request-id", ""))[:100]

    def _error(self, path: str, trouble: Trouble, attempts: int) -> RemoteError:
        times = f" ({attempts} tries)" if attempts > 1 else ""
        request = f" [request {trouble.request_id}]" if trouble.request_id else ""
        return RemoteError(
            f"{self.base_url}{path}: {trouble.what}{times}{request}",
            self._hint(trouble),
            status=trouble.status,
            request_id=trouble.request_id,
            attempts=attempts,
        )

    def _hint(self, trouble: Trouble) -> str:
        if trouble.status in (401, 403):
            return self._key.hint()
        if trouble.wait is not None and trouble.wait > self.longest_wait:
            return f"the server says to wait {trouble.wait:.0f} seconds"
        if trouble.status == 404:
            return "is the address right (it ends in /v1 mostly), and the name of the model?"
        return ""

    def _count(self, usage: Any, booking: list[float]) -> None:
        counts = [usage.get(name) if isinstance(usage, dict) else None for name in _COUNTS]
        known = isinstance(counts[0], int)
        read, wrote = (count if isinstance(count, int) else 0 for count in counts)
        if known:
            self.limit.correct(booking, read + wrote)
        with self._lock:
            self.usage = replace(
                self.usage,
                prompt_tokens=self.usage.prompt_tokens + read,
                completion_tokens=self.usage.completion_tokens + wrote,
                uncounted=self.usage.uncounted + (not known),
                cost=self.usage.cost + (read * self.prices[0] + wrote * self.prices[1]) / 1e6,
            )


_COUNTS = ("prompt_tokens", "completion_tokens")


def _guarded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a stream; its total length is bounded."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _LONGEST_BODY:
            raise Trouble(f"the answer is longer than {_LONGEST_BODY} bytes", again=False)
        yield chunk
