"""The application through HTTP, without a socket."""

from __future__ import annotations

import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from echo import Reviews, Writer

from liju.config import Serve
from liju.serve import create_app

with warnings.catch_warnings():
    # Starlette warns at import where it would rather use another client than httpx.
    warnings.filterwarnings("ignore", message=".*httpx.*")
    from starlette.testclient import TestClient


@pytest.fixture
def client():
    with TestClient(create_app(Reviews(), Serve(max_characters=50))) as client:
        yield client


def error_of(response, status: int) -> dict[str, str]:
    """The error, after checking that it has the one shape that all have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"] and list(body["error"]) == ["message", "hint", "field"]
    assert body["error"]["message"]
    return body["error"]


def test_one_text_and_many_in_order(client):
    assert client.post("/predict", json={"text": "好"}).json() == {"results": [Reviews.answer("好")]}
    texts = ["好好", "不", "", "好坏好"]
    answers = client.post("/predict", json={"texts": texts}).json()["results"]
    assert answers == [Reviews.answer(text) for text in texts]


def test_what_is_served_and_its_health(client):
    told = client.get("/v1/model").json()
    assert told["task"] == "classification" and told["name"] == "评论" and told["max_characters"] == 50
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["task"] == "classification" and health["uptime_seconds"] >= 0
    assert client.head("/health").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"text=a",
        b'{"text": NaN}',
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"text": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_not_json_is_400(client, body):
    assert "curl" in error_of(client.post("/predict", content=body), 400)["hint"] or body[:1] in b"[{"


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ([], "", "a list, not an object"),
        ({}, "text", "no 'text'"),
        ({"txet": "a"}, "txet", "did you mean 'text'"),
        ({"text": 7}, "text", "a number, not a string"),
        ({"text": None}, "text", "null, not a string"),
        ({"text": ["a"]}, "text", "a list, not a string"),
        ({"texts": "a"}, "texts", "a string, not a list"),
        ({"texts": ["a", 7]}, "texts[1]", "a number, not a string"),
        ({"texts": []}, "texts", "empty"),
        ({"text": "a", "texts": ["a"]}, "texts", "both"),
        ({"text": "\ud800"}, "text", "Unicode"),
        ({"text": "a", "pair": "b"}, "pair", "reads one text"),
        ({"text": "a", "options": {"beam": 2}}, "options.beam", "no options"),
        ({"text": "a", "options": 7}, "options", "a number, not an object"),
        ({"text": "refuse"}, "", "no word"),
    ],
)
def test_what_does_not_fit_is_422_and_names_the_field(client, body, field, words):
    error = error_of(client.post("/predict", content=json.dumps(body)), 422)
    assert error["field"] == field
    assert words in error["message"] + error["hint"]


def test_too_long_is_413_counted_over_all_texts(client):
    assert client.post("/predict", json={"texts": ["好" * 25] * 2}).status_code == 200
    assert error_of(client.post("/predict", json={"texts": ["好" * 25, "好" * 26]}), 413)["field"] == "texts"
    assert error_of(client.post("/predict", json={"text": "好" * 51}), 413)["field"] == "text"
    assert "256" in error_of(client.post("/predict", json={"texts": ["a"] * 257}), 413)["message"]


def test_a_body_is_refused_while_it_is_read(client):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 50_000_000:
            sent += 10_000
            yield b" " * 10_000

    error_of(client.post("/predict", content=endless()), 413)
    declared = client.post("/predict", content=b"{}", headers={"Content-Length": "999999999999"})
    assert "999999999999 bytes" in error_of(declared, 413)["message"]


def test_unknown_routes_and_methods(client):
    assert error_of(client.get("/helth"), 404)["hint"] == "did you mean '/health'?"
    assert error_of(client.post("/predict/", json={"text": "a"}), 404)["hint"] == "did you mean '/predict'?"
    response = client.get("/predict")
    assert error_of(response, 405)["hint"] == "use POST" and "POST" in response.headers["allow"]
    error_of(client.post("/health"), 405)


def test_a_failure_is_500_and_tells_no_secret(client, caplog):
    response = client.post("/predict", json={"text": "crash"})
    error_of(response, 500)
    assert "secret" not in response.text and "Traceback" not in response.text
    assert "secret detail" in caplog.text
    assert client.post("/predict", json={"text": "好"}).status_code == 200


def test_options_are_checked_by_their_defaults():
    with TestClient(create_app(Writer(), Serve())) as client:

        def ask(**options):
            return client.post("/predict", json={"text": "a", "options": options})

        answer = ask(max_new_tokens=7, temperature=1).json()["results"]
        assert answer == [{"text": "aa", "new": 7, "temperature": 1}]
        assert error_of(ask(max_new_token=7), 422)["hint"] == "did you mean 'max_new_tokens'?"
        for name, value in {"max_new_tokens": 7.5, "temperature": "hot", "greedy": 1, "stop": 3}.items():
            assert error_of(ask(**{name: value}), 422)["field"] == f"options.{name}"
        outside = client.post("/predict", json={"text": "a", "max_new_tokens": 7})
        assert (
            error_of(outside, 422)["hint"]
            == 'options go into an object: {"options": {"max_new_tokens": ...}}'
        )


def test_pairs_go_with_their_texts():
    with TestClient(create_app(Writer(), Serve())) as client:
        both = client.post("/predict", json={"texts": ["a", "b"], "pairs": ["1", "2"]}).json()["results"]
        assert [one["text"] for one in both] == ["a1a1", "b2b2"]
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        few = client.post("/predict", json={"texts": ["a", "b"], "pairs": ["1"]})
        assert error_of(few, 422)["field"] == "pairs"
        error_of(client.post("/predict", json={"text": "a", "pairs": ["1"]}), 422)

    class Needs(Writer):
        def describe(self):
            return {"pairs": True}

    with TestClient(create_app(Needs(), Serve())) as client:
        assert error_of(client.post("/predict", json={"text": "a"}), 422)["field"] == "pair"


def test_numbers_of_numpy_and_no_number_at_all():
    class Odd(Reviews):
        def predict(self, texts):
            return [
                {"score": np.float32(0.5), "n": np.int64(3), "all": np.array([1.0, np.nan])} for _ in texts
            ]

    with TestClient(create_app(Odd(), Serve())) as client:
        response = client.post("/predict", json={"text": "a"})
        assert response.json() == {"results": [{"score": 0.5, "n": 3, "all": [1.0, None]}]}


def test_metrics_count_and_cannot_be_grown_by_callers(client):
    client.post("/predict", json={"texts": ["a", "b"]})
    client.post("/predict", content=b"{")
    for at in range(30):
        client.get(f"/nothing-{at}")
    text = client.get("/metrics").text
    assert 'liju_requests_total{path="/predict",status="200"} 1' in text
    assert 'liju_requests_total{path="/predict",status="400"} 1' in text
    assert 'liju_requests_total{path="other",status="404"} 30' in text
    assert "liju_errors_total 31" in text and "liju_model_texts_total 2" in text
    assert 'liju_request_seconds_count{path="/predict"} 2' in text
    assert "nothing-" not in text
    sample = re.compile(r"[a-z_]+(\{[^}]*\})? [0-9.e+-]+")
    assert all(line[0] == "#" or sample.fullmatch(line) for line in text.strip().splitlines())


def test_the_page_stands_alone(client):
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"https?:|src=|@import|url\(|innerHTML|eval\(", response.text)
    assert "分类" in response.text and "prefers-color-scheme" in response.text


def test_a_neighbour_that_fails_harms_nobody():
    model = Reviews(seconds=0.05)
    with TestClient(create_app(model, Serve())) as client, ThreadPoolExecutor(8) as pool:
        texts = ["好", "crash", "坏", "refuse", "好好", "x", "yy", "zzz"]
        responses = list(pool.map(lambda text: client.post("/predict", json={"text": text}), texts))
    assert [response.status_code for response in responses] == [200, 500, 200, 422, 200, 200, 200, 200]
    for text, response in zip(texts, responses, strict=True):
        if response.status_code == 200:
            assert response.json()["results"] == [Reviews.answer(text)]


def test_too_many_waiting_is_503_and_passes():
    model = Reviews(seconds=0.2)
    app = create_app(model, Serve(), max_batch=2, max_waiting=4)
    with TestClient(app) as client, ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(lambda at: client.post("/predict", json={"text": str(at)}), range(12)))
        refused = [response for response in responses if response.status_code == 503]
        assert 1 <= len(refused) <= 8
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        assert "waiting" in error_of(refused[0], 503)["message"]
        assert client.post("/predict", json={"text": "好"}).status_code == 200
