"""Servers and a client that we did not write: llama.cpp, transformers serve, and OpenAI's own client."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from prompt_toys import make
from test_prompt_chat import CHATML

from liju.errors import RemoteError
from liju.hub import export, save_bundle
from liju.prompt import LocalModel, RemoteModel

HERE = Path(__file__).parent
PROMPTS = ["the room was", "the", "the soup was cold, the"]


def needs(*packages: str):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}, which is not installed")


@contextmanager
def program(words: list[str], **environment: str):
    """A program that ends with the test."""
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A decoder whose answers are letters: bytes that are no character are written unlike by every server."""
    loaded = make(tmp_path_factory.mktemp("story") / "story", template=CHATML)
    model = LocalModel(loaded)
    torn = [i for i in range(model.tokenizer.size) if "\ufffd" in model.tokenizer.decode([i])]
    assert loaded.model.config.tied
    with torch.no_grad():  # the embedding is the output layer too: the smallest rows are never the likeliest
        loaded.model.token.weight[torch.tensor([*torn, 0, 1])] *= 0.05
    folder = loaded.bundle.folder
    save_bundle(folder, loaded.model, loaded.tokenizer, overwrite=True)
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    return LocalModel(folder)


def test_the_story_is_letters(story):
    for one in story.generate(PROMPTS, max_new_tokens=12):
        assert one.text and "\ufffd" not in one.text


@needs("gguf", "xllamacpp")
def test_llama_cpp(story, tmp_path):
    export(story.loaded.bundle, "gguf", tmp_path / "gguf")
    (path,) = (tmp_path / "gguf").glob("*.gguf")
    with program([str(HERE / "llama_server.py"), str(path), "story", "64"]) as process:
        assert process.stdout is not None
        address = next(line for line in process.stdout if line.startswith("listening ")).split()[1]
        with RemoteModel(f"{address}/v1", "story", retries=2) as there:
            assert there.models() == ["story"]
            options = {"max_new_tokens": 12, "logprobs": True}
            for one, other in zip(
                story.generate(PROMPTS, **options), there.generate(PROMPTS, **options), strict=True
            ):
                assert (one.text, one.finish, one.tokens) == (other.text, other.finish, other.tokens)
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
            for prompt in PROMPTS:
                (whole,) = story.generate([prompt], max_new_tokens=8, stop=["e"])
                assert "".join(there.stream(prompt, max_new_tokens=8, stop=["e"])) == whole.text
                # what was written has the probability that we give it as a continuation
                (written,) = there.generate([prompt], max_new_tokens=4, logprobs=True)
                (score,) = story.score(prompt, [written.text])
                if len(score.tokens) == written.tokens:
                    assert sum(written.logprobs) == pytest.approx(score.logprob, abs=1e-4)
            assert there.usage.completion_tokens > 0 and there.usage.uncounted == 0
            with pytest.raises(RemoteError) as error:
                there.score("the room", [" was"])
            assert "generate works" in error.value.hint
            with pytest.raises(RemoteError) as error:
                there.generate(["a" * 100])
            assert error.value.status == 400 and error.value.attempts == 1


@pytest.mark.slow
@needs("openai", "fastapi")
def test_transformers_serve(story):
    folder = str(story.loaded.bundle.folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "transformers.cli.transformers", "serve", folder, "--port", str(port), "--device", "cpu"]
    with program([*words, "--dtype", "float32"], HF_HUB_OFFLINE="1"):
        address = f"http://127.0.0.1:{port}/v1"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        with RemoteModel(address, folder, retries=0, concurrency=1) as there:
            here, far = (model.generate(PROMPTS, max_new_tokens=12) for model in (story, there))
            assert [(one.text, one.finish, one.tokens) for one in here] == [
                (one.text, one.finish, one.tokens) for one in far
            ]
            for prompt in (*PROMPTS, [{"role": "user", "content": "the soup?"}]):
                assert "".join(there.stream(prompt, max_new_tokens=9)) == "".join(
                    story.stream(prompt, max_new_tokens=9)
                )
            with pytest.raises(RemoteError) as error:
                there.score("the room", [" was"])
            assert "generate works" in error.value.hint


@needs("openai")
def test_openai_s_own_client(server, writer):
    import openai

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["writer"]
        asked = {"model": "writer", "max_tokens": 6, "temperature": 0}
        (one,) = writer.generate(["the room"], max_new_tokens=6, logprobs=True)
        found = client.completions.create(prompt="the room", logprobs=2, **asked)
        assert found.choices[0].text == one.text and found.usage.completion_tokens == 6
        assert found.choices[0].logprobs.token_logprobs == pytest.approx(one.logprobs, abs=1e-4)
        stream = client.completions.create(prompt="the room", stream=True, **asked)
        assert "".join(event.choices[0].text for event in stream) == one.text
        talk = [{"role": "user", "content": "the room"}]
        (one,) = writer.generate([talk], max_new_tokens=6, logprobs=True)
        found = client.chat.completions.create(messages=talk, logprobs=True, top_logprobs=1, **asked)
        assert found.choices[0].message.content == one.text
        assert [token.logprob for token in found.choices[0].logprobs.content] == pytest.approx(
            one.logprobs, abs=1e-4
        )
        stream = client.chat.completions.create(messages=talk, stream=True, **asked)
        assert "".join(event.choices[0].delta.content for event in stream) == one.text
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
            client.completions.create(model="gpt-4", prompt="a")
        with pytest.raises(openai.BadRequestError, match="the model takes 64") as error:
            client.completions.create(model="writer", prompt="a" * 70)
        assert error.value.param == "prompt"
