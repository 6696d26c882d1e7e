"""OpenAI's /v1/embeddings: its shape, its errors, its own client, and vectors equal to the loaded model's."""

from __future__ import annotations

import base64
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from openai_answers import error_of

from liju.config import Serve
from liju.finetune import Embedding, load
from liju.hub import save_bundle
from liju.serve import Server, create_app

sys.path.insert(0, str(Path(__file__).parents[1] / "prompt"))
from prompt_toys import make

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*httpx.*")
    from starlette.testclient import TestClient

TEXTS = ["the room was clean", "汤很冷", "the waiter was rude"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    encoder = make(folder / "encoder", "encoder")
    save_bundle(folder / "pairs", encoder.model, encoder.tokenizer, Embedding(17).describe())
    return load(folder / "pairs", "cpu")


@pytest.fixture(scope="module")
def client(loaded):
    with TestClient(create_app(loaded, Serve(max_characters=200), max_texts=5)) as client:
        yield client


def embed(client, **body):
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_each_text_has_the_vector_of_the_loaded_model(client, loaded):
    body = embed(client, input=TEXTS, model="pairs")
    assert set(body) == {"object", "data", "model", "usage"}
    assert (body["object"], body["model"]) == ("list", "pairs")
    assert [set(one) for one in body["data"]] == [{"object", "index", "embedding"}] * 3
    assert [(one["object"], one["index"]) for one in body["data"]] == [("embedding", at) for at in range(3)]
    found = np.array([one["embedding"] for one in body["data"]])
    assert found.shape == (3, 12) and found == pytest.approx(loaded.embed(TEXTS), abs=1e-6)
    assert (found * found).sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    assert abs(found[0] @ found[1]) < 0.999  # another text, another vector
    read = sum(len(loaded.tokenizer.pair(loaded.tokenizer.encode(text))[0]) for text in TEXTS)
    assert body["usage"] == {"prompt_tokens": read, "total_tokens": read}
    (one,) = client.get("/v1/models").json()["data"]
    assert one["id"] == "pairs"


def test_one_text_is_one_vector_and_alone_as_in_company(client):
    body = embed(client, input=TEXTS[1])
    together = embed(client, input=TEXTS)["data"][1]["embedding"]
    assert len(body["data"]) == 1 and body["data"][0]["index"] == 0
    assert body["data"][0]["embedding"] == pytest.approx(together, abs=1e-5)


def test_base64_holds_the_same_float32(client):
    plain = embed(client, input=TEXTS, encoding_format="float")["data"]
    packed = embed(client, input=TEXTS, encoding_format="base64")["data"]
    for one, other in zip(plain, packed, strict=True):
        assert isinstance(other["embedding"], str)
        numbers = np.frombuffer(base64.b64decode(other["embedding"]), "<f4")
        assert numbers.tolist() == one["embedding"]


def test_a_text_that_is_too_long_is_shortened_and_said_so(client, loaded):
    long = "the room was clean and the staff " * 3
    body = embed(client, input=[long, "the"])
    assert [one.get("shortened") for one in body["data"]] == [True, None]
    assert body["usage"]["prompt_tokens"] == 17 + 3
    assert loaded.predict(long)["shortened"] and "shortened" not in loaded.predict("the")
    assert client.post("/predict", json={"text": long}).json()["results"][0]["shortened"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "missing"),
        ({"input": 7}, "input", "a text or a list of texts"),
        ({"input": None}, "input", "a text or a list of texts"),
        ({"input": ["a", 7]}, "input", "a text or a list of texts"),
        ({"input": []}, "input", "empty list"),
        ({"input": ""}, "input", "an empty text"),
        ({"input": ["a", " "]}, "input", "an empty text"),
        ({"input": [5, 7]}, "input", "token ids"),
        ({"input": [[5, 7]]}, "input", "check_embedding_ctx_length=False"),
        ({"input": "\ud800"}, "input", "surrogate"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "float or base64"),
        ({"input": "a", "dimensions": 5}, "dimensions", "12 dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions", "greater than or equal to 1"),
        ({"input": "a", "encoding": "float"}, "encoding", "did you mean 'encoding_format'"),
        ({"inputs": "a"}, "inputs", "did you mean 'input'"),
    ],
)
def test_what_is_wrong_is_400_and_names_the_field(client, body, param, words):
    error = error_of(client.post("/v1/embeddings", content=json.dumps(body)), 400)
    assert error["param"] == param and words in error["message"]
    assert error["type"] == "invalid_request_error"


def test_other_errors_have_the_same_shape(client, loaded):
    wrong = error_of(client.post("/v1/embeddings", json={"input": "a", "model": "ada"}), 404)
    assert wrong["code"] == "model_not_found" and "'pairs'" in wrong["message"]
    for body in (b"{", b"[]", b""):
        error_of(client.post("/v1/embeddings", content=body), 400)
    error_of(client.get("/v1/embeddings"), 405)
    assert error_of(client.post("/v1/embeddings", json={"input": "a" * 201}), 413)["param"] == "input"
    assert error_of(client.post("/v1/embeddings", json={"input": ["a"] * 6}), 413)["param"] == "input"
    with TestClient(create_app(loaded, Serve(), max_waiting=1)) as full:
        response = full.post("/v1/embeddings", json={"input": ["a", "b"]})
        assert error_of(response, 503)["code"] == "overloaded" and response.headers["retry-after"]
    assert embed(client, input="a", dimensions=12, user="me", encoding_format=None, model=None)["data"]


def test_another_task_says_what_it_is(tmp_path, client):
    for family in ("encoder", "decoder"):
        with TestClient(create_app(make(tmp_path / family, family), Serve())) as other:
            error = error_of(other.post("/v1/embeddings", json={"input": "a"}), 404)
            assert 'task = "embedding"' in error["message"] and "does not answer" in error["message"]
    assert "embedding" in error_of(client.post("/v1/completions", json={"prompt": "a"}), 404)["message"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_client(loaded):
    openai = pytest.importorskip("openai")
    with Server(loaded, Serve(port=0)) as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as theirs:
            # Its default is base64, which it reads by itself.
            found = theirs.embeddings.create(model="pairs", input=TEXTS)
            assert [one.index for one in found.data] == [0, 1, 2] and found.usage.prompt_tokens > 9
            vectors = np.array([one.embedding for one in found.data])
            assert vectors == pytest.approx(loaded.embed(TEXTS), abs=1e-6)
            plain = theirs.embeddings.create(model="pairs", input=TEXTS[0], encoding_format="float")
            assert plain.data[0].embedding == pytest.approx(vectors[0].tolist(), abs=1e-6)
            with pytest.raises(openai.BadRequestError, match="empty text"):
                theirs.embeddings.create(model="pairs", input="")
            with pytest.raises(openai.NotFoundError, match="no model 'ada'"):
                theirs.embeddings.create(model="ada", input="a")
