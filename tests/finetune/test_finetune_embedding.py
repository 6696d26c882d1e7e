"""Vectors of texts: learned from pairs, the loss by its formula, laws 1 and 2, the folder for others."""

import json
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from finetune_toys import LENGTH, NAMES, WORDS, examples, network, sentences, settings, vocabulary
from hypothesis import given
from hypothesis import settings as how_often
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune
from liju.errors import BundleError, DataError, RequestError
from liju.finetune import Embedding, Groups, finetune, load
from liju.hub import load_bundle, save_bundle
from liju.objective.contrastive import TEMPERATURE
from liju.samples import micro_batches
from liju.train.step import accumulate

HOW = Evaluate()


def pairs(count, seed=0):
    """A sentence and its words in the other language, in any order."""
    name, draw, rows = dict(zip(WORDS, NAMES, strict=True)), random.Random(seed), []
    for s in sentences(count, seed, 2, 4):
        other = [name[w] for w in s.split()]
        draw.shuffle(other)
        rows.append({"text": s, "pair": " ".join(other)})
    return examples(rows)


def groups(rows, group=3, **how):
    return Groups(
        [(e["text"], e["pair"], e.values.get("negative", "")) for e in rows],
        vocabulary("encoder"),
        LENGTH,
        group=group,
        **how,
    )


@pytest.fixture(scope="module")
def model():
    return network("encoder", vocabulary("encoder")).double().eval()


def test_every_pass_has_every_pair_once_beside_others():
    objective = groups(pairs(11))
    assert objective.size == 4
    passes = [[objective.members(n).tolist() for n in range(4 * p, 4 * p + 4)] for p in range(2)]
    for found in passes:
        assert sorted(one for group in found for one in group) == list(range(11)) and {
            len(g) for g in found
        } == {2, 3}
    assert sorted(map(sorted, passes[0])) != sorted(map(sorted, passes[1]))
    again = groups(pairs(11))
    assert (
        again.members(5).tolist() == objective.members(5).tolist()
        and again.fingerprint == objective.fingerprint
    )
    assert groups(pairs(11), seed=1).members(5).tolist() != objective.members(5).tolist()


def test_the_loss_is_in_batch_cross_entropy_of_cosines(model):
    """As MultipleNegativesRankingLoss of sentence-transformers: candidates are all second and third texts."""
    rows = pairs(3)
    rows[1].values["negative"] = "rot hund"
    objective = groups(rows)
    sample = objective.sample(0)
    assert len(sample.parts) == 7
    task = Embedding(LENGTH)

    def vectors(texts):
        return torch.tensor(task.vectors(model, objective.tokenizer, texts), dtype=torch.float64)

    members = [rows[i] for i in objective.members(0)]
    a = vectors([e["text"] for e in members])
    b = vectors([e["pair"] for e in members] + ["rot hund"])
    expected = F.cross_entropy(a @ b.T / TEMPERATURE, torch.arange(3))
    found = accumulate(model, micro_batches([sample], 10**6), objective.weights)
    assert found.loss == pytest.approx(float(expected), rel=1e-5)


def test_pairs_that_share_a_text_are_not_told_apart(model):
    twice = examples([{"text": "red cat", "pair": "rot katze"}, {"text": "red cat", "pair": "katze rot"}])
    assert accumulate(
        model, micro_batches([groups(twice).sample(0)], 999), {"vector": 1.0}
    ).loss == pytest.approx(0)
    apart = examples([{"text": "red cat", "pair": "rot katze"}, {"text": "red dog", "pair": "katze rot"}])
    assert accumulate(model, micro_batches([groups(apart).sample(0)], 999), {"vector": 1.0}).loss > 0.1


@pytest.fixture(scope="module", params=["mean", "cls"])
def whole(request, model):
    objective = groups(pairs(13), pooling=request.param)
    samples = [objective.sample(n) for n in range(objective.size)]
    loss = accumulate(model, micro_batches(samples, 10**6), objective.weights).loss
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    def check(batches):
        assert accumulate(model, batches, objective.weights).loss == pytest.approx(loss, rel=1e-9)
        for name, p in model.named_parameters():
            if p.grad is not None:
                torch.testing.assert_close(p.grad, gradients[name], atol=1e-9, rtol=1e-7)

    return samples, check


@how_often(max_examples=4, deadline=None)
@given(limit=st.integers(10, 300), cut=st.integers(1, 4))
def test_no_split_into_micro_batches_or_ranks_changes_the_loss(whole, limit, cut):
    samples, check = whole
    check(
        [
            *micro_batches(samples[::cut], limit),
            *(b for k in range(1, cut) for b in micro_batches(samples[k::cut], limit)),
        ]
    )


def test_packed_and_one_by_one_are_the_same(whole):
    samples, check = whole
    check(micro_batches(samples, 10**6, "packed"))
    check([batch for sample in samples for batch in micro_batches([sample], 1)])


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    train, test = pairs(420)[:360], pairs(420)[360:]
    tokenizer = vocabulary("encoder")
    model, task = network("encoder", tokenizer, position="learned", num_layers=1), Embedding.of(train, LENGTH)
    how = settings(epochs=12, batch_tokens=500, learning_rate=5e-3)
    before = task.score(task.evaluate(model, tokenizer, test, HOW), test)
    finetune(
        model, tokenizer, task, train, how, tmp_path_factory.mktemp("e"), device="cpu", precision="float32"
    )
    return model.eval(), tokenizer, task, test, before


