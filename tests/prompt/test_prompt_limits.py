"""Limits are never broken, whatever is asked, and waits are no longer than they must be."""

from __future__ import annotations

import random
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from liju.prompt import Backoff, RateLimit
from liju.prompt.limits import retry_after


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(
    requests=st.none() | st.integers(1, 5),
    tokens=st.none() | st.integers(10, 100),
    asked=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 60)), max_size=30),
)
def test_no_minute_holds_more_than_was_allowed(requests, tokens, asked):
    clock = Clock()
    limit = RateLimit(requests, tokens, clock, clock.sleep)
    went = []
    for pause, amount in asked:
        clock.now += pause
        limit.acquire(amount)
        went.append((clock.now, amount))
    for start, _ in went:
        inside = [amount for when, amount in went if start <= when < start + 60 - 1e-9]
        assert requests is None or len(inside) <= requests
        assert tokens is None or sum(inside) <= tokens or len(inside) == 1


def test_what_was_really_used_counts():
    clock = Clock()
    limit = RateLimit(tokens=100, clock=clock, sleep=clock.sleep)
    limit.correct(limit.acquire(90), 10)
    limit.acquire(90)
    assert clock.now == 0
    limit.acquire(5)
    assert clock.now == 60


def test_a_pause_holds_everybody_and_passes():
    clock = Clock()
    limit = RateLimit(clock=clock, sleep=clock.sleep)
    limit.acquire(1)
    limit.pause(7)
    limit.pause(3)
    limit.acquire(1)
    assert clock.now == 7


def test_threads_share_a_limit():
    """Real time: 40 threads, 10 of them may go in the first minute."""
    limit = RateLimit(requests=10)
    went = []
    threads = [
        threading.Thread(target=lambda: (limit.acquire(1), went.append(1)), daemon=True) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert len(went) == 10


@given(st.integers(1, 200), st.floats(0.01, 10), st.floats(0.01, 100), st.integers(0, 5))
def test_backoff_doubles_up_to_its_bound(attempt, first, most, seed):
    wait = Backoff(first, most, random.Random(seed)).wait(attempt)
    longest = min(most, first * 2.0 ** min(attempt - 1, 60))
    assert longest / 2 <= wait <= longest


def test_callers_that_were_refused_together_come_apart():
    backoff = Backoff()
    assert len({backoff.wait(3) for _ in range(20)}) > 15


def test_retry_after_reads_seconds_and_dates():
    now = time.mktime(time.gmtime(0)) * 0 + 1_000_000_000
    assert retry_after("3") == 3 and retry_after("0.5") == 0.5 and retry_after("-4") == 0
    assert retry_after("Sun, 09 Sep 2001 01:46:47 GMT", lambda: now) == 7
    assert retry_after("Sat, 08 Sep 2001 01:46:47 GMT", lambda: now) == 0
    for value in ("soon", "nan", "inf", "", "Sun, 99 Sep 2001"):
        assert retry_after(value) is None
