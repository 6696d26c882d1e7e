"""Sharded and tensor-parallel training on ranks of this machine: as on one, and from one to the other."""

import json

import pytest
import torch
import torch.distributed as dist
from rank_toy import kept, on_ranks
from train_toy import Told, Toy, toy_model, toy_settings

from liju.errors import ConfigError
from liju.samples.batch import assemble
from liju.train import Run, World, accumulate, train
from liju.train.parallel import Replicated
from liju.train.sharding import gradient_norm, parallelize

FAMILIES = ["encoder", "decoder", "encdec"]
# The same sums in another order, in float32, through 6 steps that move weights by 3e-3 (AdamW), 5e-2 (Muon).
# Measured at most, on 2 and 4 ranks, on 2 and 2x2 that share samples, and from and to one rank: 1.2e-7 with
# AdamW, 4.2e-7 with Muon.
BOUND = {"rtol": 0.0, "atol": 2e-6}


def settings(**more):
    return toy_settings(**{"steps": 6, "save_every": 2, "learning_rate": 1e-3, **more})


def model_of(family, vocab=18):
    return toy_model(family) if family != "decoder" else toy_model("decoder", vocab=vocab)


def optimizer_of(family):
    return "muon" if family == "encdec" else "adamw"


def single(folder, family, **more):
    model = model_of(family)
    result = train(model, Toy(family), settings(optimizer=optimizer_of(family), **more), folder)
    return model, result


def runs(folder, how):
    """On each rank: whole runs, and runs from and to other numbers of ranks."""
    size = dist.get_world_size()
    for family in FAMILIES if how["tensor_parallel"] == 1 else ["decoder"]:
        told = settings(optimizer=optimizer_of(family), **how)
        model = model_of(family)
        looks = []

        def evaluate(network, step, looks=looks):
            looks.append(sum(p.detach().abs().sum().item() for p in network.parameters()))
            return {"loss": 1.0 / step}

        result = train(model, Toy(family), told, folder / f"{family}-{size}", evaluate=evaluate)
        assert result.step == 6 and bool(looks) == (dist.get_rank() == 0)
        kept(folder, f"{family}-{size}", model)
        # Stopped here, to be continued by one rank; stopped by one rank, continued here.
        train(model_of(family), Toy(family), told, folder / f"{family}-{size}-to-1", stop_after=3)
        model = model_of(family)
        result = train(model, Toy(family), told, folder / f"{family}-1-to-{size}", resume=True)
        assert result.step == 6
        kept(folder, f"{family}-1-to-{size}", model)


def check(folder, size, families=FAMILIES):
    for family in families:
        straight, _ = single(folder / f"{family}-1", family)
        expected = straight.state_dict()
        model = model_of(family)
        told = Told()
        train(
            model,
            Toy(family),
            settings(optimizer=optimizer_of(family)),
            folder / f"{family}-{size}-to-1",
            resume=True,
            live=told,
        )
        assert any(f"the number of ranks is 1 and was {size}" in text for text in told.notices)
        found = {f"{size} to 1": model.state_dict()}
        for name in (f"{family}-{size}", f"{family}-1-to-{size}"):
            found[name] = torch.load(folder / f"{name}.pt")
        for name, weights in found.items():
            for key, tensor in expected.items():
                torch.testing.assert_close(
                    weights[key], tensor, **BOUND, msg=lambda m, n=(name, key): f"{n}: {m}"
                )
        lines = [Run(folder / f"{family}-{n}").metrics() for n in ("1", str(size))]
        lines = [[line for line in each if "loss" in line] for each in lines]
        for a, b in zip(*lines, strict=True):
            assert (a["step"], a["tokens"], a["samples"]) == (b["step"], b["tokens"], b["samples"])
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def prepared(folder, families=FAMILIES, sizes=(2,)):
    for family in families:
        for size in sizes:
            model = model_of(family)
            told = settings(optimizer=optimizer_of(family))
            train(model, Toy(family), told, folder / f"{family}-1-to-{size}", stop_after=3)


