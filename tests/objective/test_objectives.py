"""What objectives promise: nothing is lost, lengths are known, samples are functions of (seed, number)."""

from collections import Counter

import numpy as np
import pytest

from liju.config import Vocab
from liju.errors import TrainingError
from liju.objective import Causal, Denoising, Masked, Translation
from liju.samples import write_shards
from liju.vocab import train

TEXTS = [
    f"Line {i} of many. It has {i % 7} parts, and then one more. 第{i}句话。还有一句！" * (1 + i % 3)
    for i in range(60)
]
TEXTS += ["Alone", "长" * 200]


@pytest.fixture(scope="module", params=["encoder", "decoder", "encdec"])
def world(request, tmp_path_factory):
    tokenizer = train(TEXTS, Vocab(size=500), request.param)
    return request.param, tokenizer, write_shards(TEXTS, tokenizer, tmp_path_factory.mktemp("s") / "t")


def build(world, seed=0, length=32):
    family, tokenizer, shards = world
    kind = {"encoder": Masked, "decoder": Causal, "encdec": Denoising}[family]
    return kind(shards, tokenizer, length, seed)


def test_lengths_are_those_of_the_samples_and_fit(world):
    objective = build(world)
    numbers = np.arange(2 * objective.size)
    lengths = objective.lengths(numbers)
    assert [objective.sample(int(n)).lengths for n in numbers] == [tuple(row) for row in lengths.tolist()]
    assert lengths.max() <= 32


def test_samples_depend_on_seed_and_number_alone(world):
    objective, again, other = build(world), build(world), build(world, seed=1)
    for number in (0, 7, objective.size + 3):
        one, two = objective.sample(number), again.sample(number)
        for name in ("encoder", "decoder", "types"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
        for name in one.goals:
            assert np.array_equal(one.goals[name].places, two.goals[name].places)

    def streams(o):
        return [
            np.concatenate([x for x in (s.encoder, s.decoder) if x is not None]).tolist()
            for s in map(o.sample, range(9))
        ]

    assert streams(objective) != streams(other)


def test_every_token_is_seen_exactly_once_a_pass(world):
    family, _tokenizer, shards = world
    objective = build(world)
    seen = Counter()
    for number in range(objective.size):
        sample = objective.sample(number)
        goal = sample.goals["words"]
        if family == "decoder":
            seen.update(goal.values.tolist())
        elif family == "encoder":
            whole = sample.encoder.copy()
            whole[goal.places] = goal.values
            seen.update(whole.tolist())
        else:
            seen.update(sample.encoder.tolist() + goal.values.tolist())
    tokens = Counter(shards.tokens.tolist())
    special = set(range(5)) | set(getattr(_tokenizer, "sentinels", ()))
    assert {t: n for t, n in seen.items() if t not in special} == {
        t: n for t, n in tokens.items() if t not in special
    }


def test_masked_words_follow_the_paper(world):
    if world[0] != "encoder":
        pytest.skip("masked words are for encoders")
    objective, tokenizer = build(world, length=64), world[1]
    fates, labels = Counter(), Counter()
    for number in range(4 * objective.size):
        sample = objective.sample(number)
        goal = sample.goals["words"]
        special = np.isin(sample.encoder, [tokenizer.cls, tokenizer.sep]) & ~np.isin(
            np.arange(len(sample.encoder)), goal.places
        )
        assert len(goal.places) == max(1, round(0.15 * (~special).sum()))
        assert len(set(goal.places.tolist())) == len(goal.places)
        now = sample.encoder[goal.places]
        fates.update(np.where(now == tokenizer.mask, "mask", np.where(now == goal.values, "same", "noise")))
        if "next_sentence" in sample.goals:
            labels.update(sample.goals["next_sentence"].values.tolist())
            assert set(sample.types.tolist()) == {0, 1}
    total = sum(fates.values())
    assert fates["mask"] / total == pytest.approx(0.8, abs=0.03)
    assert fates["noise"] / total == pytest.approx(0.1, abs=0.03)
    assert labels[1] / sum(labels.values()) == pytest.approx(0.5, abs=0.1)


def test_not_next_means_another_document(world):
    if world[0] != "encoder":
        pytest.skip("next sentence is for encoders")
    objective = build(world)
    numbers = np.arange(objective.size)
    a, b = objective.pairs(numbers)
    chunks = objective.chunks
    assert (chunks.document[a] != chunks.document[b])[a != b].all()
    assert (a != b).sum() > 10


def test_spans_give_the_text_back(world):
    if world[0] != "encdec":
        pytest.skip("spans are for encoder-decoders")
    _, tokenizer, shards = world
    objective = build(world)
    for number in range(0, objective.size, 5):
        sample = objective.sample(number)
        target, spans, current = sample.goals["words"].values.tolist(), {}, None
        assert sample.decoder.tolist() == [tokenizer.pad, *target[:-1]] and target[-1] == tokenizer.eos
        for token in target[:-1]:
            if token in tokenizer.sentinels:
                current = spans.setdefault(token, [])
            else:
                current.append(token)
        back = [t for token in sample.encoder[:-1].tolist() for t in spans.get(token, [token])]
        document, start, end = objective.pieces[objective.order[number]]
        assert back == shards.document(document)[start:end].tolist()


def test_what_does_not_fit_is_refused():
    tokenizer = train(TEXTS, Vocab(size=400), "encdec")
    with pytest.raises(TrainingError, match="pair 1 is longer"):
        Translation([[7], [7] * 9], [[8], [8]], tokenizer, max_length=9)
    with pytest.raises(TrainingError, match=r"\[MASK\]"):
        Masked(None, tokenizer, 16)
