"""OpenAI's API: its shapes, its errors, its streams, and its own client where that is installed."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest
from openai_answers import error_of

from liju.config import Serve
from liju.serve import create_app, openai
from liju.serve.openai_asked import read_completion

sys.path.insert(0, str(Path(__file__).parents[1] / "prompt"))
from prompt_toys import make

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*httpx.*")
    from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return make(tmp_path_factory.mktemp("writer") / "writer")


@pytest.fixture(scope="module")
def client(loaded):
    with TestClient(create_app(loaded, Serve(max_characters=200), max_texts=12)) as client:
        yield client


def complete(client, **body):
    response = client.post("/v1/completions", json={"temperature": 0, **body})
    assert response.status_code == 200, response.text
    return response.json()


def streamed(client, path, **body):
    with client.stream("POST", path, json={"stream": True, "temperature": 0, **body}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = "".join(response.iter_text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_the_list_of_models(client):
    (one,) = client.get("/v1/models").json()["data"]
    assert (one["id"], one["object"]) == ("writer", "model")


def test_a_completion(client, loaded):
    body = complete(client, prompt="the room", max_tokens=5, model="writer")
    assert (
        body["object"] == "text_completion" and body["id"].startswith("cmpl-") and body["model"] == "writer"
    )
    (choice,) = body["choices"]
    text = loaded.generate("the room", max_new_tokens=5)
    assert choice == {"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert (
        len(complete(client, prompt="the")["choices"][0]["text"])
        and complete(client)["usage"]["prompt_tokens"] == 1
    )


def test_choices_are_ordered_by_prompt_and_each_draws_for_itself(client):
    asked = {"max_tokens": 6, "temperature": 1, "seed": 7}
    many = complete(client, prompt=["the", "房间"], n=3, **asked)
    assert [choice["index"] for choice in many["choices"]] == list(range(6))
    texts = [choice["text"] for choice in many["choices"]]
    assert texts[:3] == [choice["text"] for choice in complete(client, prompt="the", n=3, **asked)["choices"]]
    alone = [complete(client, prompt=text)["usage"]["prompt_tokens"] for text in ("the", "房间")]
    assert len(set(texts)) > 3 and many["usage"]["prompt_tokens"] == sum(alone)
    free = {
        complete(client, prompt="the", max_tokens=6, temperature=1)["choices"][0]["text"] for _ in range(4)
    }
    assert len(free) > 1  # without a seed every request is another draw


def test_token_ids_are_taken_as_they_are(client, loaded):
    ids = [loaded.tokenizer.bos, *loaded.tokenizer.encode("the room")]
    wanted = complete(client, prompt="the room", max_tokens=4)["choices"][0]
    assert complete(client, prompt=ids, max_tokens=4)["choices"][0] == wanted
    body = complete(client, prompt=[ids, ids], max_tokens=0, echo=True, logprobs=1)
    assert [choice["text"] for choice in body["choices"]] == ["the room"] * 2
    told = body["choices"][0]["logprobs"]
    assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
    assert told["text_offset"] == [0, 0, 3] and told["tokens"] == ["<s>", "the", " room"]
    error_of(client.post("/v1/completions", json={"prompt": [5, 9999]}), 400)


def test_echo_and_probabilities(client):
    body = complete(client, prompt="the 例", max_tokens=2, echo=True, logprobs=3)
    told = body["choices"][0]["logprobs"]
    assert body["choices"][0]["text"].startswith("the 例")
    assert told["tokens"][:5] == ["the", " ", "bytes:\\xe4", "bytes:\\xbe", "bytes:\\x8b"]
    assert told["text_offset"][:6] == [0, 3, 4, 4, 4, 5]
    assert len({len(told[name]) for name in told}) == 1
    for figure, top in zip(told["token_logprobs"], told["top_logprobs"], strict=True):
        assert figure in top.values() and len(top) <= 4 and max(top.values()) >= figure
    # the same figures when only the second half is asked for
    written = complete(client, prompt="the 例", max_tokens=2, logprobs=3)["choices"][0]["logprobs"]
    assert written["token_logprobs"] == pytest.approx(told["token_logprobs"][5:], abs=1e-4)
    assert complete(client, prompt="the", logprobs=0)["choices"][0]["logprobs"]["top_logprobs"] is None
    assert complete(client, prompt="the", max_tokens=0, echo=True)["choices"][0]["text"] == "the"


def test_a_chat(client):
    talk = [{"role": "user", "content": "hi"}]
    asked = {"messages": talk, "max_completion_tokens": 3, "temperature": 0}
    body = client.post("/v1/chat/completions", json={**asked, "logprobs": True, "top_logprobs": 2}).json()
    assert body["object"] == "chat.completion"
    (choice,) = body["choices"]
    assert choice["message"]["role"] == "assistant" and choice["finish_reason"] == "length"
    content = choice["logprobs"]["content"]
    assert len(content) == 3 and all(len(token["top_logprobs"]) == 2 for token in content)
    for token in content:
        assert token["top_logprobs"][0]["logprob"] == token["logprob"]  # greedy
        assert token["bytes"] == (None if token["token"].startswith("bytes:") else [*token["token"].encode()])
    plain = complete(client, prompt="User: hi\nAssistant:", max_tokens=3, stop="\nUser:")
    assert plain["choices"][0]["text"] == choice["message"]["content"]
    # without max_tokens an answer goes to the end of the context
    whole = client.post("/v1/chat/completions", json={"messages": talk, "temperature": 0}).json()
    assert (whole["usage"]["total_tokens"] <= 64 and whole["usage"]["completion_tokens"] > 16) or (
        whole["choices"][0]["finish_reason"] == "stop"
    )


def test_streams_say_what_whole_answers_say(client):
    asked = {
        "prompt": ["the room", "房间很"],
        "max_tokens": 9,
        "n": 2,
        "seed": 1,
        "logprobs": 2,
        "echo": True,
    }
    whole = complete(client, **asked, stop=["Q"])
    events = streamed(client, "/v1/completions", **asked, stop=["Q"], stream_options={"include_usage": True})
    assert events[-1]["choices"] == [] and events[-1]["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [e["choices"][0] for e in events[:-1] if e["choices"][0]["index"] == choice["index"]]
        assert "".join(part["text"] for part in mine) == choice["text"]
        assert [part["finish_reason"] for part in mine][:-1] == [None] * (len(mine) - 1)
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        for name in ("tokens", "text_offset"):
            assert [x for part in mine for x in part["logprobs"][name]] == choice["logprobs"][name]
    talk = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    events = streamed(client, "/v1/chat/completions", **talk)
    assert all(event["object"] == "chat.completion.chunk" and "usage" not in event for event in events)
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas[0]["role"] == "assistant" and all("role" not in delta for delta in deltas[1:])
    whole = client.post("/v1/chat/completions", json={**talk, "temperature": 0}).json()
    assert "".join(delta["content"] for delta in deltas) == whole["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"prompt": 7}, "prompt", "a list of token ids"),
        ({"prompt": []}, "prompt", "empty list"),
        ({"prompt": [[]]}, "prompt", "empty"),
        ({"prompt": ["a", 7]}, "prompt", "a text, a list of texts"),
        ({"prompt": "a", "max_token": 7}, "max_token", "did you mean 'max_tokens'"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"prompt": "a", "max_tokens": "7"}, "max_tokens", "integer"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens", "integer"),
        ({"prompt": "a", "temperature": 2.5}, "temperature", "less than or equal to 2"),
        ({"prompt": "a", "top_p": 0}, "top_p", "greater than 0"),
        ({"prompt": "a", "n": 0}, "n", "greater"),
        ({"prompt": "a", "stop": ["a"] * 9}, "stop", "at most 8"),
        ({"prompt": "a", "stop": 7}, "stop", "at most 8"),
        ({"prompt": "a", "logprobs": 21}, "logprobs", "less than or equal to 20"),
        ({"prompt": "a", "best_of": 3}, "best_of", "not supported"),
        ({"prompt": "a", "presence_penalty": 0.5}, "presence_penalty", "not supported"),
        ({"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias", "not supported"),
        ({"prompt": "a", "suffix": "b"}, "suffix", "not supported"),
        ({"prompt": "\ud800"}, "prompt", "surrogate"),
        ({"prompt": "a" * 70}, "prompt", "the model takes 64"),
    ],
)
def test_what_is_wrong_is_400_and_names_the_field(client, body, param, words):
    error = error_of(client.post("/v1/completions", content=json.dumps(body)), 400)
    assert error["param"] == param and words in error["message"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "messages", "missing"),
        ({"messages": "a"}, "messages", "a role and a content"),
        ({"messages": []}, "messages", "empty"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages", "robot"),
        (
            {"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2},
            "top_logprobs",
            "needs logprobs",
        ),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{}]}, "tools", "not supported"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages", "surrogate"),
        ({"messages": [{"role": "user", "content": "a"}], "prompt": "a"}, "prompt", "unknown field"),
    ],
)
def test_what_is_wrong_with_a_chat(client, body, param, words):
    error = error_of(client.post("/v1/chat/completions", content=json.dumps(body)), 400)
    assert error["param"] == param and words in error["message"]


def test_other_errors_have_the_same_shape(client):
    assert error_of(client.post("/v1/completions", json={"model": "gpt-4"}), 404)["code"] == "model_not_found"
    error_of(client.post("/v1/completions", content=b"{"), 400)
    error_of(client.post("/v1/completions", content=b"[]"), 400)
    error_of(client.get("/v1/completions"), 405)
    error_of(client.post("/v1/completions", json={"prompt": "a" * 201}), 413)
    error_of(client.post("/v1/completions", json={"prompt": ["a"] * 5, "n": 3}), 413)
    assert "X-Request-Id" in client.get("/v1/models").headers


def test_what_changes_nothing_may_be_sent(client):
    neutral = {
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "best_of": 1,
        "logit_bias": {},
    }
    unset = dict.fromkeys(
        ["model", "suffix", "n", "stop", "seed", "stream", "logprobs", "echo", "stream_options"]
    )
    assert complete(client, prompt="the", max_tokens=2, user="me", **neutral, **unset)
    assert read_completion(b'{"prompt": "a", "seed": -1}', "completions").seed == 2**63 - 1


def test_a_failure_is_500_without_secrets_whole_or_streamed(client, monkeypatch, caplog):
    real = openai.write

    def failing(*args):
        yield next(iter(real(*args)))
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(openai, "write", failing)
    response = client.post("/v1/completions", json={"prompt": "the room", "temperature": 0})
    error_of(response, 500)
    with client.stream("POST", "/v1/completions", json={"prompt": "the", "stream": True}) as response:
        told = "".join(response.iter_text())
    assert "[DONE]" not in told and "server_error" in told.split("\n\n")[-2]
    assert "secret" not in told + response.request.url.path and "secret detail" in caplog.text


def test_a_neighbour_that_fails_repeats_nothing_to_a_stream(loaded, monkeypatch):
    """A call of several that fails is made again, one by one: what was streamed is not told twice."""
    real, calls = openai.write, []

    def failing(model, tokenizer, asks, eos):
        calls.append(len(asks))
        for at, piece in enumerate(real(model, tokenizer, asks, eos)):
            if len(calls) == 1 and at == 5:
                raise ZeroDivisionError("once")
            yield piece

    with TestClient(create_app(loaded, Serve())) as client:
        whole = complete(client, prompt=["the room", "房间"], max_tokens=9)
        monkeypatch.setattr(openai, "write", failing)
        events = streamed(client, "/v1/completions", prompt=["the room", "房间"], max_tokens=9)
        assert calls == [2, 1, 1]
        for choice in whole["choices"]:
            mine = [e["choices"][0]["text"] for e in events if e["choices"][0]["index"] == choice["index"]]
            assert "".join(mine) == choice["text"]


def test_too_many_waiting_is_503_before_a_stream_begins(loaded):
    with TestClient(create_app(loaded, Serve(), max_waiting=1)) as client:
        for stream in (False, True):
            response = client.post("/v1/completions", json={"prompt": ["a", "b"], "stream": stream})
            assert error_of(response, 503)["code"] == "overloaded"
            assert int(response.headers["retry-after"]) >= 1


def test_a_model_that_does_not_write_has_no_such_endpoints(tmp_path):
    with TestClient(create_app(make(tmp_path / "e", "encoder"), Serve())) as client:
        assert client.post("/v1/completions", json={"prompt": "a"}).status_code == 404
        assert client.get("/v1/model").status_code == 200
