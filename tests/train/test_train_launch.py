"""How ranks are started: torchrun, a Slurm script, Ray; and a whole project on two of them."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch.distributed as dist
from rank_toy import on_ranks
from torch.distributed import HashStore

from liju.cli import main
from liju.project import new
from liju.train import World, joined, sbatch, torchrun
from liju.train.launch import fresh

TINY = ["pretrain.steps=4", "pretrain.save_every=2", "finetune.epochs=1", "evaluate.baselines=[]"]


def test_a_process_that_nobody_started_as_a_rank_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined() as world:
        assert world == World()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined() as world:
        assert world == World() and not dist.is_initialized()


def test_ranks_that_are_started_again_read_nothing_of_those_before():
    """torchrun keeps its store, with the addresses of ranks that are gone."""
    store, found = HashStore(), {}

    def start(rank):
        own = fresh(store, rank, 3, 20.0)
        own.set(f"address/{rank}", f"{round_}")
        found[rank] = [own.get(f"address/{r}").decode() for r in range(3)]

    for round_ in range(3):
        found.clear()
        # A rank that comes late must not be taken for the one before it.
        ranks = [Thread(target=start, args=(rank,)) for rank in ((2, 0, 1), (1, 2, 0), (0, 2, 1))[round_]]
        for rank in ranks:
            rank.start()
            rank.join(0.2)
        for rank in ranks:
            rank.join()
        assert found == {rank: [str(round_)] * 3 for rank in range(3)}
    with pytest.raises(RuntimeError, match="not all of 3 ranks came within 0 seconds"):
        fresh(store, 0, 3, 0.2)


def test_what_starts_the_ranks():
    assert torchrun(["run", "first"], 3)[-5:] == ["--nproc-per-node=3", "-m", "liju", "run", "first"]
    script = sbatch(["pretrain", "a b"], nodes=2, gpus=4, name="mine")
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    for line in ("#SBATCH --nodes=2", "#SBATCH --gpus-per-node=4", "#SBATCH --job-name=mine"):
        assert line in script
    assert "-m liju pretrain 'a b' --resume && exit 0" in script
    assert sbatch(["run", "a", "--resume"]).count("--resume") == 1


def test_where_a_verb_is_done(tmp_path, capsys):
    file = tmp_path / "job"
    assert main(["pretrain", "first", "--on", "slurm:2x4", "--output", str(file)]) == 0
    assert "--nproc-per-node=4" in file.read_text() and f"next: sbatch {file}" in capsys.readouterr().out
    assert main(["run", "first", "--on", "slurm"]) == 0
    assert "#SBATCH --nodes=1" in capsys.readouterr().out
    assert main(["finetune", "first", "--on", "moon:2"]) == 2
    assert "--on moon:2 is not known" in capsys.readouterr().err


def project(folder, words, told):
    """`liju WORDS` as a rank; what it says goes to a file."""
    rank = dist.get_rank()
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(dist.get_world_size())}
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        code = main(words)
    (folder / f"{told}-{rank}.json").write_text(json.dumps([code, said.getvalue(), errors.getvalue()]))


@pytest.mark.slow
def test_a_whole_project_on_two_ranks(tmp_path):
    home = tmp_path / "first"
    new(home, "encoder")
    on_ranks(2, project, tmp_path, ["run", str(home), *TINY, "pretrain.sharding=shard"], "run")
    first, second = (json.loads((tmp_path / f"run-{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == second[0] == 0, (first, second)
    assert "report.html" in first[1] and second[1] == ""
    run = home / "runs" / "first"
    assert (run / "report.html").exists()
    shards = list(run.glob("pretrain-*/checkpoints/step-000004/shard-*"))
    assert len(shards) == 2
    # The bundle is that of one process, and one process finds everything up to date.
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["run", str(home), *TINY, "pretrain.sharding=shard"]) == 0
    assert out.getvalue().count("up to date") == 6
    assert main(["predict", str(run), "The room was clean."]) == 0
    # A mistake is told by the first rank, and ends both.
    on_ranks(2, project, tmp_path, ["run", str(home), "pretrain.stepz=3"], "wrong")
    told = [json.loads((tmp_path / f"wrong-{rank}.json").read_text()) for rank in (0, 1)]
    assert [code for code, _, _ in told] == [2, 2] and "did you mean" in told[0][2]


@pytest.mark.slow
def test_the_slurm_script_runs(tmp_path):
    """With stand-ins for Slurm's own commands."""
    home = tmp_path / "first"
    new(home, "decoder")
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, text in (("srun", 'exec "$@"'), ("scontrol", 'echo "127.0.0.1"')):
        (bin / name).write_text(f"#!/bin/bash\n{text}\n")
        (bin / name).chmod(0o755)
    script = sbatch(["pretrain", str(home), *TINY], nodes=1, gpus=2)
    slurm = {"SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash"],
        input=script,
        text=True,
        capture_output=True,
        timeout=280,
        env={**os.environ, **slurm, "PATH": f"{bin}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(home.glob("runs/*/pretrain-*/bundle"))) == 1


@pytest.mark.slow
def test_ray_does_it_too(tmp_path):
    """On two workers of this machine."""
    pytest.importorskip("ray.train", reason="pip install 'liju[cluster]'")
    home = tmp_path / "first"
    new(home, "decoder")
    command = [sys.executable, "-m", "liju", "pretrain", str(home), *TINY, "--on", "ray:2"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=280, cwd=Path(home).parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(home.glob("runs/*/pretrain-*/bundle"))) == 1
