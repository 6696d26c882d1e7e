"""Ends, limits, sampling and beams."""

import itertools

import numpy as np
import pytest
import torch
from model_toys import build

from liju.errors import RequestError
from liju.generate import KeyValueCache, Sampling, Session, beam_search, generate, length_penalty, stream
from liju.samples.batch import Side


def test_a_row_ends_at_its_own_end_token():
    model = build("llama")
    free = generate(model, [[1, 5], [6]], eos=None, max_new_tokens=9)
    end = free[0][2]
    got = generate(model, [[1, 5], [6]], eos=end, max_new_tokens=9)
    assert got[0] == free[0][: free[0].index(end)]
    assert got[1] == free[1][: free[1].index(end)] if end in free[1] else free[1]
    assert generate(model, [[1, 5]], eos=[end, 99], max_new_tokens=9)[0] == got[0]


def test_stream_is_generate_and_leaves_the_model_as_it_was():
    model = build("t5", dropout=0.5).train()
    kept = stream(model, source=[3, 4, 5], eos=None, max_new_tokens=5)
    first = next(kept)
    assert model.training
    assert [first, *kept] == generate(model, sources=[[3, 4, 5]], eos=None, max_new_tokens=5)[0]
    assert model.training


def test_a_row_ends_with_the_table_of_positions():
    model = build("gpt2")  # 16 positions
    assert [len(a) for a in generate(model, [[1] * 13, [2] * 16], eos=None, max_new_tokens=9)] == [4, 1]
    assert [len(a) for a in generate(model, [[1] * 13], eos=None, max_new_tokens=9, beam=2)] == [4]
    with pytest.raises(RequestError, match="prompt 0 has 17 tokens"):
        generate(model, [[1] * 17], eos=None, max_new_tokens=9)
    long = generate(build("llama"), [[1] * 13], eos=None, max_new_tokens=40)
    assert len(long[0]) == 40  # nothing ends a rotary model, and its cache grows


@pytest.mark.parametrize(
    "case, request_, match",
    [
        ("bert", {"prompts": [[1]]}, "does not write"),
        ("llama", {"prompts": [[]]}, "prompt 0 is empty"),
        ("llama", {"prompts": [[1], [23]]}, "prompt 1 has a token outside"),
        ("llama", {"prompts": [[1]], "sources": [[1]]}, "takes no sources"),
        ("t5", {"prompts": [[1]]}, "needs sources"),
        ("t5", {"prompts": [[1]], "sources": [[1], [2]]}, "1 prompts but 2 sources"),
        ("llama", {"prompts": [[1]], "beam": 2, "temperature": 1.0}, "draws nothing"),
        ("llama", {"prompts": [[1]], "temperature": -1.0}, "temperature"),
        ("llama", {"prompts": [[1]], "top_p": 0.0}, "top_p"),
        ("llama", {"prompts": [[1]], "seed": [1, 2]}, "1 prompts but 2 seeds"),
    ],
)
def test_what_cannot_be_answered(case, request_, match):
    with pytest.raises(RequestError, match=match):
        generate(build(case), eos=None, max_new_tokens=3, **request_)


def test_nothing_asked():
    assert generate(build("llama"), [], eos=None, max_new_tokens=3) == []
    assert generate(build("t5"), sources=[[1, 2]], eos=None, max_new_tokens=3)[0]


def test_sampling_by_hand():
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert Sampling(1.0).probabilities(logits)[0].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert Sampling(1.0, top_k=2).probabilities(logits)[0].tolist() == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert Sampling(1.0, top_p=0.5).probabilities(logits)[0].tolist() == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert Sampling(1.0, top_p=0.01).probabilities(logits)[0].tolist() == pytest.approx([1, 0, 0, 0])
    cold = torch.tensor([0.16, 0.09, 0.04, 0.01]) / 0.3
    assert Sampling(0.5).probabilities(logits)[0].tolist() == pytest.approx(cold.tolist())


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(8000, 4)
    drawn = Sampling(1.0, top_k=3).choose(logits, [np.random.default_rng(i) for i in range(8000)])
    share = np.bincount(drawn, minlength=4) / 8000
    assert share == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0], abs=0.02)


def test_seeds():
    model = build("llama")
    how = {"eos": None, "max_new_tokens": 6, "temperature": 2.0}
    three = generate(model, [[1, 5]] * 3, seed=7, **how)
    assert three[0] != three[1]
    assert generate(model, [[1, 5]], seed=8, **how)[0] == three[1]


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("case", ["llama", "t5"])
def test_a_wide_beam_is_exhaustive(case, alpha):
    """With as many beams as there are answers, the best answers are those of trying all."""
    vocab, end, longest, prompt, source = 3, 2, 3, [1, 0], [0, 2, 1, 1]
    model = build(case, vocab_size=vocab)
    sources = [source] if case == "t5" else None
    memory = {}
    if sources:
        side = Side.of(torch.tensor(sources))
        with torch.no_grad():
            memory = {"memory": model.encode(side), "memory_side": side}
    every = {}
    for length in range(1, longest + 1):
        for answer in itertools.product(range(vocab), repeat=length):
            if end in answer[:-1] or (answer[-1] != end and length < longest):
                continue
            with torch.no_grad():
                hidden = model.decode(Side.of(torch.tensor([[*prompt, *answer]])), **memory)
            logp = model.predict("words", hidden[0]).log_softmax(-1)
            total = sum(float(logp[len(prompt) - 1 + i, token].detach()) for i, token in enumerate(answer))
            words = answer[:-1] if answer[-1] == end else answer
            every[words, answer[-1] == end] = total / length_penalty(length, alpha)
    want = sorted(every.values(), reverse=True)
    found = beam_search(
        Session(model, [prompt], sources), eos=[end], max_new_tokens=longest, beam=30, alpha=alpha
    )[0]
    assert [hypothesis.score for hypothesis in found] == pytest.approx(want)
    best = max(every, key=every.get)
    assert found[0].tokens == best[0]


def test_one_beam_is_greedy_when_nothing_ends():
    model = build("llama")
    found = beam_search(Session(model, [[1, 5], [6]]), eos=[], max_new_tokens=5, beam=1)
    greedy = generate(model, [[1, 5], [6]], eos=None, max_new_tokens=5)
    assert [list(hypotheses[0].tokens) for hypotheses in found] == greedy


def test_more_beams_do_not_find_worse():
    model = build("bart")
    scores = []
    for beam in (1, 2, 4, 8):
        session = Session(model, [[0]], [[5, 6, 7]])
        scores.append(beam_search(session, eos=[2], max_new_tokens=6, beam=beam, alpha=0.0)[0][0].score)
    assert scores[-1] >= scores[0] - 1e-12


def test_a_cache_grows_and_selects():
    cache = KeyValueCache(blocks=1, rows=2, capacity=2)
    memory = cache.own(0)
    for step in range(5):
        new = torch.full((2, 1, 1, 3), float(step))
        memory.extend(new, -new)
        cache.advance([1, 1])
    cache.select([1, 1, 0])
    key, value = memory.read()
    assert key.shape == (3, 1, 5, 3)
    assert key[2, 0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(value, -key)
