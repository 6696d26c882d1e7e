"""Law 2 over ranks: two gloo processes give the gradients, the losses and the run of one."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from train_toy import Toy, toy_model, toy_settings

from liju.samples.batch import assemble
from liju.train import Run, World, accumulate, train

FAMILIES = ["encoder", "decoder", "encdec"]


def gradients(family, world):
    model, objective = toy_model(family, dtype=torch.float64), Toy(family)
    if family == "encoder":  # a head that only the first rank's sample reaches
        model.add_head("label", 3)
    samples = [objective.sample(n) for n in (3, 8, 11)][world.rank :: world.size]
    batches = [assemble([sample]) for sample in samples]
    measured = accumulate(model.train(), batches, objective.weights, world=world)
    return measured, {name: p.grad for name, p in model.named_parameters()}


def ranked(rank, port, folder):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    world = World.current()
    assert (world.rank, world.size) == (rank, 2)
    for family in FAMILIES:
        measured, found = gradients(family, world)
        torch.save((measured.loss, measured.tokens, found), folder / f"{family}-{rank}.pt")
    settings = toy_settings(steps=6, optimizer="muon")
    train(toy_model("encdec"), Toy("encdec"), settings, folder / "two", stop_after=3)
    result = train(toy_model("encdec"), Toy("encdec"), settings, folder / "two", resume=True)
    assert result.step == 6
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_are_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(ranked, args=(port, tmp_path), nprocs=2)
    for family in FAMILIES:
        whole, expected = gradients(family, World())
        for rank in (0, 1):
            loss, tokens, found = torch.load(tmp_path / f"{family}-{rank}.pt")
            assert loss == pytest.approx(whole.loss, rel=1e-12) and tokens == whole.tokens
            assert found.keys() == expected.keys()
            for name, gradient in expected.items():
                if gradient is None:
                    assert found[name] is None, name
                else:
                    torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-14)
    settings = toy_settings(steps=6, optimizer="muon")
    train(toy_model("encdec"), Toy("encdec"), settings, tmp_path / "one")
    one, two = Run(tmp_path / "one").metrics(), Run(tmp_path / "two").metrics()
    for a, b in zip(one, two, strict=True):
        assert (a["step"], a["tokens"], a["samples"]) == (b["step"], b["tokens"], b["samples"])
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
