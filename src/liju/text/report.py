"""`TextReport`: what cleaning read, kept and dropped, and every problem it met."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from liju.errors import DataError

__all__ = ["LISTED", "Problem", "SourceReport", "TextReport"]

# Problems are all counted; this many are listed, so that a broken file of a billion lines has a short report.
LISTED = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read: the file, the place in it ("3" is a line), and what is wrong.

    `reason` is the short name under which it is counted; `fatal` where the rest of the file is lost too.

    >>> print(Problem("reviews.csv", "3", "2 columns where the header has 3", "bad row"))
    reviews.csv:3: 2 columns where the header has 3
    """

    file: str
    place: str
    what: str
    reason: str
    fatal: bool = False

    def __str__(self) -> str:
        numbered = self.place.removeprefix("#").isdigit()  # a line, or an object of an array
        place = f":{self.place}" if numbered else f": {self.place}" if self.place else ""
        return f"{self.file}{place}: {self.what}"


def _add(into: dict[str, int], more: dict[str, int]) -> None:
    for key, count in more.items():
        into[key] = into.get(key, 0) + count


@dataclass
class SourceReport:
    """The counts of one source. `read` = `kept` + the sum of `dropped`."""

    source: str = ""
    files: int = 0
    bytes: int = 0
    read: int = 0
    kept: int = 0
    train: int = 0
    held_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    files_skipped: dict[str, int] = field(default_factory=dict)

    def add(self, other: SourceReport) -> None:
        """Add the counts of `other`.

        >>> total = SourceReport(read=2, kept=2)
        >>> total.add(SourceReport(read=5, kept=3, dropped={"duplicate": 2}))
        >>> total.read, total.kept, total.dropped
        (7, 5, {'duplicate': 2})
        """
        for each in fields(SourceReport):
            value = getattr(other, each.name)
            if isinstance(value, int):
                setattr(self, each.name, getattr(self, each.name) + value)
            elif isinstance(value, dict):
                _add(getattr(self, each.name), value)


@dataclass
class TextReport(SourceReport):
    """The counts of all sources together, then one table row a source, the problems, the time.

    `characters` are those of the kept documents by language, `changed` the kept documents by what was done to
    them, `problem_count` how many problems there were (`problems` lists the first of them), `fingerprint` the
    hash of everything kept: equal fingerprints are equal text. `notes` are for the reader to know.
    """

    sources: list[SourceReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    fingerprint: str = ""

    def to_json(self) -> str:
        """The report as JSON text that `from_json` reads back.

        >>> TextReport.from_json(TextReport(read=2).to_json()).read
        2
        """
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TextReport:
        """The report that `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        tree["sources"] = [SourceReport(**row) for row in tree.get("sources", [])]
        tree["problems"] = [Problem(**row) for row in tree.get("problems", [])]
        return cls(**tree)

    @classmethod
    def load(cls, out: Path) -> TextReport:
        """The report of a finished `clean`. Raises DataError where there is none."""
        try:
            return cls.from_json((out / "report.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{out}: no cleaned text here", hint="liju text makes it") from None
        except (ValueError, TypeError) as error:
            raise DataError(f"{out / 'report.json'}: not a report: {error}", hint="clean again") from None
