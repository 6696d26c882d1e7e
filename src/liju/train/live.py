"""What a person sees while it trains: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["Lines", "Live", "Quiet", "Screen", "live_for", "parts_of", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"


class Live(Protocol):
    """What the loop tells. `line` is what goes to metrics.jsonl."""

    def begin(self, done: int, steps: int) -> None: ...

    def step(self, line: Mapping[str, Any]) -> None: ...

    def evaluation(self, step: int, scores: Mapping[str, float], text: str = "") -> None: ...

    def notice(self, text: str) -> None: ...

    def end(self) -> None: ...


class Quiet:
    """Shows nothing."""

    def begin(self, done: int, steps: int) -> None: ...

    def step(self, line: Mapping[str, Any]) -> None: ...

    def evaluation(self, step: int, scores: Mapping[str, float], text: str = "") -> None: ...

    def notice(self, text: str) -> None: ...

    def end(self) -> None: ...


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The curve of `values` in one line, each column the mean of its share.

    >>> sparkline([8, 7, 6, 5, 4, 3, 2, 1], width=4)
    '█▅▃▁'
    """
    if not values:
        return ""
    width = min(width, len(values))
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(BARS[int((value - low) / span * (len(BARS) - 1))] for value in means)


def duration(seconds: float) -> str:
    """
    >>> duration(7), duration(125), duration(7384)
    ('7 s', '2:05', '2:03:04')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"


def parts_of(scores: Mapping[str, float]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Scores of the whole, and losses of its parts by what the parts are.

    >>> parts_of({"loss": 2.5, "loss/zh": 3.0, "loss/en": 2.0, "loss/source/a/b.txt": 3.0})
    ({'loss': 2.5}, {'language': {'zh': 3.0, 'en': 2.0}, 'source': {'a/b.txt': 3.0}})
    """
    whole: dict[str, float] = {}
    parts: dict[str, dict[str, float]] = {}
    for name, value in scores.items():
        if not name.startswith("loss/"):
            whole[name] = value
        elif name.startswith("loss/source/"):
            parts.setdefault("source", {})[name.removeprefix("loss/source/")] = value
        else:
            parts.setdefault("language", {})[name.removeprefix("loss/")] = value
    return whole, parts


def _listed(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in scores.items())


class Lines:
    """One plain line every `interval` seconds, and one an evaluation. Speed and time left are of the whole
    time since the start, evaluations and checkpoints included."""

    def __init__(self, console: Console | None = None, interval: float = 10.0):
        self.console = console or Console(highlight=False)
        self.interval = interval
        self.done = self.first = self.steps = self.tokens = self.places = 0
        self.scores = self.moved = ""
        self.losses: deque[float] = deque(maxlen=4000)
        self.started = self.shown = time.monotonic()

    def begin(self, done: int, steps: int) -> None:
        self.first, self.done, self.steps = done, done, steps
        self.started = self.shown = time.monotonic()

    def step(self, line: Mapping[str, Any]) -> None:
        self.done = line["step"]
        self.tokens += line["tokens"]
        self.places += line["places"]
        self.losses.append(line["loss"])
        if "update_ratio" in line:  # looked at every few steps only
            self.moved = f"update {line['update_ratio']:.1e} of the weights"
        if time.monotonic() - self.shown >= self.interval or self.done == self.steps:
            self.shown = time.monotonic()
            self.show(line)

    def show(self, line: Mapping[str, Any]) -> None:
        self._print(f"step {self.done}/{self.steps}  loss {line['loss']:.4f}  {self.speed()}")

    def evaluation(self, step: int, scores: Mapping[str, float], text: str = "") -> None:
        whole, parts = parts_of(scores)
        lines = [f"step {step}  {_listed(whole)}"]
        lines += [f"  by {kind}  {_listed(losses)}" for kind, losses in parts.items()]
        self.scores = "\n".join(lines)
        self._print(f"held out  {self.scores}")
        if text:
            self._print(text)

    def notice(self, text: str) -> None:
        self._print(f"note: {text}")

    def end(self) -> None: ...

    def speed(self) -> str:
        """Real tokens a second, the share of places that hold one, the time left."""
        passed = max(time.monotonic() - self.started, 1e-9)
        left = passed / max(self.done - self.first, 1) * (self.steps - self.done)
        real = self.tokens / max(self.places, 1)
        return f"{self.tokens / passed:,.0f} tokens/s  {real:.0%} real  {duration(left)} left"

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class Screen(Lines):
    """A panel that stays in place: bar, loss and its curve, speed, last evaluation."""

    def __init__(self, console: Console | None = None):
        super().__init__(console, interval=0.25)
        self.view: RichLive | None = None

    def begin(self, done: int, steps: int) -> None:
        super().begin(done, steps)
        self.view = RichLive(console=self.console, auto_refresh=False, transient=False)
        self.view.start()

    def show(self, line: Mapping[str, Any]) -> None:
        if self.view is not None:
            self.view.update(self.panel(line), refresh=True)

    def panel(self, line: Mapping[str, Any]) -> Group:
        """What is on the screen now."""
        table = Table.grid(padding=(0, 2))
        table.add_row("step", f"{self.done} of {self.steps}", ProgressBar(self.steps, self.done, width=40))
        table.add_row("loss", f"{line['loss']:.4f}", Text(sparkline(list(self.losses)), style="cyan"))
        use = f"{line['mfu']:.0%} of the machine's peak" if line.get("mfu") else ""
        table.add_row("speed", self.speed(), use)
        if line.get("memory"):
            table.add_row("memory", f"{line['memory'] / 1e9:.2f} GB at most", self.moved)
        return Group(table, Text(f"held out  {self.scores}" if self.scores else ""))

    def end(self) -> None:
        if self.view is not None:
            self.view.stop()
            self.view = None


def live_for(console: Console | None = None, quiet: bool = False) -> Live:
    """`Screen` on a terminal, `Lines` elsewhere. Colours follow the console, which respects NO_COLOR.

    >>> import io
    >>> type(live_for(Console(file=io.StringIO()))).__name__
    'Lines'
    """
    console = console or Console(highlight=False)
    if quiet:
        return Quiet()
    return Screen(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)
