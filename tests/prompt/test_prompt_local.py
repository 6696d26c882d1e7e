"""Writing and scoring with a model of ours: the laws, the edges between tokens, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prompt_toys import TEXTS, make, tokenizer

from liju.errors import RequestError
from liju.evaluate import accuracy
from liju.finetune import Classification, Example
from liju.prompt import LanguageModel, LocalModel, classify
from liju.prompt.reading import read_rows, read_tails
from liju.prompt.running_text import RunningText
from liju.prompt.writing import write

PROMPTS = ["the room was", "房间很干净，", "the", "🙂 the soup was cold, the", "def f(x):\n  "]


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A decoder in float64: laws hold to the last digits."""
    model = LocalModel(make(tmp_path_factory.mktemp("exact") / "exact"))
    model.model.double()
    return model


def log_probabilities(model: LocalModel, ids: list[int]) -> torch.Tensor:
    """The whole row in one pass, without a cache: [place, vocab]."""
    from liju.samples import Sample, assemble

    batch = assemble([Sample(0, decoder=torch.tensor(ids).numpy())])
    with torch.no_grad():
        return torch.log_softmax(model.model.logits(batch)[0].double(), -1)


def test_it_is_a_language_model(writer, translator):
    assert isinstance(writer, LanguageModel) and isinstance(translator, LanguageModel)
    assert repr(writer) == "LocalModel('writer', decoder)"


def test_it_writes_what_the_loaded_model_writes(writer, translator):
    found = writer.generate(PROMPTS, max_new_tokens=9)
    assert [one.text for one in found] == [
        writer.loaded.generate(prompt, max_new_tokens=9) for prompt in PROMPTS
    ]
    found = translator.generate(PROMPTS, max_new_tokens=9)
    assert [one.text for one in found] == [
        translator.loaded.generate(prompt, max_new_tokens=9, beam=1) for prompt in PROMPTS
    ]


@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_together_is_alone(exact, temperature):
    options = {"max_new_tokens": 7, "temperature": temperature, "seed": 5, "logprobs": True, "top_p": 0.9}
    together = exact.generate(PROMPTS, n=2, **options)
    for at, prompt in enumerate(PROMPTS):
        alone = exact.generate([prompt], n=2, **options)
        for one, other in zip(alone, together[2 * at : 2 * at + 2], strict=True):
            assert (one.text, one.finish, one.tokens) == (other.text, other.finish, other.tokens)
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-11)
    if temperature:
        assert together[0].text != together[1].text
        again = exact.generate(PROMPTS[:1], **{**options, "seed": 6})
        assert again[0].text == together[1].text  # answer j draws from seed + j


def test_each_ask_keeps_to_its_own_options(exact):
    """Together with others that want something else: as alone."""
    options = [
        {"temperature": 0.0, "max_new_tokens": 9},
        {"temperature": 1.5, "max_new_tokens": 4, "seed": 3},
        {"temperature": 1.5, "max_new_tokens": 7, "seed": 4, "top": 2},
        {"temperature": 0.5, "top_p": 0.5, "stop": ["e"], "top": 0},
        {"max_new_tokens": 0},
    ]
    asks = [exact.ask("the room was", **one) for one in options]

    def answers(asks):
        pieces = [[] for _ in asks]
        for at, piece in write(exact.model, exact.tokenizer, asks, exact.eos):
            pieces[at].append(piece)
        for one in pieces:
            assert [piece.finish is not None for piece in one] == [False] * (len(one) - 1) + [True]
        return pieces

    for ask, together in zip(asks, answers(asks), strict=True):
        (alone,) = answers([ask])
        assert [(p.text, p.written, p.finish) for p in alone] == [
            (p.text, p.written, p.finish) for p in together
        ]
        told = [[score for piece in pieces for score in piece.tokens] for pieces in (alone, together)]
        assert [score.id for score in told[0]] == [score.id for score in told[1]]
        assert bool(told[0]) == (ask.top is not None)
        assert all(len(score.top) == ask.top for score in told[0])


def test_probabilities_are_those_of_the_whole_row(exact):
    for one, prompt in zip(exact.generate(PROMPTS, max_new_tokens=6, logprobs=True), PROMPTS, strict=True):
        begun = [*exact.start, *exact.tokenizer.encode(prompt)]
        ids = list(begun)
        figures = []
        for _ in range(one.tokens):
            logp = log_probabilities(exact, ids)[-1]
            ids.append(int(logp.argmax()))
            figures.append(float(logp.max()))
        assert one.logprobs == pytest.approx(figures, abs=1e-9)


CONTINUATIONS = [" clean", " rude", " clean and kind", "，干净", "n", "ing", " "]


