"""Several trainings in one process that take turns, so that a machine whose speed drifts is fair to all.

Each training is a whole loop of its own kind (liju's `train`, transformers' `Trainer`, a hand-written one) in
a thread of its own. It hands the turn on at the end of a step; only the one whose turn it is computes.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


class Over(Exception):
    """All turns have been taken: a training leaves its loop by this."""


@dataclass
class Turn:
    """What one training did in its turn."""

    tokens: int = 0
    flops: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0  # of the whole process: threads that prepare data are counted too


@dataclass
class Training:
    """One of those that take turns. `step_done` is to be called by its loop after every step."""

    name: str
    run: Callable[[Training], None]
    turns: list[Turn] = field(default_factory=list)
    table: Table | None = None
    error: BaseException | None = None

    def step_done(self, tokens: int, flops: float = 0.0) -> None:
        """Count a step; wait for the next turn when this one has lasted long enough. Raises Over."""
        assert self.table is not None
        self.turns[-1].tokens += tokens
        self.turns[-1].flops += flops
        if time.perf_counter() - self.table.began >= self.table.seconds:
            self.table.hand_on(self)

    def rate(self, turn: int, clock: str) -> float:
        """Tokens a second of a turn, by the `wall` or by the `cpu`."""
        return self.turns[turn].tokens / getattr(self.turns[turn], clock)


class Table:
    """Whose turn it is. The first `warm` turns of each are not counted."""

    def __init__(self, trainings: list[Training], seconds: float, rounds: int, warm: int = 1):
        self.trainings, self.seconds, self.rounds, self.warm = trainings, seconds, rounds + warm, warm
        self.condition = threading.Condition()
        self.current = -1
        self.began = self.cpu = 0.0

    def play(self) -> None:
        """Run all trainings to the end of the last round. The first one has the main thread."""
        for training in self.trainings:
            training.table = self
        self.current = 0
        threads = [threading.Thread(target=self._sit, args=(t,), daemon=True) for t in self.trainings[1:]]
        for thread in threads:
            thread.start()
        self._sit(self.trainings[0])
        for thread in threads:
            thread.join()
        for training in self.trainings:
            if training.error is not None:
                raise training.error
            training.turns = training.turns[self.warm :]

    def hand_on(self, training: Training) -> None:
        turn = training.turns[-1]
        turn.wall += time.perf_counter() - self.began
        turn.cpu += time.process_time() - self.cpu
        with self.condition:
            self.current = (self.current + 1) % len(self.trainings)
            self.condition.notify_all()
        if len(training.turns) == self.rounds:
            raise Over
        self._wait(training)

    def _wait(self, training: Training) -> None:
        mine = self.trainings.index(training)
        with self.condition:
            self.condition.wait_for(lambda: self.current == mine or self.failed)
        if self.failed:
            raise Over
        training.turns.append(Turn())
        self.began, self.cpu = time.perf_counter(), time.process_time()

    def _sit(self, training: Training) -> None:
        try:
            self._wait(training)
            training.run(training)
        except Over:
            pass
        except BaseException as error:
            training.error = error
            with self.condition:
                self.condition.notify_all()

    @property
    def failed(self) -> bool:
        return any(training.error is not None for training in self.trainings)


def ratio(one: Training, other: Training, clock: str) -> str:
    """How many times as fast: the median over the rounds, and the least and the greatest."""
    found = [one.rate(i, clock) / other.rate(i, clock) for i in range(len(one.turns))]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def median_rate(training: Training, clock: str) -> float:
    return statistics.median(training.rate(i, clock) for i in range(len(training.turns)))
