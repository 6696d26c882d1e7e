"""The same bundle here and behind a socket: the same text, the same figures."""

from __future__ import annotations

import threading

import pytest
from prompt_toys import TEXTS, make, tokenizer
from test_prompt_chat import CHATML, TALK

from liju.config import Serve
from liju.errors import RemoteError
from liju.prompt import LocalModel, RemoteModel, classify
from liju.serve import Server

PROMPTS = ["the room was", "房间很干净，", "the", "🙂 the soup was cold, the", "def f(x):\n  "]
CONTINUATIONS = [" clean", " clean and kind", "，干净", "n", "例", "句子例", " "]


@pytest.fixture(scope="module")
def there(server):
    with RemoteModel(f"{server.url}/v1", "writer", retries=0) as model:
        yield model


def same(one, other):
    assert (one.text, one.finish) == (other.text, other.finish)
    assert other.tokens in (one.tokens, None)  # None: one of several answers, counted together
    assert (one.logprobs is None) == (other.logprobs is None)
    if one.logprobs:
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.2, "seed": 3, "n": 3, "top_p": 0.8},
        {"stop": [" ", "Q", "，"], "logprobs": True},
        {"temperature": 0.7, "logprobs": True},
    ],
)
def test_texts_are_the_same(options, writer, there):
    for prompts in (PROMPTS, [TALK[1:], TALK[:2]]):
        here = writer.generate(prompts, max_new_tokens=9, **options)
        for one, other in zip(here, there.generate(prompts, max_new_tokens=9, **options), strict=True):
            same(one, other)


@pytest.mark.parametrize("prompt", ["the room was", "房间", "", "the room was cl", "the waiter was  "])
def test_scores_are_the_same(prompt, writer, there):
    here, far = writer.score(prompt, CONTINUATIONS), there.score(prompt, CONTINUATIONS)
    for one, other in zip(here, far, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert (one.text, one.greedy) == (other.text, other.greedy)


def test_what_was_written_greedily_is_greedy_there_too(writer, there):
    found = 0
    for prompt in [*PROMPTS, *TEXTS]:
        for length in (1, 2, 3):
            written = writer.generate([prompt], max_new_tokens=length)[0].text
            if "\ufffd" not in written and written:
                (one,), (other,) = writer.score(prompt, [written]), there.score(prompt, [written])
                assert one.greedy is other.greedy
                found += one.greedy
    assert found


def test_to_the_last_token_of_the_context(writer, there):
    for prompt in ("a" * 61, "a" * 62):  # 64 with the start token and the continuation
        (one,), (other,) = writer.score(prompt, ["b"]), there.score(prompt, ["b"])
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    with pytest.raises(RemoteError, match="65 tokens; the model takes 64"):
        there.score("a" * 63, ["b"])


def test_streams_are_the_same(writer, there):
    for prompt in (*PROMPTS, TALK[1:]):
        options = {"max_new_tokens": 12, "temperature": 0.9, "seed": 4, "stop": ["Q"]}
        assert list(there.stream(prompt, **options)) == list(writer.stream(prompt, **options))


def test_classification_is_the_same(writer, there):
    labels = {"good": " clean and kind", "bad": " rude", "both": "，很好"}
    for how in ("none", "tokens", "bytes"):
        for one, other in zip(
            classify(writer, PROMPTS, labels, how), classify(there, PROMPTS, labels, how), strict=True
        ):
            assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-4)
            assert one["logprobs"] == pytest.approx(other["logprobs"], abs=1e-4)


def test_usage_counts_what_went_through(server, writer):
    with RemoteModel(f"{server.url}/v1", "writer", prices=(1e6, 2e6)) as there:
        there.generate(["the room was"], max_new_tokens=5, n=2)
        read = 1 + len(writer.tokenizer.encode("the room was"))
        assert (there.usage.prompt_tokens, there.usage.completion_tokens) == (read, 10)
        assert there.usage.cost == read + 20 and there.usage.uncounted == 0
        list(there.stream("the room was", max_new_tokens=5))
        assert there.usage.completion_tokens == 15
        assert there.models() == ["writer"]


def test_many_at_once_are_each_as_if_alone(writer, server):
    prompts = [text[:at] for text in TEXTS for at in range(2, 12)]
    with RemoteModel(f"{server.url}/v1", "writer", concurrency=16) as there:
        before = server.app.state.batcher.calls
        far = there.generate(prompts, max_new_tokens=6, temperature=1.0, seed=9)
        assert server.app.state.batcher.calls - before < len(prompts)
    for prompt, one in zip(prompts, far, strict=True):
        same(one, writer.generate([prompt], max_new_tokens=6, temperature=1.0, seed=9)[0])


def test_an_encoder_decoder_answers_and_tells_no_scores(translator):
    with Server(translator.loaded, Serve(port=0)) as server:
        with RemoteModel(f"{server.url}/v1", "translator", retries=0) as there:
            for prompts in (PROMPTS, [TALK]):
                options = {"max_new_tokens": 6, "logprobs": True}
                for one, other in zip(
                    translator.generate(prompts, **options), there.generate(prompts, **options), strict=True
                ):
                    same(one, other)
            with pytest.raises(RemoteError, match="no probabilities of its prompt") as error:
                there.score("the room", [" was"])
            assert "generate works" in error.value.hint


def test_a_template_is_used_there_as_here(tmp_path):
    chat = LocalModel(make(tmp_path / "chat", template=CHATML), chat=True)
    with Server(chat.loaded, Serve(port=0)) as server:
        with RemoteModel(f"{server.url}/v1", "chat", api="chat") as there:
            for prompts in (PROMPTS, [TALK[:2]]):
                here, far = (model.generate(prompts, max_new_tokens=8) for model in (chat, there))
                for one, other in zip(here, far, strict=True):
                    same(one, other)
            bad = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
            with pytest.raises(RemoteError, match="refuses this conversation: system first"):
                there.generate([bad])


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_other_vocabularies(kind, tmp_path):
    """Vocabularies that change the text: a token stands where it stood in the text that was asked."""
    model = LocalModel(make(tmp_path / kind, tokens=tokenizer("decoder", kind)))
    with Server(model.loaded, Serve(port=0)) as server, RemoteModel(f"{server.url}/v1", kind) as there:
        same(*(one.generate(["the room was"], max_new_tokens=6)[0] for one in (model, there)))
        for prompt in ("The  Room was", "房间", "the soup,"):
            for one, other in zip(
                model.score(prompt, [" clean", " rude the", "很好"]),
                there.score(prompt, [" clean", " rude the", "很好"]),
                strict=True,
            ):
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_who_hangs_up_stops_the_writing(writer):
    from liju.serve import openai

    written = []
    real = openai.write

    def noting(*args):
        for number, piece in real(*args):
            written.append(piece)
            stopped.wait(0.02)
            yield number, piece

    stopped = threading.Event()
    with Server(writer.loaded, Serve(port=0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "write", noting)
        with RemoteModel(f"{server.url}/v1", "writer") as there:
            stream = there.stream("the", max_new_tokens=60)
            next(stream)
            stream.close()
            for _ in range(200):
                if written and written[-1].finish:
                    break
                threading.Event().wait(0.02)
            assert written[-1].finish == "gone" and written[-1].written < 40
            stopped.set()
            assert there.generate(["the"], max_new_tokens=3)[0].tokens == 3
