r"""How fast to ask: never more in a minute than was allowed, and longer waits after each refusal."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from email.utils import parsedate_to_datetime

__all__ = ["Backoff", "RateLimit", "retry_after"]

_WINDOW = 60.0


class RateLimit:
    """At most so many requests and tokens in any 60 seconds, over all threads.

    `acquire(tokens)` waits for its turn and books; `correct` puts what was really used in the place of the
    estimate. A request of more tokens than the limit goes alone. `pause` holds everybody back for a while.

    >>> limit = RateLimit(requests=2, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    >>> now, times = [0.0], []
    >>> for _ in range(5):
    ...     _ = limit.acquire(10)
    ...     times.append(now[0])
    >>> times
    [0.0, 0.0, 60.0, 60.0, 120.0]
    """

    def __init__(
        self,
        requests: int | None = None,
        tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ):
        self.requests, self.tokens = requests, tokens
        self._clock, self._sleep = clock, sleep
        self._booked: deque[list[float]] = deque()  # [when, tokens], oldest first
        self._not_before = float("-inf")
        self._lock = threading.Lock()

    def acquire(self, tokens: float) -> list[float]:
        """Wait until a request of about so many tokens may go; what `correct` takes."""
        while True:
            with self._lock:
                wait = self._wait(tokens)
                if wait <= 0:
                    booking = [self._clock(), tokens]
                    self._booked.append(booking)
                    return booking
            self._sleep(wait)

    def correct(self, booking: list[float], tokens: float) -> None:
        """What a request really used."""
        with self._lock:
            booking[1] = tokens

    def pause(self, seconds: float) -> None:
        """Nobody asks for so many seconds."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def _wait(self, tokens: float) -> float:
        now = self._clock()
        while self._booked and self._booked[0][0] + _WINDOW <= now:
            self._booked.popleft()
        wait = self._not_before - now
        if self.requests is not None and len(self._booked) >= self.requests:
            wait = max(wait, self._booked[-self.requests][0] + _WINDOW - now)
        if self.tokens is not None and self._booked:
            used = sum(used for _, used in self._booked)
            for when, amount in self._booked:
                if used + tokens <= self.tokens:
                    break
                used -= amount
                wait = max(wait, when + _WINDOW - now)
        return wait


class Backoff:
    r"""The wait before attempt k = 1, 2, ... of another try: $d_k/2 + U(0, d_k/2)$ seconds with
    $d_k = \min(\mathrm{most}, \mathrm{first} \cdot 2^{k-1})$ (equal jitter; Brooker 2015). Callers that were
    refused together do not come again together.

    >>> backoff = Backoff(first=1.0, most=8.0, luck=random.Random(0))
    >>> all(min(8, 2**k) / 2 <= backoff.wait(k + 1) <= min(8, 2**k) for k in range(9))
    True
    """

    def __init__(self, first: float = 0.5, most: float = 30.0, luck: random.Random | None = None):
        self.first, self.most = first, most
        self._luck = luck or random.Random()

    def wait(self, attempt: int) -> float:
        """Seconds."""
        longest = min(self.most, self.first * 2.0 ** min(attempt - 1, 60))
        return longest / 2 + self._luck.uniform(0, longest / 2)


def retry_after(value: str, now: Callable[[], float] = time.time) -> float | None:
    """The seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3); None where it is neither.

    >>> retry_after("1.5"), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", lambda: 50.0), retry_after("soon")
    (1.5, 10.0, None)
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None
