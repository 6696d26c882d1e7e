"""Cached = uncached (law 4) and together = alone (law 5), for every model that writes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_toys import CASES, VOCAB, build

from liju.generate import KeyValueCache, Session, generate
from liju.samples.batch import Sample, Side, assemble

WRITERS = [case for case, (family, _) in CASES.items() if family != "encoder"]
writers = pytest.mark.parametrize("case", WRITERS)


def drawn(model, lengths, seed=0):
    random = np.random.default_rng(seed)
    prompts = [random.integers(0, VOCAB, target).tolist() for _, target in lengths]
    sources = [random.integers(0, VOCAB, source).tolist() for source, _ in lengths]
    return prompts, sources if model.encoder is not None else None


def uncached(model, prompt, source):
    """The logits at every place of one row, computed from scratch."""
    memory = memory_side = None
    if source is not None:
        memory_side = Side.of(torch.tensor([source]))
        memory = model.encode(memory_side)
    hidden = model.decode(Side.of(torch.tensor([prompt])), memory, memory_side)
    return model.predict("words", hidden[0])


@writers
@settings(max_examples=5, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_cached_is_uncached(case, lengths, seed):
    """Prompts of different lengths read at once, then five tokens written one by one."""
    model = build(case)
    prompts, sources = drawn(model, lengths, seed)
    session = Session(model, prompts, sources)
    for token in range(5):
        for row, prompt in enumerate(prompts):
            with torch.no_grad():
                want = uncached(model, prompt, None if sources is None else sources[row])[-1]
            torch.testing.assert_close(session.logits[row], want, rtol=0, atol=1e-11)
        tokens = [(token * 7 + row) % VOCAB for row in range(len(prompts))]
        session.step(tokens)
        prompts = [[*prompt, token] for prompt, token in zip(prompts, tokens, strict=True)]


@writers
def test_several_tokens_at_once(case):
    """A cache takes pieces of any length, different for each row (empty places last)."""
    model = build(case)
    prompts, sources = drawn(model, [(5, 9), (3, 6), (4, 2)])
    cache = KeyValueCache.of(model.config, rows=3, capacity=2)
    memory = memory_side = None
    if sources is not None:
        memory_side = assemble([Sample(0, encoder=np.array(source)) for source in sources]).encoder
    got = [[] for _ in prompts]
    with torch.no_grad():
        if sources is not None:
            memory = model.encode(memory_side)
        for piece in ([3, 2, 1], [1, 3, 1], [5, 1, 0]):
            starts = list(cache.lengths)
            parts = [prompt[a : a + n] for prompt, a, n in zip(prompts, starts, piece, strict=True)]
            side = assemble([Sample(0, decoder=np.array(part, dtype=np.int64)) for part in parts]).decoder
            logits = model.predict("words", model.decode(side, memory, memory_side, cache).flatten(0, 1))
            logits = logits.unflatten(0, side.tokens.shape)
            for row, n in enumerate(piece):
                got[row].extend(logits[row, :n])
        for row, prompt in enumerate(prompts):
            want = uncached(model, prompt, None if sources is None else sources[row])
            torch.testing.assert_close(torch.stack(got[row]), want, rtol=0, atol=1e-11)


@writers
@pytest.mark.parametrize("how", [{}, {"temperature": 0.9, "top_k": 9, "top_p": 0.9}, {"beam": 3}])
def test_together_is_alone(case, how):
    model = build(case)
    prompts, sources = drawn(model, [(5, 4), (2, 1), (7, 3), (1, 6)])
    seeds = {} if "beam" in how else {"seed": [5, 3, 5, 11]}
    together = generate(model, prompts, sources=sources, eos=[4, 7], max_new_tokens=8, **how, **seeds)
    for row, prompt in enumerate(prompts):
        source = None if sources is None else [sources[row]]
        own = {name: [value[row]] for name, value in seeds.items()}
        alone = generate(model, [prompt], sources=source, eos=[4, 7], max_new_tokens=8, **how, **own)
        assert together[row] == alone[0]


@writers
def test_greedy_is_the_best_token_each_time(case):
    model = build(case)
    prompts, sources = drawn(model, [(5, 4)])
    got = generate(model, prompts, sources=sources, eos=None, max_new_tokens=6, start=3)[0]
    written = [3, *prompts[0]]
    for token in got:
        with torch.no_grad():
            assert token == uncached(model, written, None if sources is None else sources[0])[-1].argmax()
        written.append(token)
    assert len(got) == 6
