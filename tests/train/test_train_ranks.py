"""Law 3 over ranks: on any number of them, at any micro-batch, for every objective, the samples are those of
one process, in its order; other text or another tokenizer is refused."""

import hashlib
import json

import pytest
import torch
import torch.distributed as dist
from rank_toy import on_ranks

from liju.config import Finetune, Vocab
from liju.errors import CheckpointError
from liju.finetune import Classification, Example, finetune
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Denoising, Masked, Translation
from liju.objective.examples import TEXTS, shards, tokenizer
from liju.samples import Steps
from liju.samples.shards import write_shards
from liju.train import TrainSettings, train, training
from liju.vocab import train as train_vocabulary

STEPS = 6
NAMES = ["masked", "causal", "denoising", "translation", "classification"]
FAMILIES = dict(zip(NAMES, ["encoder", "decoder", "encdec", "encdec", "encoder"], strict=True))
LABELLED = [
    Example({"text": text[: 5 + 3 * i], "label": ["short", "long"][i % 2]}, f"toy:{i}")
    for i, text in enumerate(TEXTS * 3)
]


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = TransformerConfig.default(
            FAMILIES[name],
            vocab_size=tokenizer(FAMILIES[name]).size,
            d_model=12,
            num_heads=2,
            num_layers=1,
            d_ff=14,
            max_length=24,
            dropout=0.0,
        )
        model = Transformer(config)
        if name == "masked":
            model.add_head("next_sentence", 2)
    return model


def objective_of(name):
    words = tokenizer(FAMILIES[name])
    if name == "masked":
        return Masked(shards("encoder"), words, max_length=19, seed=5)
    if name == "causal":
        return Causal(shards("decoder"), words, max_length=11, seed=5)
    if name == "denoising":
        return Denoising(shards("encdec"), words, max_length=13, seed=5)
    pieces = [words.encode(text)[: 3 + i] for i, text in enumerate(TEXTS * 3)]
    return Translation(pieces, pieces[::-1], words, max_length=23, seed=5)


def digest(sample):
    """Of everything that a sample is: tokens, masks, spans, what is to be predicted and its weight."""
    found = hashlib.sha256()
    for part in (sample.encoder, sample.decoder, sample.types):
        found.update(repr(None if part is None else part.tolist()).encode())
    for name, goal in sorted(sample.goals.items()):
        weight = getattr(goal, "weights", None)
        found.update(repr((name, goal.places.tolist(), goal.values.tolist(), repr(weight))).encode())
    return found.hexdigest()


def go(name, folder, told, micro, until=0):
    """Train as far as step `until`, from wherever the folder is; what this rank's steps were made of."""
    seen = []
    inner = training.accumulate

    def accumulate(model, batches, *args):
        seen.append([batch.samples for batch in batches])
        return inner(model, batches, *args)

    training.accumulate = accumulate
    try:
        model = network(name)
        if name == "classification":
            task = Classification(["long", "short"], 24)
            words, more = tokenizer("encoder"), {"seed": 7, "device": "cpu", "precision": "float32"}
            asked = Finetune(epochs=3.0, batch_tokens=120, learning_rate=1e-3, dropout=0.0)
            objective = task.objective(LABELLED, words, asked, 7)
            looks = {"resume": True, "looks": 3, "stop_after": until // 2}
            finetune(model, words, task, LABELLED, asked, folder, **more, **looks)
        else:
            objective = objective_of(name)
            settings = TrainSettings(
                steps=STEPS,
                batch_tokens=90,
                micro_batch_tokens=micro,
                learning_rate=1e-3,
                save_every=2,
                precision="float32",
                compile="off",
                layout="grouped",
                device="cpu",
                seed=7,
                **told,
            )
            train(model, objective, settings, folder, resume=True, stop_after=until or None)
    finally:
        training.accumulate = inner
    rows = [[int(n) for batch in step for n in batch] for step in seen]
    return [[[n, digest(objective.sample(n))] for n in step] for step in rows]


def ranked(folder, told, names):
    """On each rank: a whole run, and the middle of a run that one process began."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for name in names:
        whole = go(name, folder / f"{name}-whole-{size}", told, 30)
        middle = go(name, folder / f"{name}-parts-{size}", told, 25, until=4)
        (folder / f"{name}-{size}-{rank}.json").write_text(json.dumps([whole, middle]))


def together(ranks, step):
    """The samples of a step in the order in which ranks take turns."""
    rows = [sorted(rank[step]) for rank in ranks]
    return [row[i] for i in range(max(map(len, rows))) for row in rows if i < len(row)]


def check(folder, size, names, told):
    alone = {}
    for name in names:
        alone[name] = [sorted(step) for step in go(name, folder / f"{name}-alone", {}, 40)]
        before = go(name, folder / f"{name}-parts-{size}", {}, 40, until=2)
        assert [sorted(step) for step in before] == alone[name][:2]
    on_ranks(size, ranked, folder, told, names)
    for name in names:
        expected = alone[name]
        assert len(expected) >= STEPS and all(expected)
        runs = [json.loads((folder / f"{name}-{size}-{rank}.json").read_text()) for rank in range(size)]
        whole, middle = ([run[i] for run in runs] for i in (0, 1))
        assert [together(whole, step) for step in range(len(expected))] == expected, name
        assert [together(middle, step) for step in range(2)] == expected[2:4], name
        assert all(len(rank) == 2 for rank in middle)
        assert any(len(run[0]) > 0 for run in whole[1:])  # the other ranks had their share
        after = go(name, folder / f"{name}-parts-{size}", {}, 15)
        assert [sorted(step) for step in after] == expected[4:], name
    return alone


def test_two_ranks_see_the_samples_of_one_in_its_order(tmp_path):
    alone = check(tmp_path, 2, NAMES, {"sharding": "replicate"})
    # ... which are those that the step alone says.
    steps = Steps(objective_of("causal"), 90, 7)
    assert [[n for n, _ in step] for step in alone["causal"]] == [
        steps.numbers(step).tolist() for step in range(STEPS)
    ]


@pytest.mark.slow
def test_four_ranks_that_share_the_weights_see_the_samples_of_one(tmp_path):
    check(tmp_path, 4, NAMES, {"sharding": "shard"})


def refused(folder, told):
    settings = TrainSettings(steps=4, batch_tokens=60, save_every=2, compile="off", device="cpu", **told)
    train(network("causal"), objective_of("causal"), settings, folder / "run", stop_after=2)
    other = train_vocabulary(TEXTS, Vocab(size=tokenizer("decoder").size - 20), "decoder")
    texts = write_shards(TEXTS, other, folder / f"tokens-{dist.get_rank()}")
    here, there = objective_of("causal"), Causal(texts, other, max_length=11, seed=5)
    with pytest.raises(CheckpointError, match="the fingerprint of the data") as caught:
        train(network("causal"), there, settings, folder / "run", resume=True)
    assert here.fingerprint != there.fingerprint
    assert here.fingerprint in caught.value.message and there.fingerprint in caught.value.message
    train(network("causal"), here, settings, folder / "run", resume=True)


@pytest.mark.parametrize("sharding", ["replicate", "shard"])
def test_another_tokenizer_is_refused_by_every_rank_with_both_fingerprints(tmp_path, sharding):
    on_ranks(2, refused, tmp_path, {"sharding": sharding})
