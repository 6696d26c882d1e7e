"""Law 3 with the objectives that are used: stopped anywhere and resumed is the straight run, bit for bit."""

import pytest
import torch
from laws_toys import OBJECTIVES, model, objective

from liju.train import TrainSettings, train

HOW = TrainSettings(
    steps=6, batch_tokens=60, micro_batch_tokens=60, learning_rate=1e-2, save_every=2, evaluate_every=50,
    precision="float32", compile="off", layout="grouped", device="cpu",
)  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_resumed_is_straight(tmp_path, name):
    def run(folder, **more):
        network = model(name, torch.float32, dropout=0.1)
        train(network, objective(name), HOW, tmp_path / folder, **more)
        return network.state_dict()

    straight = run("straight")
    for at in (1, 4):
        half = run(f"at-{at}", stop_after=at)
        torch.rand(3)
        found = run(f"at-{at}", resume=True)
        assert all(torch.equal(found[key], straight[key]) for key in straight)
        assert not all(torch.equal(half[key], straight[key]) for key in straight)
