"""The held-out loss of parts: each sample is computed once, and the parts give the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, held_out, held_out_by
from liju.objective.cells import combined
from liju.objective.examples import shards, tokenizer

FAMILIES = {"encoder": Masked, "decoder": Causal, "encdec": Denoising}


def build(family):
    words = tokenizer(family)
    torch.manual_seed(3)
    config = TransformerConfig.default(
        family, vocab_size=words.size, d_model=12, num_heads=3, num_layers=1, d_ff=20, max_length=16
    )
    model = Transformer(config)
    if family == "encoder":
        model.add_head("next_sentence", 2)
    with torch.no_grad():  # so that losses differ from sample to sample
        for parameter in model.parameters():
            parameter *= 4
    return model.double(), FAMILIES[family](shards(family), words, max_length=16)


class Counted:
    """An objective that counts how often each sample is asked for."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def sample(self, number):
        self.asked.append(number)
        return self.inner.sample(number)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_is_the_whole_and_a_part_is_that_part(family):
    model, objective = build(family)
    count = objective.size
    language = ["zh" if n % 3 else "en" for n in range(count)]
    source = ["a", "a", "b", "c"] * count
    counted = Counted(objective)
    found = held_out_by(model, counted, {"loss/": language, "loss/source/": source[:count]})
    assert sorted(counted.asked) == list(range(count))
    whole = held_out(model, objective)
    assert {name: found[name] for name in whole} == pytest.approx(whole, rel=1e-6)
    for key, names in (("loss/", language), ("loss/source/", source[:count])):
        for name in set(names):
            numbers = [n for n in range(count) if names[n] == name]
            alone = held_out(model, objective, numbers=numbers)["loss"]
            assert found[key + name] == pytest.approx(alone, rel=1e-6), name
    assert set(found) - set(whole) == {"loss/zh", "loss/en", *(f"loss/source/{name}" for name in "abc")}
    assert found["loss/zh"] != pytest.approx(found["loss/en"], rel=1e-4)


def test_one_name_adds_nothing():
    model, objective = build("decoder")
    whole = held_out(model, objective, most=5)
    assert held_out_by(model, objective, {"loss/": ["zh"] * 5}) == whole
    found = held_out_by(model, objective, {"loss/": ["zh"] * 5, "loss/source/": list("aabab")})
    assert set(found) - set(whole) == {"loss/source/a", "loss/source/b"}
    assert held_out_by(model, objective, {}) == held_out(model, objective)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_document_of_a_sample_is_where_its_tokens_are_from(family):
    _, objective = build(family)
    numbers = np.arange(2 * objective.size)
    words, special = tokenizer(family), set()
    for name in ("bos", "eos", "pad", "cls", "sep", "mask"):
        special.add(getattr(words, name))
    special |= set(words.sentinels or ())
    for number, document in zip(numbers, objective.documents(numbers), strict=True):
        sample = objective.sample(int(number))
        if family == "encoder":  # the first segment, and what was hidden in it
            tokens = sample.encoder.copy()
            tokens[sample.goals["words"].places] = sample.goals["words"].values
            tokens = tokens[sample.types == 0]
        else:
            sides = [side for side in (sample.encoder, sample.decoder) if side is not None]
            tokens = np.concatenate([*sides, sample.goals["words"].values])
        theirs = set(objective.shards.document(document).tolist())
        assert {int(token) for token in tokens} - special <= theirs


part = st.tuples(st.floats(0, 50), st.integers(1, 40), st.integers(0, 40))


@settings(max_examples=60)
@given(st.lists(part, min_size=1, max_size=6), st.integers(0, 5))
def test_combining_is_a_mean_by_targets(parts, cut):
    def one(nats, count, right):
        right = min(right, count)
        told = {"words": nats / count, "words_nats": nats, "words_count": float(count)}
        return {**told, "words_accuracy": right / count, "loss": nats / count}

    given_ = [one(*each) for each in parts]
    together = combined(given_, {"words": 1.0})
    count = sum(count for _, count, _ in parts)
    assert together["words_count"] == count
    assert together["loss"] == pytest.approx(sum(nats for nats, *_ in parts) / count)
    right = sum(min(right, count) for _, count, right in parts)
    assert together["words_accuracy"] == pytest.approx(right / count)
    halves = [combined(half, {"words": 1.0}) for half in (given_[:cut], given_[cut:]) if half]
    assert combined(halves, {"words": 1.0}) == pytest.approx(together)