def test_it_learns_to_find_the_partner(learned):
    model, tokenizer, task, test, before = learned
    answers = task.evaluate(model, tokenizer, test, HOW)
    scores = task.score(answers, test)
    assert scores["mrr"] > 0.7 > 2 * before["mrr"] and scores["recall_at_10"] > 0.9, (scores, before)
    measures = task.measures(answers, test)
    assert {name: pytest.approx(scores[name]) for name in task.shown} == {
        k: m.value for k, m in measures.items()
    }
    found = [a for a, e in zip(answers, test, strict=True) if task.right(a, e)]
    assert len(found) == round(scores["recall_at_1"] * len(test)) and all(a["rank"] == 1 for a in found)
    (ngram,) = task.baselines(["ngram"], [], test)
    assert 0 < task.score(ngram.answers(), test)["mrr"] < scores["mrr"]


def test_a_vector_does_not_depend_on_its_batch(learned):
    model, tokenizer, task, *_ = learned
    texts = [" ".join(WORDS[:k]) for k in range(1, 9)]
    together = task.vectors(model, tokenizer, texts)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    for text, vector in zip(texts, together, strict=True):
        assert task.vectors(model, tokenizer, [text])[0] == pytest.approx(vector, abs=1e-5)


def test_the_bundle_is_sentence_transformers_folder(learned, tmp_path):
    from transformers import AutoModel

    model, tokenizer, task, *_ = learned
    save_bundle(tmp_path / "bundle", model, tokenizer, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    ours = loaded.embed(["red cat", "two dogs"])
    assert ours.shape == (2, 32) and loaded.embed("red cat") == pytest.approx(ours[0], abs=1e-6)
    assert loaded.predict("red cat")["vector"] == pytest.approx(ours[0].tolist(), abs=1e-6)
    modules = json.loads((tmp_path / "bundle" / "modules.json").read_text())
    assert [m["type"].rpartition(".")[2] for m in modules] == ["Transformer", "Pooling", "Normalize"]
    pooling = json.loads((tmp_path / "bundle" / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"] and pooling["word_embedding_dimension"] == 32
    theirs = AutoModel.from_pretrained(tmp_path / "bundle").eval()
    ids = torch.tensor([tokenizer.pair(tokenizer.encode("red cat"))[0]])
    with torch.no_grad():
        mean = theirs(input_ids=ids).last_hidden_state.mean(1)
    assert F.normalize(mean, dim=-1)[0].numpy() == pytest.approx(ours[0], abs=1e-5)
    (tmp_path / "bundle" / "liju.json").unlink()
    (tmp_path / "bundle" / "liju.safetensors").unlink(missing_ok=True)
    back = load(tmp_path / "bundle", "cpu")
    assert back.task == "embedding" and back.embed("red cat") == pytest.approx(ours[0], abs=1e-5)
    where = tmp_path / "bundle" / "1_Pooling" / "config.json"
    where.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(BundleError, match="the pooling 'pooling_mode_max_tokens'"):
        load_bundle(tmp_path / "bundle")


def test_what_cannot_be_is_refused(learned, tmp_path):
    model, tokenizer, task, *_ = learned
    save_bundle(tmp_path / "b", network("encoder", tokenizer), tokenizer)
    with pytest.raises(RequestError, match="a fill-mask model has no vectors of texts"):
        load(tmp_path / "b", "cpu").embed("red")
    with pytest.raises(RequestError, match="the text is empty"):
        task.answer(model, tokenizer, [{"text": " "}], HOW)
    with pytest.raises(DataError, match="an embedding has no head"):
        task.objective(pairs(4), tokenizer, Finetune(trainable="head"), 0)
    with pytest.raises(DataError, match="needs an encoder"):
        task.objective(pairs(4), vocabulary("decoder"), Finetune(), 0)


def test_pairs_with_a_score_are_judged_by_spearman():
    rows = [
        ("red cat", "rot katze", 5),
        ("red dog", "drei", 0),
        ("one bird", "eins vogel", 4),
        ("two", "weiss", 1),
    ]
    scored = examples([{"text": a, "pair": b, "score": str(s)} for a, b, s in rows])
    task = Embedding.of(scored, LENGTH)
    assert (
        task.middle == 2.5
        and task.metric == "spearman"
        and [task.same(e) for e in scored] == [True, False] * 2
    )
    assert task.objective(scored, vocabulary("encoder"), Finetune(), 0).order.size == 2
    answers = [{"text": "", "rank": 1, "cosine": c} for c in (0.9, 0.1, 0.8, 0.2)]
    assert (
        task.score(answers, scored)["spearman"] == 1 and task.measures(answers, scored)["spearman"].value == 1
    )
    assert Embedding.from_description(task.describe()).middle == 2.5