@pytest.mark.parametrize("prompt", ["the room was", "房间", "", "the roo", "the waiter was  "])
def test_a_score_is_the_sum_over_the_joint_tokens(exact, prompt):
    """Against the whole row without a cache, whatever the tokens do where the texts meet."""
    scores = exact.score(prompt, CONTINUATIONS)
    for continuation, score in zip(CONTINUATIONS, scores, strict=True):
        ids, ends = exact.tokenizer.encode_with_ends(prompt + continuation)
        logp = log_probabilities(exact, [*exact.start, *ids])
        wanted = [
            float(logp[at, token])
            for at, (token, end) in enumerate(zip(ids, ends, strict=True))
            if end > len(prompt)
        ]
        assert score.logprobs == pytest.approx(wanted, abs=1e-9)
        best = [bool(logp[at].argmax() == token) for at, token in enumerate(ids) if ends[at] > len(prompt)]
        assert score.greedy is all(best)
        assert score.text == continuation and len(score.tokens) == len(wanted)
        alone = exact.score(prompt, [continuation])[0]
        assert alone.logprobs == pytest.approx(score.logprobs, abs=1e-11)


def test_tokens_that_span_the_edge_are_scored_and_split_ones_are_not_forgotten(exact):
    tokens = exact.tokenizer
    # "clean" is one token: after "the cl" its letters are not those of "the cl" + "ean"
    assert len(tokens.encode(" clean")) == 1
    (score,) = exact.score("the room was cl", ["ean"])
    assert score.tokens == (" clean",)
    # a character of several tokens is counted once, whole
    (score,) = exact.score("the", ["例"])
    assert len(score.tokens) == 3
    assert len(exact.score("the例", ["句"])[0].tokens) == 3


@given(st.data())
def test_a_text_is_as_likely_in_two_parts_as_in_one(exact, data):
    """log p(ab) = log p(a) + log p(b | a), where the cut lies between tokens."""
    text = data.draw(st.sampled_from(TEXTS))
    ids, ends = exact.tokenizer.encode_with_ends(text)
    cut = data.draw(st.sampled_from(ends[:-1]))
    whole = exact.score("", [text])[0].logprob
    first, second = exact.score("", [text[:cut]])[0], exact.score(text[:cut], [text[cut:]])[0]
    if exact.tokenizer.encode(text[:cut]) == ids[: len(first.tokens)]:
        assert first.logprob + second.logprob == pytest.approx(whole, abs=1e-9)
    else:  # cut between parts of one character, or one that other tokens are cut at
        assert len(second.tokens) <= len(ids)


@given(st.text(max_size=12))
def test_ends_are_those_of_the_same_tokens(text):
    tokens = TOKENS
    ids, ends = tokens.encode_with_ends(text)
    assert ids == tokens.encode(text) and ends == sorted(ends)
    assert (ends[-1] if ends else 0) == len(text)
    for name in ("<s>", "</s>"):
        ids, ends = tokens.encode_with_ends(text + name + text)
        assert ids == tokens.encode(text + name + text) and ends[-1] == 2 * len(text) + len(name)


TOKENS = tokenizer("decoder")


def test_a_greedy_continuation_is_what_is_written(exact):
    for prompt in PROMPTS:
        written = exact.generate([prompt], max_new_tokens=4, logprobs=True)[0]
        ids, _ = exact.tokenizer.encode_with_ends(prompt + written.text)
        if exact.tokenizer.decode(ids) == prompt + written.text and "\ufffd" not in written.text:
            (score,) = exact.score(prompt, [written.text])
            if len(score.tokens) == written.tokens:
                assert score.greedy and score.logprobs == pytest.approx(written.logprobs, abs=1e-9)


def test_an_encoder_decoder_scores_its_target(translator):
    scores = translator.score("the room was clean", ["房间", "很干净。", "x"])
    model = translator.loaded
    for score in scores:
        logits = model.logits("the room was clean", score.text)
        logp = torch.log_softmax(logits.double(), -1)
        wanted = [float(logp[at, token]) for at, token in enumerate(model.tokenizer.encode(score.text))]
        assert score.logprobs == pytest.approx(wanted, abs=1e-4)


def test_rows_and_tails_agree(exact):
    rows = [[1, 5, 6, 7, 8], [1, 5, 9], [1], [1, 5]]
    whole = read_rows(exact.model, rows, top=2)
    assert [[score.id for score in row] for row in whole] == rows
    assert whole[0][0].logprob is None and len(whole[0][1].top) == 2
    tails = read_tails(exact.model, [1, 5], [[6, 7, 8], [9]], together=1)
    for row, tail in ((whole[0][2:], tails[0]), (whole[1][2:], tails[1])):
        assert [one.logprob for one in row] == pytest.approx([one.logprob for one in tail], abs=1e-10)


