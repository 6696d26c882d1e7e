"""How the ranks of a run are started, and how a process that was started as one of them joins the others.

torchrun (and so `--on local:N` and the Slurm script) tells each process its rank by RANK, LOCAL_RANK and
WORLD_SIZE; Ray Train has formed the group already.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from liju.errors import ConfigError, MissingExtra, RankError
from liju.train import parallel
from liju.train.parallel import World

__all__ = ["joined", "on_ray", "sbatch", "torchrun"]

LAUNCHER = "LIJU_LAUNCHER"  # what tells the ranks who started them: they do not outlive it
# How long a message may take. A rank that is killed is noticed at once (its connections close), a machine
# that vanishes after this time.
SECONDS = 600.0


@contextmanager
def joined() -> Iterator[World]:
    """Inside, the process belongs to the ranks that its environment tells of, on the GPU of its local rank.

    A process that nobody started as a rank stays alone, and a group that exists is used as it is.
    LIJU_RANK_TIMEOUT: seconds after which a rank that does not answer is given up (600).
    Raises ConfigError when the machine has fewer GPUs than ranks, RankError when the others do not come.

    >>> with joined() as world:
    ...     world
    World(rank=0, size=1, tensor_parallel=1)
    """
    go_with_launcher()
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield World()
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    ours = not dist.is_initialized()
    if ours:
        local, backend = int(os.environ.get("LOCAL_RANK", "0")), "gloo"
        if torch.cuda.is_available():
            if local >= torch.cuda.device_count():
                raise ConfigError(
                    f"local rank {local} has no GPU: {torch.cuda.device_count()} are here",
                    hint=f"--nproc-per-node={torch.cuda.device_count()}",
                )
            torch.cuda.set_device(local)
            backend = "cpu:gloo,cuda:nccl"  # what is counted and told goes by gloo
        timeout = timedelta(seconds=float(os.environ.get("LIJU_RANK_TIMEOUT", SECONDS)))
        try:
            store, rank, size = next(rendezvous("env://", timeout=timeout))
            if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
                store = fresh(store, rank, size, timeout.total_seconds())
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
        except (RuntimeError, ValueError) as error:
            raise RankError(
                f"rank {os.environ['RANK']} did not find the other ranks: {str(error).splitlines()[0]}",
                hint="are all of them started, with the same MASTER_ADDR and MASTER_PORT?",
            ) from error
    # The first rank may clean text for hours while the others wait.
    parallel._patient.append(dist.new_group(backend="gloo", timeout=timedelta(days=30)))
    try:
        yield World.current()
    finally:
        parallel._patient.pop()
        if ours:
            dist.destroy_process_group()


def go_with_launcher() -> None:
    """End this process as soon as the `liju.train.ranks` that started it is gone: ranks that nobody waits for
    would train on unseen. A checkpoint that is being written then is one that never was."""
    launcher = os.environ.get(LAUNCHER)
    if launcher != str(os.getppid()):
        return

    def watch() -> None:
        while str(os.getppid()) == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def fresh(store: Any, rank: int, size: int, seconds: float) -> Any:
    """A part of the store that no rank of an earlier start has written in.

    torchrun keeps one store over its restarts, with the addresses of the ranks that are gone
    (pytorch/pytorch#135712); a new rank that reads one of those finds nobody. Counting the restarts does not
    help: the machines count each their own. So every rank leaves a sign of its own, the first rank repeats
    them until each has found its own there.
    """
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]

    until, own = time.monotonic() + seconds, uuid4().hex
    signs = [f"liju/sign/{r}" for r in range(size)]
    store.set(signs[rank], own)
    while True:
        if rank == 0:
            store.set("liju/signs", json.dumps([sign.decode() for sign in store.multi_get(signs)]))
        seen = json.loads(store.get("liju/signs"))
        part = f"liju/{seen[0]}"
        if seen[rank : rank + 1] == [own]:
            store.set(f"{part}/found/{rank}", "")
            if rank or store.check([f"{part}/found/{r}" for r in range(size)]):
                return PrefixStore(part, store)
        if time.monotonic() > until:
            raise RuntimeError(f"not all of {size} ranks came within {seconds:.0f} seconds")
        time.sleep(0.05)


def torchrun(words: Sequence[str], ranks: int) -> list[str]:
    """The command that does `liju WORDS` with so many ranks on this machine.

    >>> torchrun(["pretrain", "first"], 2)[1:]
    ['-m', 'liju.train.ranks', '--standalone', '--nproc-per-node=2', '-m', 'liju', 'pretrain', 'first']
    """
    run = [sys.executable, "-m", "liju.train.ranks", "--standalone", f"--nproc-per-node={ranks}"]
    return [*run, "-m", "liju", *words]


def sbatch(words: Sequence[str], nodes: int = 1, gpus: int = 8, name: str = "liju", restarts: int = 3) -> str:
    """A Slurm script that does `liju WORDS --resume` on `nodes` machines with `gpus` ranks each.

    Two minutes before the time is over the script asks the run to stop; it saves, and the job is queued again
    and goes on from there. A job that is cancelled, or that fails, is not. A lost rank restarts all ranks
    from the last checkpoint, `restarts` times at most.

    >>> print(sbatch(["pretrain", "first"], nodes=2, gpus=4).splitlines()[2])
    #SBATCH --nodes=2
    """
    # Not above: that module is run as a program, and must not be loaded before.
    from liju.train.ranks import STOPPED

    again = words if "--resume" in words else [*words, "--resume"]
    return f"""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --cpus-per-task={8 * gpus}
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# All machines need this folder, on one shared disk, and the same Python: {sys.executable}
set -euo pipefail
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-8}}"
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# Two minutes before its time is over Slurm tells this script, which asks the run to stop: by scancel,
# since srun ends its tasks at once when it is told itself. (USR1, not TERM: that a cancelled job gets too.)
late=""
trap 'late="$late."; scancel --signal=TERM "$SLURM_JOB_ID"' USR1

