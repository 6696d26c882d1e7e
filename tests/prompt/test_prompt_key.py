"""The key of a server: sent to it, and found nowhere else."""

from __future__ import annotations

import logging
import pickle
import traceback

import httpx
import pytest
from fake_server import FakeServer, answer, events

from liju.errors import RemoteError
from liju.prompt import RemoteModel
from liju.prompt.key import Key

KEY = "sk-proj-7f3a9c51e2"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")  # as `echo` into a file leaves it
    return KEY


def everything_of(error: BaseException) -> str:
    """All that a traceback can show, the variables of every frame and of every error behind it included."""
    assert error.__traceback__ is not None
    frame = error.__traceback__.tb_next  # below the test, which knows the key
    shown = traceback.TracebackException(type(error), error, frame, capture_locals=True)
    seen, behind = [str(error), repr(error), *shown.format()], error.__cause__ or error.__context__
    while frame is not None:
        for name, value in frame.tb_frame.f_locals.items():
            if frame.tb_frame.f_globals["__name__"].startswith(("liju", "http")):
                seen.append(f"{name}={value!r} {getattr(value, '__dict__', '')!r}")
        frame = frame.tb_next
    assert behind is None and len(seen) > 5
    return "\n".join(seen)


STEPS = [
    (401, {"error": {"message": f"Incorrect API key provided: {KEY}."}}, {"X-Request-Id": f"r-{KEY}"}),
    (500, f"<pre>Authorization: Bearer {KEY}</pre>".encode() * 40, {}),
    (200, f'{{"choices": "{KEY}"}}'.encode(), {}),
    (200, f'{{"choices": [{{"text": {KEY}'.encode(), {}),
    (200, None, {}),
    (302, {}, {"Location": "http://127.0.0.1:9/"}),
]


@pytest.mark.parametrize("step", STEPS)
def test_no_error_log_or_picture_of_the_model_holds_the_key(step, key, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    if "X-Request-Id" in step[2]:  # what a server sends in its headers is told by httpcore, at DEBUG
        caplog.set_level(logging.INFO, "httpcore")
    with FakeServer(step) as server, RemoteModel(server.url, "m", retries=1, sleep=lambda _: None) as model:
        with pytest.raises(RemoteError) as caught:
            model.generate(["Go"])
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        seen = everything_of(caught.value)
        seen += repr(model) + repr(vars(model)) + repr(model._connection) + repr(vars(model._connection))
        seen += repr(vars(model._connection._http)) + repr(pickle.dumps(vars(caught.value)))
    assert model.name in seen and server.url in seen
    said = capfd.readouterr()
    assert "http" in caplog.text  # the library does log
    for text in (seen, caplog.text, said.out, said.err):
        assert KEY not in text and KEY[:12] not in text


def test_nor_does_a_stream_that_breaks(key, caplog):
    caplog.set_level(logging.DEBUG)
    told = events("a", done=False, finish=None) + f'data: {{"error": {{"message": "{KEY}"}}}}\n\n'.encode()
    with FakeServer(told) as server, RemoteModel(server.url, "m", retries=0) as model:
        with pytest.raises(RemoteError) as caught:
            list(model.stream("Go"))
    assert KEY not in everything_of(caught.value) + caplog.text and "[key]" in str(caught.value)


def test_the_test_of_the_test(key):
    """An HTTP library by itself leaves the key in the frames of its errors."""
    with pytest.raises(httpx.ConnectError) as caught:
        httpx.get("http://127.0.0.1:1/", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY in "".join(shown.format())


@pytest.mark.parametrize("value", ["sk-a b", "sk-a\nb", "sk-例", "sk-\x07"])
def test_what_cannot_be_a_key_is_not_sent(value, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", value)
    with FakeServer(answer()) as server, RemoteModel(server.url, "m", "OTHER_KEY") as model:
        with pytest.raises(RemoteError, match="what OTHER_KEY holds is no key") as caught:
            model.generate(["Go"])
        assert value not in everything_of(caught.value) and server.asked == []


def test_the_environment_says_which_key_at_the_moment_of_asking(monkeypatch):
    with FakeServer(answer()) as server:
        with RemoteModel(server.url, "m", "OTHER_KEY") as model, RemoteModel(server.url, "m", None) as none:
            monkeypatch.setenv("OTHER_KEY", "one")
            model.generate(["Go"])
            monkeypatch.setenv("OTHER_KEY", "two")
            monkeypatch.setenv("OPENAI_API_KEY", "three")
            model.generate(["Go"])
            none.generate(["Go"])
        assert [headers.get("Authorization") for headers in server.headers] == [
            "Bearer one",
            "Bearer two",
            None,
        ]


def test_a_key_goes_unencrypted_to_no_other_machine(key):
    # 192.0.2.0/24 is nobody's; the key is refused before anything is sent.
    with RemoteModel("http://192.0.2.1/v1", "m", timeout=0.2) as model:
        with pytest.raises(RemoteError, match="unencrypted") as caught:
            model.generate(["Go"])
        assert caught.value.attempts == 1


def test_a_refused_key_is_hinted_at(key):
    with FakeServer((401, {"error": {"message": "no"}}, {})) as server:
        for name, words in (("OPENAI_API_KEY", "the one there is refused"), (None, "api_key_env")):
            with RemoteModel(server.url, "m", name) as model, pytest.raises(RemoteError) as caught:
                model.generate(["Go"])
            assert words in caught.value.hint


def test_hide(key):
    assert Key("OPENAI_API_KEY", here=True).hide(f"a {KEY} b") == "a [key] b"
    assert Key("NOWHERE", here=True).hide("a") == Key(None, here=True).hide("a") == "a"
