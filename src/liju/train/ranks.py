"""What starts the ranks of a machine and waits for them: torchrun, which hands on how they ended.

`python -m liju.train.ranks OPTIONS -m liju WORDS` takes the options of torchrun. That one ends with 1 and a
traceback of its own whatever happened, so that nobody could tell a run that was asked to stop, and has saved
itself, from one that failed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence

from liju.train.launch import LAUNCHER

__all__ = ["STOPPED", "main"]

STOPPED = 130  # as a verb ends that was asked to stop
# Seconds in which ranks that were asked to stop finish their step and save; torch gives 30, and a torch that
# does not know the variable leaves it at that. A Slurm script asks 120 seconds before the end.
os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "110")


def main(words: Sequence[str]) -> int:
    """Do what torchrun does with these words; the exit code: 0, that of the rank that failed first, or 130
    where SIGTERM or Ctrl-C came and all ranks have left."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ[LAUNCHER] = str(os.getpid())
    for name in ("agent.server.api", "multiprocessing.api"):  # "received 15 death signal": we are told below
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.ERROR)
    try:
        run.main(list(words))
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:  # nobody else tells of it; an error is told by the rank itself
            print(f"error: rank {rank} was ended by {_named(-failure.exitcode)}", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