class TestStop:
    @given(st.data())
    def test_the_text_ends_before_the_first_stop_string(self, data):
        text = data.draw(st.text("ab例🙂 ", max_size=20))
        stop = data.draw(st.lists(st.text("ab例 ", min_size=1, max_size=3), max_size=3))
        running, shown = RunningText(TOKENS, stop=stop), ""
        for token in TOKENS.encode(text):
            shown += running.push(token)
            assert running.text.startswith(shown)
            if running.stopped:
                break
        shown += running.finish()
        places = [at for one in stop if (at := text.find(one)) >= 0]
        assert shown == running.text == (text[: min(places)] if places else text)
        assert running.stopped == bool(places)

    def test_nothing_is_shown_that_a_stop_string_takes_back(self):
        running, shown = RunningText(TOKENS, stop=["\nUser:"]), []
        for token in TOKENS.encode("a\nUse b\nUser: c"):
            shown.append(running.push(token))
        assert "".join(shown) + running.finish() == "a\nUse b" and running.stopped

    def test_generation_stops(self, exact):
        whole = exact.generate(["the room was"], max_new_tokens=12)[0].text
        cut = next(at for at in range(2, len(whole)) if whole[at] != "\ufffd" and whole[at] not in whole[:at])
        found = exact.generate(
            ["the room was"], max_new_tokens=12, stop=["nowhere", whole[cut]], logprobs=True
        )[0]
        assert (found.text, found.finish) == (whole[:cut], "stop")
        assert found.tokens < 12 and len(found.logprobs) <= found.tokens

    def test_spaces_of_a_sentencepiece_vocabulary_stay(self, tmp_path):
        tokens = tokenizer("decoder", "unigram")
        model = LocalModel(make(tmp_path / "u", tokens=tokens))
        ids = tokens.encode("the room was clean")
        running = RunningText(tokens, ids[:2])
        shown = "".join(running.push(token) for token in ids[2:]) + running.finish()
        assert tokens.decode(ids[:2]) + shown == "the room was clean"
        assert model.generate(["the room"], max_new_tokens=3)[0].tokens == 3


def test_streamed_is_whole(exact, translator):
    for model in (exact, translator):
        for prompt in PROMPTS:
            pieces = list(model.stream(prompt, max_new_tokens=8, temperature=0.7, seed=2))
            whole = model.generate([prompt], max_new_tokens=8, temperature=0.7, seed=2)[0].text
            assert "".join(pieces) == whole and all(pieces)


def test_where_an_answer_ends(exact):
    long = "the room was " * 30
    count = len(exact.tokenizer.encode(long))
    with pytest.raises(RequestError, match=f"{count + 1} tokens; the model takes 64"):
        exact.generate([long])
    fits = "a" * 60
    assert len(exact.tokenizer.encode(fits)) == 60
    found = exact.generate([fits], max_new_tokens=50)[0]
    assert (found.finish, found.tokens) == ("length", 3)  # the start token, 60, and 3 more
    with pytest.raises(RequestError, match="65 tokens; the model takes 64"):
        exact.score("a" * 60, ["a", "aaaa"])


def test_what_cannot_be_asked(writer, translator, tmp_path):
    for wrong in (
        lambda: writer.generate("one text"),
        lambda: writer.score("a", "b"),
        lambda: writer.score("a", [""]),
        lambda: writer.generate(["a"], temperature=-1),
        lambda: writer.generate(["a"], top_p=0),
        lambda: writer.generate(["a"], max_new_tokens=-1),
        lambda: writer.generate(["a"], seed=-1),
        lambda: writer.generate([[]]),
        lambda: writer.generate([[{"role": "robot", "content": "a"}]]),
        lambda: translator.generate([" "]),
        lambda: translator.score("a" * 80, ["b"]),
        lambda: classify(writer, ["a"], ["yes"]),
        lambda: classify(writer, ["a"], {"yes": " a", "no": " a"}),
        lambda: classify(writer, ["a"], ["yes", "no"], "words"),
        lambda: classify(writer, "a", ["yes", "no"]),
        lambda: LocalModel(make(tmp_path / "e", "encoder")),
    ):
        with pytest.raises(RequestError):
            wrong()
    assert writer.score("a", []) == [] and writer.generate([]) == []
    assert writer.generate(["a"], max_new_tokens=0)[0].text == ""


def test_classification_by_likelihood(exact):
    labels = {"good": " clean and kind", "bad": " rude"}
    answers = classify(exact, PROMPTS[:3], labels)
    for prompt, answer in zip(PROMPTS, answers, strict=False):
        scores = dict(zip(labels, exact.score(prompt, list(labels.values())), strict=True))
        assert answer["logprobs"] == {name: score.logprob for name, score in scores.items()}
        assert answer["label"] == max(scores, key=lambda name: scores[name].logprob)
        assert sum(answer["scores"].values()) == pytest.approx(1)
        assert answer["score"] == max(answer["scores"].values())
    by_tokens, by_bytes = (classify(exact, PROMPTS[:3], labels, how) for how in ("tokens", "bytes"))
    for prompt, one, other in zip(PROMPTS, by_tokens, by_bytes, strict=False):
        scores = dict(zip(labels, exact.score(prompt, list(labels.values())), strict=True))
        assert one["label"] == max(scores, key=lambda name: scores[name].logprob / len(scores[name].tokens))
        assert other["label"] == max(scores, key=lambda name: scores[name].logprob / len(labels[name]))


def test_its_answers_are_judged_as_those_of_a_classification_model(exact):
    labels = ["clean", "rude"]
    examples = [Example({"text": text, "label": label}, "toy") for text in PROMPTS[:3] for label in labels]
    answers = classify(exact, [example["text"] for example in examples], labels)
    task = Classification.of(examples, 64)
    found = task.score(answers, examples)
    assert found["accuracy"] == 0.5  # each text once with each label
    assert found["accuracy"] == accuracy([a["label"] for a in answers], [e["label"] for e in examples])
