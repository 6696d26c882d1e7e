"""What a server may do wrong: each with an end, a message, and no more tries than make sense."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import pytest
from fake_server import FakeServer, answer, events

from liju.errors import RemoteError, RequestError
from liju.prompt import Backoff, LanguageModel, RateLimit, RemoteModel


@pytest.fixture
def remote():
    """Makes a model of a fake server; its waits are noted, not waited."""
    made = []

    def remote(server: FakeServer, **options) -> RemoteModel:
        waits, now = [], [0.0]

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            now[0] += seconds

        limit = RateLimit(clock=lambda: now[0], sleep=sleep)
        options = {"sleep": sleep, "limit": limit, "backoff": Backoff(1.0, 8.0, random.Random(0)), **options}
        model = RemoteModel(server.url, "m", **options)
        model.waits = waits  # type: ignore[attr-defined]
        made.append(model)
        return model

    yield remote
    for model in made:
        model.close()


def error_of(run) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        run()
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return caught.value


def test_what_is_sent(remote):
    with FakeServer(answer()) as server:
        model = remote(server, extra={"seed": None, "top_k": 5})
        assert isinstance(model, LanguageModel)
        found = model.generate(["Go"], max_new_tokens=7, temperature=0.5, top_p=0.9, stop=["."], seed=3)
        assert (found[0].text, found[0].finish, found[0].tokens, found[0].logprobs) == (
            " home",
            "stop",
            2,
            None,
        )
        assert server.asked == [
            {
                "path": "/v1/completions",
                "model": "m",
                "prompt": "Go",
                "max_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
                "stop": ["."],
                "top_k": 5,
            }
        ]
        assert "Authorization" not in server.headers[0]
        with pytest.raises(RequestError, match="one text"):
            model.generate("Go")
        with pytest.raises(RequestError, match="one text"):
            model.score("Go", " home")


def test_a_conversation_goes_to_chat(remote):
    told = {"content": [{"token": "Hi", "logprob": -0.5}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}
    with FakeServer({"choices": [{**choice, "logprobs": told}]}) as server:
        for prompt, api in (("Hello", "chat"), ([{"role": "user", "content": "Hello"}], "completions")):
            (found,) = remote(server, api=api).generate([prompt], logprobs=True)
            assert (found.text, found.finish, found.logprobs, found.tokens) == ("Hi", "length", (-0.5,), 1)
        assert server.asked[0] == server.asked[1]
        assert server.asked[0]["path"] == "/v1/chat/completions"
        assert server.asked[0]["messages"] == [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_with_longer_waits(status, remote):
    busy = (status, {"error": {"message": "busy"}}, {})
    with FakeServer(busy, busy, busy, answer()) as server:
        model = remote(server)
        assert model.generate(["Go"])[0].text == " home"
        assert len(server.asked) == 4 and model.usage.retries == 3 and model.usage.requests == 1
        assert all(2**k / 2 <= wait <= 2**k for k, wait in enumerate(model.waits))


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "20"}, 20), ({"retry-after-ms": "9500"}, 9.5)]
)
def test_retry_after_is_kept_to(headers, seconds, remote):
    with FakeServer((429, {"error": {"message": "slow down"}}, headers), answer()) as server:
        model = remote(server)
        paused = []
        model._connection.limit.pause = paused.append
        assert model.generate(["Go"])[0].text == " home"
        assert model.waits == paused == [seconds]


def test_a_wait_that_is_too_long_ends_at_once(remote):
    with FakeServer((429, {"error": {"message": "tomorrow"}}, {"Retry-After": "86400"})) as server:
        model = remote(server)
        error = error_of(lambda: model.generate(["Go"]))
        assert error.attempts == 1 and model.waits == [] and "86400" in error.hint


def test_an_error_says_status_request_and_tries(remote):
    broken = (500, {"error": {"message": "out of\n order"}}, {"X-Request-Id": "req_7"})
    with FakeServer(broken) as server:
        error = error_of(lambda: remote(server, retries=2).generate(["Go"]))
        assert (error.status, error.request_id, error.attempts) == (500, "req_7", 3)
        assert str(error) == f"{server.url}/completions: 500: out of order (3 tries) [request req_7]"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, {"error": {"message": "max_tokens is too large"}}, "too large"),
        (401, {"error": {"message": "no key"}}, "OPENAI_API_KEY"),
        (403, {"detail": "not you"}, "OPENAI_API_KEY"),
        (404, {"error": {"message": "no model m"}}, "name of the model"),
        (422, {"detail": [{"msg": "field required"}]}, "field required"),
        (429, {"error": {"message": "pay first", "code": "insufficient_quota"}}, "pay first"),
        (302, b"<html>", "302"),
    ],
)
def test_what_will_not_mend_is_not_asked_again(status, body, words, remote):
    with FakeServer((status, body, {"Location": "http://192.0.2.1/"})) as server:
        error = error_of(lambda: remote(server).generate(["Go"]))
        assert error.status == status and words in str(error) + error.hint
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "step",
    [
        b'{"choices": [{"te',
        b"<html>busy</html>",
        b"[]",
        (200, b'{"choices": []}', {"Content-Length": "900"}),
        (200, None, {}),
    ],
    ids=["half", "html", "list", "cut off", "no word"],
)
def test_half_an_answer_is_asked_for_again(step, remote):
    with FakeServer(step, answer()) as server:
        model = remote(server)
        assert model.generate(["Go"])[0].text == " home"
        assert model.usage.retries == 1
    with FakeServer(step) as server:
        assert error_of(lambda: remote(server, retries=1).generate(["Go"])).attempts == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": None},
        {"choices": [{"text": 7}]},
        {"choices": [{"text": "a"}] * 2},
    ],
)
def test_json_of_another_shape_is_told(body, remote):
    with FakeServer(body) as server:
        error = error_of(lambda: remote(server).generate(["Go"]))
        assert "/completions: " in str(error) and error.status == 200 and len(server.asked) == 1


def test_no_answer_in_time(remote):
    with FakeServer(answer(), hang=0.3) as server:
        started = time.monotonic()
        error = error_of(lambda: remote(server, timeout=0.05, retries=2).generate(["Go"]))
        assert "no answer within 0.05 seconds (3 tries)" in str(error) and error.status is None
        assert time.monotonic() - started < 2


def test_nobody_listens(remote):
    with FakeServer(answer()) as server:
        pass
    error = error_of(lambda: remote(server, retries=1).generate(["Go"]))
    assert "ConnectError" in str(error) and error.attempts == 2


def test_a_stream(remote):
    text = [" a\u2028b", "", "例", "🙂"]
    with FakeServer(events(*text)) as server:
        model = remote(server)
        assert list(model.stream("Go")) == [" a\u2028b", "例", "🙂"]
        assert server.asked[0]["stream"] is True
    with FakeServer(events(*text, done=False)) as server:  # transformers says no [DONE]
        assert "".join(remote(server).stream("Go")) == " a\u2028b例🙂"


def test_a_stream_that_breaks_off(remote):
    torn = events(" a", " b", done=False, finish=None)
    cut = (200, torn, {"Content-Length": str(len(torn) + 50)})
    for step in (torn, cut, torn + b"data: {\n\n", torn + b'data: {"error": {"message": "lost"}}\n\n'):
        with FakeServer(step) as server:
            found = []
            error = error_of(lambda found=found, server=server: found.extend(remote(server).stream("Go")))
            assert found == [" a", " b"] and len(server.asked) == 1, error
    with FakeServer((500, {}, {}), (200, b": x\n\ndata: {", {}), events(" a")) as server:
        model = remote(server)  # before anything was shown it is asked for again
        assert list(model.stream("Go")) == [" a"] and model.usage.retries == 2
    with FakeServer(answer()) as server:
        assert "not a stream" in str(error_of(lambda: list(remote(server).stream("Go"))))


def test_who_reads_no_further_lets_the_connection_go(remote):
    with FakeServer(events(*["a"] * 9)) as server:
        model = remote(server)
        for piece in model.stream("Go"):
            assert piece == "a"
            break
        assert "".join(model.stream("Go")) == "a" * 9


def test_order_and_bound_of_what_is_under_way(remote):
    class Echo(FakeServer):
        def handle(self, handler):
            time.sleep(random.random() / 50)
            super().handle(handler)

    with Echo(answer(), hang=0.01) as server:
        model = remote(server, concurrency=3)
        model.generate([str(i) for i in range(12)])
        assert 1 < server.most_at_once <= 3
        assert sorted(int(asked["prompt"]) for asked in server.asked) == list(range(12))


def test_answers_stand_in_the_order_of_the_prompts(remote):
    class Mirror(FakeServer):
        def handle(self, handler):
            with threading.Lock():
                super().handle(handler)

    script = [answer()]
    with Mirror(*script) as server:
        model = remote(server, concurrency=4)
        ask = model._connection.ask
        model._connection.ask = lambda path, body, tokens: (  # type: ignore[method-assign]
            ask(path, body, tokens) | answer(body["prompt"] + "!")
        )
        found = model.generate([str(i) for i in range(9)])
        assert [one.text for one in found] == [f"{i}!" for i in range(9)]


def test_the_first_that_fails_ends_the_others(remote):
    with FakeServer((400, {"error": {"message": "no"}}, {}), hang=0.02) as server:
        error_of(lambda: remote(server, concurrency=1).generate(["a"] * 50))
        assert len(server.asked) < 5


def test_usage_and_cost(remote):
    with FakeServer(answer(), answer(), {"choices": [{"text": "x"}]}) as server:
        model = remote(server, prices=(10.0, 30.0), concurrency=1)
        model.generate(["a", "b", "c"])
        usage = model.usage
        assert (usage.requests, usage.prompt_tokens, usage.completion_tokens) == (3, 6, 4)
        assert usage.uncounted == 1 and usage.cost == pytest.approx((6 * 10 + 4 * 30) / 1e6)


def test_n_answers_of_each_prompt(remote):
    choices = [{"index": i, "text": f"{i}", "finish_reason": "length"} for i in (1, 0, 2)]
    with FakeServer({"choices": choices}) as server:
        found = remote(server).generate(["a", "b"], n=3)
        assert [one.text for one in found] == ["0", "1", "2"] * 2 and server.asked[0]["n"] == 3


def told(text, tokens, figures, offsets=None, best=None):
    logprobs = {"tokens": tokens, "token_logprobs": figures, "top_logprobs": best}
    if offsets:
        logprobs["text_offset"] = offsets
    return {"choices": [{"index": 0, "text": text, "logprobs": logprobs}]}


@pytest.mark.parametrize(
    ("body", "tokens", "figures"),
    [
        # what is written after the continuation is left out
        (told("ab cd!", ["ab", " c", "d", "!"], [None, -1.0, -2.0, -9.0]), (" c", "d"), (-1.0, -2.0)),
        # a token of both sides belongs to the continuation
        (told("ab cd", ["a", "b c", "d"], [None, -1.0, -2.0]), ("b c", "d"), (-1.0, -2.0)),
        # a token that begins every text
        (told("ab cd", ["<s>", "ab", " cd"], [None, -3.0, -1.5]), (" cd",), (-1.5,)),
        # parts of characters: the server says where they are
        (
            told("ab cd", ["ab", "bytes: ", "bytes:c", "d"], [None, -1.0, -2.0, -4.0], [0, 2, 2, 4]),
            ("bytes: ", "bytes:c", "d"),
            (-1.0, -2.0, -4.0),
        ),
    ],
)
def test_a_score_is_read_from_an_echo(body, tokens, figures, remote):
    with FakeServer(body) as server:
        (score,) = remote(server).score("ab", [" cd"])
        assert (score.tokens, score.logprobs) == (tokens, figures) and score.logprob == sum(figures)
        asked = server.asked[0]
        assert (asked["prompt"], asked["echo"], asked["logprobs"]) == ("ab cd", True, 1)


def test_greedy_is_what_no_other_token_beats(remote):
    best = [None, {" c": -1.0, "x": -1.5}, {"e": -1.0, "d": -2.0}]
    with FakeServer(told("ab cd", ["ab", " c", "d"], [None, -1.0, -2.0], best=best)) as server:
        (score,) = remote(server).score("ab", [" cd"])
        assert score.greedy is False
        (score,) = remote(server).score("ab c", ["d"])
        assert score.greedy is False
    best[2] = {"d": -2.0}
    with FakeServer(told("ab cd", ["ab", " c", "d"], [None, -1.0, -2.0], best=best)) as server:
        assert remote(server).score("ab", [" cd"])[0].greedy is True


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (answer("!"), "does not echo"),
        (answer("ab cd!"), "no probabilities"),
        (told("ab cd", ["ab", " cd"], [None]), "more tokens"),
        (told("ab cd", ["ab cd"], [None]), "first token"),
        (told("ab cd!", ["ab", " c", "d!"], [None, -1.0, -2.0]), "joins the continuation"),
        (told("ab cd", ["a?", "b", " cd"], [None, -1.0, -2.0]), "where its tokens are"),
        (told("ab cd", ["a?", "b", " cd"], [None, -1.0, -2.0], [0, 4, 1]), "where its tokens are"),
        ((400, {"error": {"message": "echo is not supported"}}, {}), "echo is not supported"),
    ],
)
def test_a_server_without_probabilities_says_so(body, words, remote):
    with FakeServer(body) as server:
        error = error_of(lambda: remote(server).score("ab", [" cd"]))
        assert words in str(error) and "generate works" in error.hint and len(server.asked) == 1
    with pytest.raises(RequestError, match="no token"):
        remote(server).score("ab", [""])


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://a/v1", "http://", "http://a:b@c/v1", "http://a/v1?key=1", "http://[::1/v1"],
)
def test_an_address_that_cannot_be_used(url):
    with pytest.raises(RequestError) as error:
        RemoteModel(url, "m")
    assert "key=1" not in str(error.value) and "a:b" not in str(error.value)


def test_options_that_cannot_be():
    wrong: list[dict[str, Any]] = [{"api": "completion"}, {"concurrency": 0}, {"timeout": 0}, {"retries": -1}]
    for options in wrong:
        with pytest.raises(RequestError):
            RemoteModel("http://127.0.0.1:1/v1", "m", **options)


def test_models_of_a_server(remote):
    with FakeServer({"data": [{"id": "a"}, {"id": "b"}]}, {"data": 7}) as server:
        model = remote(server)
        assert model.models() == ["a", "b"] and model.usage.uncounted == 0
        assert "no list" in str(error_of(model.models))
        assert json.loads(json.dumps(server.asked[0])) == {"path": "/v1/models"}
