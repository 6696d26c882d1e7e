"""Recomputed activations and an optimizer on the host give the same bits."""

import gc

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks
from train_toy import Toy, toy_model, toy_settings

from liju.model import Transformer, TransformerConfig
from liju.samples.batch import assemble
from liju.train import accumulate, train
from liju.train.probe import blocks
from liju.train.recompute import recompute
from liju.train.tensor_parallel import check, split_cross_entropy

FAMILIES = ["encoder", "decoder", "encdec"]


def gradients(model, family, mode, dropout_seed=5):
    undo = recompute(blocks(model), mode)
    objective = Toy(family)
    batch = assemble([objective.sample(n) for n in (3, 8, 11)])
    accumulate(model.train(), [batch], objective.weights, seeds=lambda i: dropout_seed)
    undo()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_recomputed_gradients_are_the_same_bits(family, mode):
    expected = gradients(toy_model(family, dropout=0.2), family, "off")
    found = gradients(toy_model(family, dropout=0.2), family, mode)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_a_bias_that_learns_is_recomputed_too(mode):
    def t5():
        torch.manual_seed(3)
        shape = {"vocab_size": 17, "d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 20}
        return Transformer(TransformerConfig.default("encdec", **shape, position="relative", max_length=16))

    expected = gradients(t5(), "encdec", "off")
    found = gradients(t5(), "encdec", mode)
    assert any("relative" in name for name in expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def kept_bytes(mode):
    model = toy_model("decoder")
    undo = recompute(blocks(model), mode)
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    objective = Toy("decoder")
    batch = assemble([objective.sample(n) for n in range(30)])
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.train()(batch)
    gc.collect()
    undo()
    del hidden
    return sum(size for place, size in kept.items() if place not in weights)


def test_what_is_kept_falls():
    off, blocks_only = kept_bytes("off"), kept_bytes("blocks")
    assert blocks_only < 0.4 * off


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_optimizer_on_the_host_takes_the_same_steps_and_is_resumed(tmp_path, optimizer):
    def run(name, **more):
        model = toy_model("encoder")
        given = {key: more.pop(key) for key in {"resume", "stop_after"} & more.keys()}
        train(model, Toy("encoder"), toy_settings(optimizer=optimizer, **more), tmp_path / name, **given)
        return model.state_dict()

    expected = run("plain")
    found = run("offload", sharding="offload", recompute="selective")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    run("stopped", sharding="offload", stop_after=5)
    found = run("stopped", sharding="offload", resume=True)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_vocabulary_in_parts_is_that_of_the_whole(smoothing):
    torch.manual_seed(2)
    logits = torch.randn(7, 11, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 11, (7,))
    weight = torch.rand(7, dtype=torch.float64)
    (split_cross_entropy(logits, target, 0, 11, None, smoothing) * weight).sum().backward()
    found, logits.grad = logits.grad, None
    expected = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
    (expected * weight).sum().backward()
    torch.testing.assert_close(found, logits.grad)


def test_what_cannot_be_cut_says_why():
    for family in ("encoder", "encdec"):
        with pytest.raises(Exception, match="for decoders alone"):
            check(toy_model(family), 2)
    with pytest.raises(Exception, match="dropout = 0"):
        check(toy_model("decoder", dropout=0.1), 3)
    with pytest.raises(Exception, match=r"tensor_parallel is 2, and num_heads 3, vocab_size 17 are no multi"):
        check(toy_model("decoder"), 2)
