"""A toy run as one of several ranks, started by torchrun or by hand, to be killed by the tests.

rank_run.py FOLDER FAMILY SHARDING STEPS [DIES_AT]: rank 1 of a first start kills itself when there is a
checkpoint of that step.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from train_toy import Toy, toy_model, toy_settings

from liju.errors import LijuError
from liju.train import Quiet, train
from liju.train.launch import joined

folder, family, sharding, steps = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
dies_at = int(sys.argv[5]) if len(sys.argv) > 5 else 0


class Loud(Quiet):
    def step(self, line) -> None:
        print("step", line["step"], flush=True)

    def notice(self, text: str) -> None:
        print("note", text, flush=True)


def die() -> None:
    """As a machine that is lost does."""
    while not (folder / "checkpoints" / f"step-{dies_at:06d}").exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


if dies_at and os.environ["RANK"] == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
    threading.Thread(target=die, daemon=True).start()
try:
    with joined():
        told = toy_settings(steps=steps, save_every=2, sharding=sharding, learning_rate=1e-3)
        result = train(toy_model(family), Toy(family), told, folder, resume=True, live=Loud())
except LijuError as error:
    print("error:", error.message, flush=True)
    sys.exit(2)
if os.environ.get("RANK", "0") == "0":
    print("stopped" if result.stopped else "done", result.step, flush=True)