srun {shlex.quote(sys.executable)} -m liju.train.ranks \\
    --nnodes="$SLURM_NNODES" --nproc-per-node={gpus} --max-restarts={restarts} \\
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$HEAD:29500" \\
    -m liju {shlex.join(again)} &
step=$!
before=no
while [ "$before" != "$late" ]; do  # a signal ends the waiting, not the step
    before="$late" code=0
    wait "$step" || code=$?
done

# Out of time, and the run has saved itself: go on in the next allocation.
if [ -n "$late" ] && [ "$code" -eq {STOPPED} ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
"""


def on_ray(words: Sequence[str], workers: int, verb: Callable[[list[str]], int], restarts: int = 3) -> None:
    """Do `liju WORDS --resume` on a Ray cluster, one rank a worker (a GPU each, where there are any).

    `verb` does the words and gives the exit code: `liju.cli.main`, which each worker imports for itself.

    The cluster is the one of RAY_ADDRESS, or this machine. A lost worker restarts all from the last
    checkpoint. The project's folder must be on a disk that all machines share.
    Raises MissingExtra without Ray, RankError when the workers end with an error.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.train import FailureConfig, RunConfig, ScalingConfig  # pyright: ignore[reportMissingImports]
        from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtra("ray[train]", "cluster") from None
    import torch

    gpus = torch.cuda.is_available() or bool(ray.is_initialized() and ray.cluster_resources().get("GPU"))
    again = words if "--resume" in words else [*words, "--resume"]
    trainer = TorchTrainer(
        _ray_worker,
        train_loop_config={"words": [str(word) for word in again], "folder": os.getcwd(), "verb": verb},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=restarts)),
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray's own have no common base class across its versions
        reason = str(error).strip().splitlines()
        told = reason[-1] if reason else type(error).__name__
        raise RankError(f"on Ray: {told}", hint="see Ray's log") from error


def _ray_worker(config: dict) -> None:
    """What each worker does."""
    import torch.distributed as dist

    os.chdir(config["folder"])
    os.environ |= {"RANK": str(dist.get_rank()), "WORLD_SIZE": str(dist.get_world_size())}
    code = config["verb"](config["words"])
    if code:
        raise RuntimeError(f"liju {' '.join(config['words'])} ended with {code}")