def gradients(folder, how):
    """The gradient of three samples in float64, on each rank its share of them."""
    told = settings(**how)
    world = World.current(told.tensor_parallel)
    for name, (family, switches) in networks(told.tensor_parallel).items():
        vocab = 18 if family == "decoder" else 17
        model, objective = toy_model(family, dtype=torch.float64, vocab=vocab, **switches), Toy(family)
        samples = [objective.sample(n) for n in (3, 8, 11)]
        batches = [assemble([sample]) for sample in samples[world.data_rank :: world.data_size]]
        if world.size > 1:
            parallel = parallelize(model, told, world, torch.device("cpu"), "float32", False)
        else:
            parallel = Replicated(world, model)

        def spare(sample=samples[0]):
            return assemble([sample])

        network = parallel.model.train()
        measured = accumulate(
            network, batches, objective.weights, world=world, parallel=parallel, spare=spare
        )
        found = {key: p.grad for key, p in network.named_parameters()}
        if world.size > 1:
            norm = gradient_norm(list(network.parameters()))
        else:
            norm = torch.nn.utils.get_total_norm(found.values()).item()
        found = {key: g.full_tensor() if hasattr(g, "full_tensor") else g for key, g in found.items()}
        if world.first:
            torch.save((measured.loss, measured.tokens, norm, found), folder / f"{name}-{world.size}.pt")


def networks(tensor_parallel):
    """Name, family and switches of what is trained."""
    families = FAMILIES if tensor_parallel == 1 else ["decoder"]
    more = {"qk_norm": True, "value_residual": True, "position": "rope", "num_layers": 3}
    return {family: (family, {}) for family in families} | {"modern": ("decoder", more)}


@pytest.mark.parametrize(
    ("size", "tensor_parallel"),
    [
        (2, 1),
        (2, 2),
        pytest.param(4, 1, marks=pytest.mark.slow),  # one of them has no sample at all
        pytest.param(4, 2, marks=pytest.mark.slow),
    ],
)
def test_the_gradient_is_that_of_one_process_in_float64(tmp_path, size, tensor_parallel):
    gradients(tmp_path, {})
    on_ranks(size, gradients, tmp_path, {"sharding": "shard", "tensor_parallel": tensor_parallel})
    for family in networks(tensor_parallel):
        loss, tokens, norm, expected = torch.load(tmp_path / f"{family}-1.pt")
        other, others, their_norm, found = torch.load(tmp_path / f"{family}-{size}.pt")
        assert loss == pytest.approx(other, rel=1e-12) and tokens == others
        assert their_norm == pytest.approx(norm, rel=1e-12)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-14)
            if name.endswith("W_k.bias"):
                # It adds the same to all scores of a query, which softmax does not see: its gradient is zero.
                # What is found is rounding, which another order of sums makes into any other.
                for one in (gradient, found[name]):
                    assert one.abs().max() < 1e-15 < 1e-7 < expected[name.replace("W_k", "W_q")].abs().max()


def test_muon_with_matrices_that_are_cut_twice_is_refused():
    with pytest.raises(ConfigError, match="muon needs whole matrices"):
        settings(optimizer="muon", tensor_parallel=2)


def test_two_ranks_that_share_the_weights_are_one(tmp_path):
    prepared(tmp_path)
    on_ranks(2, runs, tmp_path, {"sharding": "shard", "tensor_parallel": 1})
    check(tmp_path, 2)
    folder = tmp_path / "encdec-2" / "checkpoints" / "step-000006"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"shard-0000{i}-model-00001-of-00001.safetensors" for i in (1, 2)] + ["state.json"]
    state = json.loads((folder / "state.json").read_text())["state"]
    assert state["ranks"] == 2 and set(state["files"]) == set(names[:2])


def test_two_ranks_that_share_each_sample_are_one(tmp_path):
    prepared(tmp_path, ["decoder"])
    on_ranks(2, runs, tmp_path, {"sharding": "auto", "tensor_parallel": 2})
    check(tmp_path, 2, ["decoder"])


@pytest.mark.slow
@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_four_ranks_are_one(tmp_path, tensor_parallel):
    families = FAMILIES if tensor_parallel == 1 else ["decoder"]
    prepared(tmp_path, families, (4,))
    on_ranks(4, runs, tmp_path, {"sharding": "shard", "tensor_parallel": tensor_parallel})
    check(tmp_path, 4, families)
