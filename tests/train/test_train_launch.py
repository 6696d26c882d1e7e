"""How ranks are started: torchrun, a Slurm script, Ray; and a whole project on two of them."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import psutil
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
    assert "-m liju pretrain 'a b' --resume &" in script
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


# Stand-ins for Slurm's own commands: a step is told to stop by scancel, and never by a signal to srun.
SLURM = {
    "srun": """echo $$ > "$HERE/step"; exec "$@" """,
    "scontrol": """echo "$@" >> "$HERE/asked"; echo 127.0.0.1""",
    "scancel": """[ "$1 $2" = "--signal=TERM 7" ] && kill -TERM $(cat "$HERE/step")""",
}


def slurm(folder, script, **commands):
    """The script as a batch job; its process, once its step has begun."""
    (folder / "bin").mkdir()
    for name, text in {**SLURM, **commands}.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    (folder / "job").write_text(script)
    told = {"SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1", "SLURM_JOB_ID": "7", "HERE": str(folder)}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, **told, "PATH": path, "OMP_NUM_THREADS": "1"}
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    job = subprocess.Popen(["bash", folder / "job"], env=env, **told)
    assert wait_for(lambda: (folder / "step").exists() or job.poll() is not None)
    return job


def wait_for(found, seconds=120.0):
    until = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


SAVES = """echo $$ > "$HERE/step"; trap 'sleep 0.3; echo saved; exit 130' TERM; echo > "$HERE/ready"
while :; do sleep 0.05; done"""


@pytest.mark.parametrize(
    "step, signals, code, queued",
    [
        (SAVES, [signal.SIGUSR1], 130, True),  # out of time
        (SAVES, [signal.SIGUSR1, signal.SIGUSR1], 130, True),
        (SAVES, [signal.SIGTERM], -15, False),  # cancelled
        (SAVES.replace("130", "1"), [signal.SIGUSR1], 1, False),  # could not save
        ('echo > "$HERE/step"; exit 0', [], 0, False),
        ('echo > "$HERE/step"; exit 130', [], 130, False),  # by a hand on the machine
        ('echo > "$HERE/step"; exit 2', [], 2, False),
    ],
)
def test_a_slurm_job_that_is_out_of_time_is_queued_again_and_no_other(tmp_path, step, signals, code, queued):
    job = slurm(tmp_path, sbatch(["pretrain", "first"]), srun=step)
    if signals:
        assert wait_for((tmp_path / "ready").exists)
    for number in signals:
        job.send_signal(number)
        time.sleep(0.1)
    if signal.SIGTERM in signals:  # a cancelled job's step gets it too
        os.kill(int((tmp_path / "step").read_text()), signal.SIGTERM)
    said, _ = job.communicate(timeout=20)
    assert job.returncode == code, said
    assert ("requeue 7" in (tmp_path / "asked").read_text()) == queued, said


@pytest.mark.slow
def test_the_slurm_script_runs_stops_and_goes_on(tmp_path):
    home = tmp_path / "first"
    new(home, "decoder")
    script = sbatch(["pretrain", str(home), *TINY[1:], "pretrain.steps=2000"], nodes=1, gpus=2)
    (tmp_path / "one").mkdir()
    job = slurm(tmp_path / "one", script)
    assert wait_for(lambda: list(home.glob("runs/*/pretrain-*/checkpoints/step-*")) or job.poll() is not None)
    job.send_signal(signal.SIGUSR1)
    said = job.communicate(timeout=120)[0].decode()
    assert job.returncode == 130 and "Traceback" not in said, said
    assert "requeue 7" in (tmp_path / "one" / "asked").read_text()
    assert "everything so far is saved" in said
    (status,) = home.glob("runs/*/pretrain-*/status.json")
    assert json.loads(status.read_text()) == {"state": "stopped"}
    (tmp_path / "two").mkdir()
    job = slurm(tmp_path / "two", sbatch(["pretrain", str(home), *TINY, "name=short"], nodes=1, gpus=2))
    said = job.communicate(timeout=280)[0].decode()
    assert job.returncode == 0, said
    assert len(list(home.glob("runs/short/pretrain-*/bundle"))) == 1


@pytest.mark.parametrize(
    "number, whom",
    [
        (signal.SIGINT, os.killpg),
        pytest.param(signal.SIGINT, os.kill, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, os.kill, marks=pytest.mark.slow),
    ],
)
def test_ranks_of_this_machine_that_are_asked_to_stop_save_and_leave_nothing_behind(tmp_path, number, whom):
    """By Ctrl-C in a terminal, or by a signal to `liju` alone; as one process would."""
    home = tmp_path / "first"
    new(home, "decoder")
    command = [sys.executable, "-m", "liju", "pretrain", str(home), "pretrain.steps=5000", "--on", "local:2"]
    ranks = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_for(lambda: list(home.glob("runs/*/pretrain-*/metrics.jsonl")) or ranks.poll() is not None)
    whom(ranks.pid, number)
    _, said = ranks.communicate(timeout=120)
    said = said.decode()
    assert ranks.returncode == 130 and "Traceback" not in said, said
    assert said.count("everything so far is saved") == said.count("--resume") == 1, said
    (run,) = home.glob("runs/*/pretrain-*")
    assert json.loads((run / "status.json").read_text()) == {"state": "stopped"}
    assert len(list((run / "checkpoints").iterdir())) == 1
    left = subprocess.run(["ps", "-A", "-o", "args="], text=True, capture_output=True).stdout
    assert str(home) not in left


@pytest.mark.parametrize("whom", ["the command, twice", "what waits for the ranks"])
def test_ranks_do_not_outlive_what_started_them(tmp_path, whom):
    """By a second Ctrl-C, or where it is killed: they would train on unseen."""
    home = tmp_path / "first"
    new(home, "decoder")
    command = [sys.executable, "-m", "liju", "pretrain", str(home), "pretrain.steps=50000", "--on", "local:2"]
    ranks = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_for(lambda: list(home.glob("runs/*/pretrain-*/metrics.jsonl")) or ranks.poll() is not None)
    if whom == "the command, twice":
        ranks.send_signal(signal.SIGINT)
        time.sleep(0.02)
        ranks.send_signal(signal.SIGINT)
    else:
        (launcher,) = psutil.Process(ranks.pid).children()
        assert len(launcher.children()) == 2
        launcher.kill()
    _, said = ranks.communicate(timeout=60)
    said = said.decode()
    assert "Traceback" not in said, said
    if whom == "the command, twice":
        assert ranks.returncode == 130 and "what came after the last checkpoint is lost" in said
    else:
        assert ranks.returncode == 1 and "the ranks ended with -9" in said

    def left():
        told = subprocess.run(["ps", "-A", "-o", "args="], text=True, capture_output=True).stdout
        return [line for line in told.splitlines() if str(home) in line]

    assert wait_for(lambda: not left()), left()


RANK = """
import os, signal, sys
if os.environ["RANK"] == "1":
    print("seconds", os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
    {}
"""


@pytest.mark.parametrize(
    "ends, code, told",
    [
        ("sys.exit(5)", 5, "exitcode: 5"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "rank 1 was ended by SIGKILL"),
    ],
)
def test_how_a_rank_ended_is_handed_on(tmp_path, ends, code, told):
    (tmp_path / "rank.py").write_text(RANK.format(ends))
    command = torchrun([], 2)
    command[-2:] = [str(tmp_path / "rank.py")]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "RuntimeWarning" not in done.stderr  # of a module that its package has imported already
    assert "seconds 110" in done.stdout  # not 30: a step and a checkpoint may take longer


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
