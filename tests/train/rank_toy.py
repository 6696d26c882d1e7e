"""Several ranks on this machine, for the tests: processes that talk by gloo."""

from __future__ import annotations

import datetime
import faulthandler
import multiprocessing
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Ranks are forked from a clean process that has imported what is slow to import, once a session.
PRELOAD = ["torch.distributed.fsdp", "torch.distributed.checkpoint", "torch.distributed.tensor.parallel"]
multiprocessing.set_forkserver_preload([*PRELOAD, "liju.train", "liju.model"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _rank(rank: int, size: int, port: int, function, args) -> None:
    faulthandler.dump_traceback_later(900, exit=True)  # a rank that waits for ever says where
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(seconds=600),
    )
    function(*args)
    dist.destroy_process_group()


def on_ranks(size: int, function, *args) -> None:
    """Run `function(*args)` in `size` processes of one group."""
    mp.start_processes(
        _rank, args=(size, free_port(), function, args), nprocs=size, start_method="forkserver"
    )


def kept(folder: Path, name: str, model: torch.nn.Module) -> None:
    if dist.get_rank() == 0:
        torch.save({k: v.clone() for k, v in model.state_dict().items()}, folder / f"{name}.pt")
