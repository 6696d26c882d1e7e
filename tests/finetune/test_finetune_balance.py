"""Rare labels: weights as scikit-learn has them, focal losses by their formula, law 2 with both."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from finetune_toys import LENGTH, labelled, network, vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.config import Finetune
from liju.errors import ModelError
from liju.finetune import Classification, GenerationTask, Tagging, class_weights, finetune
from liju.finetune.examples import Example
from liju.objective import KINDS
from liju.samples import micro_batches
from liju.samples.batch import Targets
from liju.train.step import accumulate


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_weights_are_scikit_learns_and_have_the_mean_1(labels):
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    known, number = np.unique(labels, return_inverse=True)
    ours = class_weights(np.bincount(number).astype(float))
    assert ours == pytest.approx(compute("balanced", classes=known, y=np.array(labels)))
    assert ours[number].mean() == pytest.approx(1)


def targets(values, loss):
    return Targets(torch.arange(len(values)), torch.tensor(values), torch.ones(len(values)), loss=loss)


def test_focal_losses_are_their_formulas():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(-1)[torch.arange(5), torch.tensor([0, 1, 2, 1, 0])]
    found = KINDS["focal"](logits, targets([0, 1, 2, 1, 0], "focal"), 0.0)
    torch.testing.assert_close(found, -((1 - p) ** 2) * p.log())
    truth = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    p = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid())
    found = KINDS["focal-flags"](logits, targets(truth.tolist(), "focal-flags"), 0.0)
    torch.testing.assert_close(found, (-((1 - p) ** 2) * p.log()).mean(-1))
    # What is right already counts less than in the plain loss, by its surprise.
    sure = torch.tensor([[4.0, 0.0, 0.0]])
    plain = KINDS["class"](sure, targets([0], "class"), 0.0)
    assert KINDS["focal"](sure, targets([0], "focal"), 0.0) < plain / 100


def rare():
    rows = labelled(60, 1)
    many = [e for e in rows if e["label"] == "plain"][:20]
    return many + [e for e in rows if e["label"] == "colourful"][:4]


def test_the_loss_is_the_weighted_mean_that_torch_has():
    tokenizer, examples = vocabulary("encoder"), rare()
    model = network("encoder", tokenizer).double().eval()
    task = Classification.of(examples, LENGTH)
    task.prepare(model)
    objective = task.objective(examples, tokenizer, Finetune(balance="weights"), 0)
    samples = [objective.sample(n) for n in range(objective.size)]
    (batch,) = micro_batches(samples, 10**6)
    labels = batch.targets["label"].value
    logits = model.predict("label", model(batch).flatten(0, 1).index_select(0, batch.targets["label"].index))
    weight = torch.tensor(objective.weight_of, dtype=torch.float64)
    expected = F.cross_entropy(logits, labels, weight=weight)
    measured = accumulate(model, [batch], objective.weights)
    assert measured.loss == pytest.approx(float(expected.detach()), rel=1e-6)
    assert measured.loss != pytest.approx(float(F.cross_entropy(logits.detach(), labels)), rel=1e-3)


@pytest.fixture(scope="module", params=["weights", "focal"])
def balanced(request):
    tokenizer, examples = vocabulary("encoder"), rare()
    model = network("encoder", tokenizer).double().eval()
    task = Classification.of(examples, LENGTH)
    task.prepare(model)
    objective = task.objective(examples, tokenizer, Finetune(balance=request.param), 0)
    samples = [objective.sample(n) for n in range(objective.size)]
    whole = accumulate(model, micro_batches(samples, 10**6), objective.weights).loss
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]

    def check(cut, limit):
        split = [*micro_batches(samples[:cut], limit), *micro_batches(samples[cut:], limit)]
        assert accumulate(model, split, objective.weights).loss == pytest.approx(whole, rel=1e-9)
        found = [p.grad for p in model.parameters() if p.grad is not None]
        for ours, expected in zip(found, gradients, strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-9, rtol=1e-7)

    return check


@settings(max_examples=5, deadline=None)
@given(cut=st.integers(1, 23), limit=st.integers(8, 90))
def test_any_split_has_the_loss_and_gradients_of_the_whole(balanced, cut, limit):
    balanced(cut, limit)


def test_tags_are_weighed_too():
    rows = [
        {"words": "red cat", "tags": "A O", "text": "red cat"},
        {"words": "a dog", "tags": "O O", "text": "a dog"},
    ]
    task = Tagging.of([Example(row, f"t:{i}") for i, row in enumerate(rows)], LENGTH)
    examples = [Example(row, f"t:{i}") for i, row in enumerate(rows)]
    objective = task.objective(examples, vocabulary("encoder"), Finetune(balance="weights"), 0)
    goals = [objective.at(i, i).goals["tag"] for i in range(2)]
    assert goals[0].weights.tolist() == pytest.approx([2.0, 2 / 3])
    assert np.concatenate([goal.weights for goal in goals]).mean() == pytest.approx(1)
    plain = task.objective(examples, vocabulary("encoder"), Finetune(), 0)
    assert plain.at(0, 0).goals["tag"].weights is None and plain.fingerprint != objective.fingerprint


def test_a_task_without_labels_refuses(tmp_path):
    tokenizer = vocabulary("decoder")
    with pytest.raises(ModelError, match="'weights' is nothing to generation"):
        finetune(
            network("decoder", tokenizer),
            tokenizer,
            GenerationTask(LENGTH),
            labelled(3),
            Finetune(balance="weights"),
            tmp_path,
        )
