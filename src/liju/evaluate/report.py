"""`report.html`: one file that tells what was run and how well it went, and opens without a network.

The report is handed plain data. Every part may be missing; its section is then left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from liju.evaluate.metrics.calibration import Calibration
from liju.evaluate.metrics.confusion import Confusion
from liju.evaluate.metrics.labels import LabelScore
from liju.evaluate.plot import Series
from liju.evaluate.slices import Slice
from liju.evaluate.table import ScoreTable

__all__ = [
    "Curve",
    "Example",
    "Generated",
    "Inspected",
    "Law",
    "Piece",
    "Report",
    "Seen",
    "Sliced",
    "SourceStory",
]
__all__ += ["TextStory", "TrainedOn", "VocabStory", "write_report"]


@dataclass(frozen=True)
class SourceStory:
    """What became of one source: documents kept and dropped, characters kept, and where it came from."""

    name: str
    kept: int
    dropped: int = 0
    characters: int = 0
    language: str = ""
    licence: str = ""


@dataclass(frozen=True)
class TextStory:
    """What became of the text. `dropped` and `changed` count documents by reason."""

    kept: int
    held_out: int = 0
    characters: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    sources: Sequence[SourceStory] = ()


@dataclass(frozen=True)
class VocabStory:
    """The vocabulary: its kind and size, characters per token on held-out text, texts cut into their tokens,
    and some tokens of it."""

    kind: str
    size: int
    characters_per_token: float | None = None
    cut: Sequence[Sequence[str]] = ()
    tokens: Sequence[str] = ()


@dataclass(frozen=True)
class Curve:
    """One plot of lines."""

    title: str
    series: Sequence[Series]
    x_label: str = "step"
    y_label: str = "loss (nats)"


@dataclass(frozen=True)
class Example:
    """One held-out example and its answer. `right` is None where nothing is right or wrong (translation).

    `score` is how sure the answer was (0 to 1), `note` another number in words ("chrF 12.3"), `place` the
    file and line; `answers` are those of several systems by name, shown instead of `answered`.
    """

    text: str
    expected: str
    answered: str
    right: bool | None = None
    score: float | None = None
    pair: str = ""
    note: str = ""
    place: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sliced:
    """One metric (its name in METRICS) of one system on the whole test set and on parts of it."""

    metric: str
    whole: Slice
    parts: Sequence[Slice]
    system: str = ""


@dataclass(frozen=True)
class TrainedOn:
    """What one stage of training saw: the stage, what, how much of it, and a remark."""

    stage: str
    what: str
    amount: str = ""
    note: str = ""


@dataclass(frozen=True)
class Inspected:
    """One look at the labelled examples before training: what it is, columns, rows; a remark."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    note: str = ""


@dataclass(frozen=True)
class Piece:
    """One token as the model sees it. `kind` is "" (a word), "special", "mask", or "changed"; `target` is
    what must be predicted there, `type` its token type."""

    text: str
    kind: str = ""
    target: str = ""
    type: int = 0


@dataclass(frozen=True)
class Seen:
    """One sample: a caption and its pieces (of the encoder, or of the decoder)."""

    caption: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Generated:
    """What the model wrote, after which prompt, at which step of training."""

    text: str
    prompt: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Law:
    """One law of the project on this model: it holds, it is broken (False), or was not checked (None)."""

    name: str
    holds: bool | None
    detail: str = ""


@dataclass
class Report:
    """All that the page tells. `headline` are the few numbers on top; `facts` when, where and how long;
    `config` the resolved project file; `next_commands` what to try now."""

    title: str
    lead: str = ""
    headline: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    text: TextStory | None = None
    vocab: VocabStory | None = None
    model: Mapping[str, str | int | float] = field(default_factory=dict)
    trained_on: Sequence[TrainedOn] = ()
    inspected: Sequence[Inspected] = ()
    curves: Sequence[Curve] = ()
    scores: ScoreTable | None = None
    scores_note: str = ""
    confusion: Confusion | None = None
    confusions: Mapping[str, Confusion] = field(default_factory=dict)  # of several systems, by name
    calibration: Calibration | None = None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)  # of several systems, by name
    calibration_note: str = ""
    labels: Sequence[LabelScore] = ()
    slices: Sequence[Sliced] = ()
    mistakes: Sequence[Example] = ()
    mistakes_note: str = ""
    examples: Sequence[Example] = ()
    seen: Sequence[Seen] = ()
    generated: Sequence[Generated] = ()
    laws: Sequence[Law] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    next_commands: Sequence[str] = ()


def write_report(path: str | Path, report: Report) -> Path:
    """Write the report as one self-contained page, all at once or not at all, and give back its path.

    >>> import tempfile
    >>> path = write_report(Path(tempfile.mkdtemp()) / "report.html", Report("first", lead="例句 <b>"))
    >>> "例句 &lt;b&gt;" in path.read_text(encoding="utf-8")
    True
    """
    from liju.evaluate.page import page

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Text read from anywhere may hold lone surrogates and NULs, which no page can.
    html = page(report).replace("\0", "\ufffd").encode("utf-8", "replace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(html)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
