"""Checkpoints of several ranks: torn ones, the bundle of one process out of them, and bfloat16."""

import os
import shutil

import pytest
import torch
import torch.distributed as dist
from rank_toy import kept, on_ranks
from torch.distributed import DeviceMesh, HashStore
from torch.distributed.tensor import DTensor, Shard
from train_toy import Told, Toy, toy_model, toy_settings

from liju.errors import CheckpointError
from liju.hub import load_bundle, save_bundle
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal
from liju.objective.examples import shards, tokenizer
from liju.samples import assemble
from liju.train import Run, World, newest, train
from liju.train.distributed_checkpoint import _staged


def settings(**more):
    return toy_settings(**{"steps": 8, "save_every": 2, "keep": 4, "sharding": "shard", **more})


def cut(folder):
    path = folder / "shard-00002-model-00001-of-00001.safetensors"
    os.truncate(path, path.stat().st_size - 7)


def alter(folder):
    path = folder / "shard-00001-model-00001-of-00001.safetensors"
    found = bytearray(path.read_bytes())
    found[-5] ^= 4
    path.write_bytes(found)


def lose(folder):
    (folder / "shard-00002-model-00001-of-00001.safetensors").unlink()


def unnamed(folder):
    """As a rank that is killed while it writes leaves it."""
    (folder / "state.json").unlink()
    os.rename(folder, folder.with_name(f".writing-{folder.name}"))


TEARS = {
    "cut": (cut, "bytes of"),
    "alter": (alter, "was altered"),
    "lose": (lose, "is missing"),
    "unnamed": (unnamed, ""),
}


def torn(root, size):
    """Runs whose newest checkpoint is torn, gone on with by both ranks."""
    model = toy_model("decoder")
    train(model, Toy("decoder"), settings(), root / "whole")
    kept(root, "whole", model)
    train(toy_model("decoder"), Toy("decoder"), settings(), root / "run", stop_after=6)
    for name, (tear, why) in TEARS.items():
        if World.current().first:
            shutil.copytree(root / "run", root / name)
            tear(root / name / "checkpoints" / "step-000006")
        World.current().total([0.0])
        model, told = toy_model("decoder"), Told()
        result = train(model, Toy("decoder"), settings(), root / name, resume=True, live=told)
        assert result.step == 8
        kept(root, name, model)
        if World.current().first:
            assert "continues after step 4" in told.notices
            assert any("torn checkpoint left out" in text and why in text for text in told.notices) == bool(
                why
            )
    if World.current().first:
        for folder in (root / "run" / "checkpoints").iterdir():
            lose(folder)
    World.current().total([0.0])
    with pytest.raises(CheckpointError if World.current().first else Exception, match=r"whole|first rank"):
        train(toy_model("decoder"), Toy("decoder"), settings(), root / "run", resume=True)


def test_a_torn_checkpoint_of_ranks_is_passed_over_and_the_run_ends_with_the_same_bits(tmp_path):
    on_ranks(2, torn, tmp_path, 2)
    expected = torch.load(tmp_path / "whole.pt")
    for name in TEARS:
        found = torch.load(tmp_path / f"{name}.pt")
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
        assert [line["step"] for line in Run(tmp_path / name).metrics()] == list(range(1, 9))
        assert not list((tmp_path / name / "checkpoints").glob(".writing-step-000008*"))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        words = tokenizer("decoder").size
        shape = {"d_model": 12, "num_heads": 2, "num_layers": 3, "d_ff": 20, "max_length": 16}
        return Transformer(TransformerConfig.default("decoder", vocab_size=words, dropout=0.0, **shape))


def trained(folder):
    objective = Causal(shards("decoder"), tokenizer("decoder"), max_length=11)
    model = network()
    train(model, objective, settings(steps=4), folder / "run")
    kept(folder, "trained", model)


@pytest.mark.slow
def test_the_bundle_of_one_process_is_made_of_the_checkpoint_of_four_ranks(tmp_path):
    on_ranks(4, trained, tmp_path)
    checkpoint = newest(tmp_path / "run" / "checkpoints")
    assert len(list(checkpoint.folder.glob("shard-*"))) == 4
    model = network()
    checkpoint.restore(model)
    save_bundle(tmp_path / "bundle", model.eval(), tokenizer("decoder"))
    bundle = load_bundle(tmp_path / "bundle")
    expected = torch.load(tmp_path / "trained.pt")
    # Nothing is lost on the way: the checkpoint's tensors are those that the ranks had, bit by bit.
    assert all(torch.equal(model.state_dict()[name], expected[name]) for name in expected)
    assert not all(torch.equal(tensor, network().state_dict()[name]) for name, tensor in expected.items())
    objective = Causal(shards("decoder"), tokenizer("decoder"), max_length=11)
    batch = assemble([objective.sample(n) for n in (1, 2, 5)])
    with torch.no_grad():
        assert torch.equal(bundle.model.eval()(batch), model(batch))


def in_bfloat16(folder, tensor_parallel):
    how = {"precision": "bfloat16", "tensor_parallel": tensor_parallel, "steps": 6}
    vocab = 17 if tensor_parallel == 1 else 18
    model = toy_model("decoder", vocab=vocab)
    train(model, Toy("decoder"), settings(**how), folder / "ranks")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    kept(folder, "straight", model)
    train(toy_model("decoder", vocab=vocab), Toy("decoder"), settings(**how), folder / "again", stop_after=3)
    model = toy_model("decoder", vocab=vocab)
    train(model, Toy("decoder"), settings(**how), folder / "again", resume=True)
    kept(folder, "resumed", model)


@pytest.mark.parametrize("tensor_parallel", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_bfloat16_on_ranks_is_that_of_one_process(tmp_path, tensor_parallel):
    on_ranks(2, in_bfloat16, tmp_path, tensor_parallel)
    straight, resumed = (torch.load(tmp_path / f"{name}.pt") for name in ("straight", "resumed"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    model = toy_model("decoder", vocab=17 if tensor_parallel == 1 else 18)
    train(model, Toy("decoder"), settings(steps=6, precision="bfloat16"), tmp_path / "one")
    full = toy_model("decoder", vocab=17 if tensor_parallel == 1 else 18)
    train(full, Toy("decoder"), settings(steps=6), tmp_path / "full")
    lines = [[line["loss"] for line in Run(tmp_path / name).metrics()] for name in ("one", "ranks", "full")]
    for one, ranks, exact in zip(*lines, strict=True):
        assert ranks == pytest.approx(one, rel=2e-3)
        assert ranks != exact  # it was bfloat16


def test_a_copy_for_the_disk_is_in_the_host_s_memory_whatever_the_ranks_compute_on():
    """A mesh of GPUs (here: of a device without memory) must not take it back."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        mesh = DeviceMesh("meta", [0], _init_backend=False)
        whole = DTensor.from_local(torch.zeros(3, 2, device="meta"), mesh, [Shard(0)], run_check=False)
        tensor = DTensor(torch.arange(6.0).view(3, 2), whole._spec, requires_grad=False)
        staged = _staged(tensor)
        assert staged.to_local().device.type == "cpu" and staged.placements == tensor.placements
        assert torch.equal(staged.to_local(), torch.arange(6.0).view(3, 2))
        assert staged.to_local().data_ptr() != tensor.to_local().data_ptr()
    finally:
        dist.destroy_process_group()
