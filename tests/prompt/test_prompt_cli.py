"""liju predict, of the address of a server."""

from __future__ import annotations

import json

import pytest
from fake_server import FakeServer, answer

from liju.cli import main

KEY = "sk-proj-7f3a9c51e2"


def test_it_writes_what_the_local_model_writes(server, writer, capsys):
    (one,) = writer.generate(["the room"], max_new_tokens=6)
    words = ["predict", f"{server.url}/v1", "the room", "--max-new-tokens", "6"]
    assert main([*words, "--api", "completions"]) == 0
    assert capsys.readouterr().out == f"{one.text}\n"
    (one,) = writer.generate([[{"role": "user", "content": "the room"}]], max_new_tokens=6)
    assert main([*words, "--model", "writer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"input": "the room", "text": one.text, "finish": one.finish}


def test_the_key_goes_to_the_server_and_not_to_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeServer({"data": [{"id": "m"}]}, answer(f" {KEY}")) as server:
        assert main(["predict", server.url, "Go", "--api", "completions"]) == 0
        assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {KEY}"] * 2
    told = capsys.readouterr()
    assert told.out == " [key]\n" and KEY not in told.err
    with FakeServer((401, {"error": {"message": f"bad key {KEY}"}}, {})) as server:
        assert main(["predict", server.url, "Go", "--model", "m"]) == 2
    told = capsys.readouterr()
    assert "error: " in told.err and "401: bad key [key]" in told.err and "OPENAI_API_KEY" in told.err
    assert KEY not in told.err + told.out and "Traceback" not in told.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beam", "2"], "no beam"),
        ([], "has 2 models"),
        (["--api", "chats"], "chats"),
    ],
)
def test_what_cannot_be_asked(words, message, capsys):
    with FakeServer({"data": [{"id": "a"}, {"id": "b"}]}) as server:
        assert main(["predict", server.url, "Go", *words]) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_an_address_that_is_none(capsys):
    assert main(["predict", "http://user:secret@127.0.0.1:1/v1", "Go"]) == 2
    told = capsys.readouterr().err
    assert "a user, a password" in told and "secret@" not in told
