"""What goes wrong on several ranks: a rank is killed, all are told to stop, a disk is full, a clock jumps."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rank_toy import free_port, on_ranks
from train_toy import Toy, toy_model, toy_settings

from liju.errors import CheckpointError
from liju.train import Run, newest, train

SCRIPT = str(Path(__file__).with_name("rank_run.py"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def start(command, **more):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "LIJU_RANK_TIMEOUT": "500", **more}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def ranks(folder, family, sharding, steps, size=2):
    port = str(free_port())
    return [
        start(
            [sys.executable, SCRIPT, str(folder), family, sharding, str(steps)],
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        )
        for rank in range(size)
    ]


def until(process, text):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


def ends(process, seconds=400):
    text, _ = process.communicate(timeout=seconds)
    return process.returncode, text


def weights(folder):
    model = toy_model("decoder")
    newest(folder / "checkpoints").restore(model)
    return model.state_dict()


def straight(folder, steps):
    told = toy_settings(steps=steps, save_every=2, learning_rate=1e-3)
    train(toy_model("decoder"), Toy("decoder"), told, folder)
    return weights(folder)


def check_the_same(found, expected):
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=1e-3, atol=2e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_rank_that_is_killed_ends_the_others_and_a_restart_goes_on(tmp_path):
    first, second = ranks(tmp_path / "run", "decoder", "shard", 12)
    until(first, "step 5")
    second.kill()
    code, text = ends(first, 400)  # before the timeout
    second.communicate()
    assert code == 2 and "another rank ended or does not answer" in text, text
    at = newest(tmp_path / "run" / "checkpoints").step
    assert at in (2, 4, 6, 8, 10)  # the one of step 4 may have been on its way
    first, second = ranks(tmp_path / "run", "decoder", "shard", 12)
    code, text = ends(first)
    second.communicate()
    assert code == 0 and f"continues after step {at}" in text and "done 12" in text, text
    check_the_same(weights(tmp_path / "run"), straight(tmp_path / "straight", 12))
    lines = [line["step"] for line in Run(tmp_path / "run").metrics()]
    assert lines == list(range(1, 13))


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["replicate", "shard"])
def test_torchrun_restarts_the_ranks_and_they_go_on(tmp_path, sharding):
    folder = tmp_path / "run"
    process = start([*TORCHRUN, "--max-restarts=2", SCRIPT, str(folder), "decoder", sharding, "12", "4"])
    code, text = ends(process, 200)
    assert code == 0 and "continues after step" in text and "done 12" in text, text
    process = start([*TORCHRUN, SCRIPT, str(tmp_path / "whole"), "decoder", sharding, "12"])
    assert ends(process, 200)[0] == 0
    one, other = weights(folder), weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)  # law 3: the same bits


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_within_seconds(tmp_path):
    process = start([*TORCHRUN, SCRIPT, str(tmp_path / "run"), "decoder", "shard", "4000"])
    until(process, "step 20\n")
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, text = ends(process, 60)
    assert time.monotonic() - told < 30 and "stopped" in text, text
    steps = [int(line.split()[1]) for line in text.splitlines() if line.startswith("step ")]
    assert newest(tmp_path / "run" / "checkpoints").step >= max([20, *steps])


def full(folder):
    told = toy_settings(steps=6, save_every=2, sharding="shard", learning_rate=1e-3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Small(Toy):
        """After the first checkpoint the second rank's files may have 4 kB."""

        def sample(self, number):
            if dist.get_rank() == 1 and (folder / "checkpoints" / "step-000002").exists():
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
            return super().sample(number)

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with pytest.raises(CheckpointError, match="could not be saved") as caught:
        train(toy_model("encdec"), Small("encdec"), told, folder)
    assert "rank 1" in caught.value.message and "MB are needed" in caught.value.hint


@pytest.mark.slow
def test_a_full_disk_of_one_rank_is_told_by_all_and_the_last_checkpoint_is_whole(tmp_path):
    on_ranks(2, full, tmp_path / "run")
    root = tmp_path / "run" / "checkpoints"
    assert newest(root).step in (2, 4)
    assert all(path.name.startswith("step-") for path in root.iterdir())


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    """Time is taken from clocks that only go forward."""
    now = [1e9]

    def jumps():
        now[0] += 86400 * (-1) ** int(now[0]) * 3.5
        return now[0]

    expected = straight(tmp_path / "straight", 6)
    monkeypatch.setattr(time, "time", jumps)
    found = straight(tmp_path / "jumps", 6)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    lines = Run(tmp_path / "jumps").metrics()
    assert all(0 < line["seconds"] < 60 and line["tokens_per_second"] > 0 for line in lines)
