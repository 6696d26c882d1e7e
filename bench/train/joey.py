"""joeynmt, trained for a given time: translation.py runs this file with the interpreter that has joeynmt.

It is given the path of a JSON file: `config` (joeynmt's own), `seconds`, `clock`, `seed`, `answers` (where
the translations go). Of joeynmt only the end of the training is changed: it stops when the time is over. It
prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from joeynmt.config import parse_global_args, set_validation_args
from joeynmt.helpers import set_seed
from joeynmt.prediction import predict, prepare
from joeynmt.training import TrainManager


class Timed(TrainManager):
    """joeynmt's training, which counts tokens and ends with its time."""

    seconds, now, began = 0.0, time.perf_counter, None
    tokens = places = 0

    def _train_step(self, batch):
        if self.began is None:
            self.began = Timed.now()
        found = super()._train_step(batch)
        pad = self.model.pad_index
        self.tokens += int((batch.src != pad).sum() + (batch.trg != pad).sum())
        self.places += batch.src.numel() + batch.trg.numel()
        if Timed.now() - self.began >= self.seconds:
            self.stats.is_max_update = True
        return found


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text())
    cfg = asked["config"]
    Path(cfg["model_dir"]).mkdir(parents=True)
    Timed.now = {"wall": time.perf_counter, "cpu": time.process_time}[asked["clock"]]
    set_seed(asked["seed"])
    args = parse_global_args(cfg, rank=0, mode="train")
    model, train_data, dev_data, test_data = prepare(args, rank=0, mode="train")
    manager = Timed(
        rank=0,
        model=model,
        model_dir=args.model_dir,
        device=args.device,
        autocast=args.autocast,
        seed=asked["seed"],
        train_args=args.train,
        dev_args=set_validation_args(args.test),
    )
    manager.seconds = asked["seconds"]
    manager.train_and_validate(train_data=train_data, valid_data=dev_data)
    answers = predict(
        model=model,
        data=test_data,
        device=args.device,
        n_gpu=0,
        args=args.test,
        autocast=args.autocast,
    )[3]
    Path(asked["answers"]).write_text(json.dumps([list(map(str, one)) for one in answers]))
    told = {
        "steps": manager.stats.steps,
        "tokens": manager.tokens,
        "places": manager.places,
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
