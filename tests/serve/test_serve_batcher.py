"""The queue: together as alone, never twice at once, nobody starved or lost."""

from __future__ import annotations

import asyncio

import pytest
from echo import Reviews
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.serve import Batcher, Stopping


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.text("好坏", max_size=3), min_size=1, max_size=5), st.integers(0, 2)),
        max_size=12,
    )
)
def test_together_is_alone_in_order_and_by_options(asked):
    calls = []

    def predict(texts, *, times=1):
        calls.append((len(texts), times))
        return [text * times for text in texts]

    async def run():
        batcher = Batcher(predict, max_batch=7)
        answers = await asyncio.gather(
            *(batcher.ask(texts, options={"times": times}) for texts, times in asked)
        )
        await batcher.stop()
        return answers

    assert asyncio.run(run()) == [[text * times for text in texts] for texts, times in asked]
    assert all(count <= 7 for count, _ in calls)
    # All came at once: no more calls than full batches of each kind of options need.
    for times in range(3):
        number = sum(len(texts) for texts, kind in asked if kind == times)
        assert sum(1 for _, kind in calls if kind == times) == -(-number // 7)


def test_one_thread_one_call_at_a_time_and_batches_under_load():
    model = Reviews(seconds=0.01)

    async def run():
        batcher = Batcher(model.predict, max_batch=16)

        async def later(at):
            await asyncio.sleep(at * 0.001)
            return await batcher.ask([str(at)])

        answers = await asyncio.gather(*map(later, range(40)))
        await batcher.stop()
        return answers

    assert asyncio.run(run()) == [[Reviews.answer(str(at))] for at in range(40)]
    assert len(model.threads) == 1 and sum(model.calls) == 40 and len(model.calls) < 20


def test_stop_answers_what_waits_and_takes_no_more():
    async def run():
        batcher = Batcher(Reviews(seconds=0.02).predict, max_batch=1)
        waiting = [asyncio.create_task(batcher.ask([text])) for text in "abc"]
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        with pytest.raises(Stopping):
            await batcher.ask(["late"])
        await stopping
        return [await task for task in waiting]

    assert asyncio.run(run()) == [[Reviews.answer(text)] for text in "abc"]


def test_the_oldest_goes_first_whatever_its_options():
    calls = []

    def predict(texts, *, times=1):
        calls.append((texts, times))
        return texts

    async def run():
        batcher = Batcher(predict, max_batch=2)
        asked = [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 1)]
        await asyncio.gather(*(batcher.ask([text], options={"times": times}) for text, times in asked))
        await batcher.stop()

    asyncio.run(run())
    assert calls == [(["a", "c"], 1), (["b"], 2), (["d", "e"], 1)]


def test_who_goes_away_is_not_worked_for():
    model = Reviews(seconds=0.03)

    async def run():
        batcher = Batcher(model.predict, max_batch=2)
        first = asyncio.create_task(batcher.ask(["first"]))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(batcher.ask(["gone"] * 20))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        last = await batcher.ask(["last"])
        await batcher.stop()
        return last

    assert asyncio.run(run()) == [Reviews.answer("last")]
    assert sum(model.calls) == 2


def test_a_wrong_number_of_answers_is_an_error_not_a_mix_up():
    async def run():
        batcher = Batcher(lambda texts: texts[:-1])
        with pytest.raises(RuntimeError, match="0 answers for 1 texts"):
            await batcher.ask(["a", "b"])
        await batcher.stop()

    asyncio.run(run())
