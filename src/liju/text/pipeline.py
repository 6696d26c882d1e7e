"""`clean`: sources to clean, deduplicated, split documents, on Daft's engine and in bounded memory.

    files ──► Gather (in processes) ──► parts/SHARD/*.parquet ──► Finish (in processes) ──► train/ held_out/

Daft hands units of files to the first stage and shards to the second, one at a time to each free process. The
text itself goes through files, so the same two queries run on a cluster that shares them (DAFT_RUNNER=ray).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from liju.config import Text
from liju.errors import DataError
from liju.text.encoding import strip_compression
from liju.text.engine import Engine
from liju.text.passages import stop
from liju.text.pieces import LIMIT
from liju.text.report import LISTED, Problem, SourceReport, TextReport
from liju.text.shards import SPLITS
from liju.text.sources import File, resolve

__all__ = ["clean"]

# Bytes of files in one unit of the first stage, and of text in one shard of the second.
UNIT = 8 << 20
SHARD = 128 << 20
# Less text than this is cleaned in the caller's process: starting others would take longer.
SMALL = 4 << 20
# A compressed file has about this much more text than bytes.
_EXPANDS = 4

Progress = Callable[[int, int], None]


def clean(
    settings: Text,
    out: Path,
    *,
    seed: int = 0,
    base: Path = Path("."),
    on_progress: Progress | None = None,
    workers: int | None = None,
    limit: int = LIMIT,
) -> TextReport:
    """Read, mend, deduplicate and split the text of the sources into out/train and out/held_out (Parquet).

    `base` is the folder that relative paths start from, `workers` the number of processes (all processors; a
    little text, or 0, is cleaned in this process),
    `limit` the characters of one document (longer ones are cut at a sentence or space, nothing is lost), and
    `on_progress(done, total)` is called with the bytes of files read so far.

    The files are byte for byte the same for the same input, seed and limit, whatever the number of workers.
    Work goes on in a hidden folder in `out`; results are moved in place at the end and report.json last, so
    that a folder with a report.json is complete. An earlier result in `out` is replaced.

    Raises DataError for a source that is missing, for the first unreadable file or row with errors = "stop",
    where nothing is left to train on, and where `out` cannot be written; MissingExtra without Daft.
    """
    started = time.monotonic()
    if not settings.sources:
        raise DataError("[text] has no sources", hint='sources = ["notes.txt"], or a folder, or a pattern')
    out = Path(out).absolute()
    # Held-out sources come first: of two equal documents the held-out one is the one that is kept.
    numbered = sorted(enumerate(settings.sources), key=lambda pair: not pair[1].held_out)
    files = [file for number, source in numbered for file in resolve(source, base, number)]
    report = TextReport(sources=[SourceReport(source=source.path) for source in settings.sources])
    readable = []
    for file in files:
        if file.format:
            readable.append(file)
        else:
            report.sources[file.source].add(SourceReport(files_skipped={"unknown ending": 1}))
    units, shards = _units(readable), _shards(readable)
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if sum(map(_size, readable)) < SMALL:
        workers = 0
    section = settings.model_dump()
    engine = Engine(workers)
    scratch = _scratch(out)
    try:
        with engine:
            total, done = sum(unit["size"] for unit in units), 0
            for result in engine.run("Gather", [section, str(scratch / "parts"), shards, limit], units):
                _check(result, out)
                done += result["size"]
                report.problem_count += result["problem_count"]
                problems = [Problem(**problem) for problem in result["problems"]]
                report.problems += problems[: LISTED - len(report.problems)]
                _count(report, result)
                if on_progress:
                    on_progress(done, total)
            digest = blake2b(digest_size=16)
            finish = [section, str(scratch / "parts"), str(scratch), seed]
            for result in engine.run("Finish", finish, list(range(shards))):
                _check(result, out)
                digest.update(result["digest"].encode())
                _count(report, result)
        report.fingerprint = digest.hexdigest()
        for source in report.sources:
            report.add(source)
        _check_left(report, settings)
        report.seconds = round(time.monotonic() - started, 3)
        _move(scratch, out, report)
    except OSError as error:
        raise _cannot_write(out, error.strerror or str(error)) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return report


def _size(file: File) -> int:
    return file.size * (_EXPANDS if strip_compression(file.path)[1] else 1)


def _units(files: list[File]) -> list[dict[str, Any]]:
    """Work for one process each: many small files together, or every n-th stripe of a large one."""
    units: list[dict[str, Any]] = []
    group: list[dict[str, Any]] = []
    size = 0

    def add(members: list[dict[str, Any]], bytes_: int, stripe: int = 0, stripes: int = 1) -> None:
        units.append(
            {"number": len(units), "files": members, "size": bytes_, "stripe": stripe, "stripes": stripes}
        )

    for place, file in enumerate(files):
        member = {"place": place, "file": asdict(file)}
        # Every stripe decodes the whole file, which is cheap beside cleaning it; 16 is where it stops to be.
        stripes = min(16, _size(file) // UNIT)
        if stripes > 1 and file.format not in ("html", "python"):
            for stripe in range(stripes):
                add(
                    [member],
                    file.size // stripes + (file.size % stripes if not stripe else 0),
                    stripe,
                    stripes,
                )
            continue
        if group and size + _size(file) > UNIT:
            add(group, sum(each["file"]["size"] for each in group))
            group, size = [], 0
        group.append(member)
        size += _size(file)
    if group:
        add(group, sum(each["file"]["size"] for each in group))
    return units


def _shards(files: list[File]) -> int:
    return min(1024, max(1, -(-sum(map(_size, files)) // SHARD)))


def _count(report: TextReport, result: dict[str, Any]) -> None:
    for number, counts in result["counts"].items():
        report.sources[int(number)].add(SourceReport(**counts))


def _check(result: dict[str, Any], out: Path) -> None:
    if result.get("stop"):
        raise stop(Problem(**result["stop"]))
    if result["error"]:
        raise _cannot_write(out, result["error"])


def _cannot_write(out: Path, why: str) -> DataError:
    return DataError(
        f"{out}: cannot write the cleaned text: {why}", hint="free some space or choose another out"
    )


def _check_left(report: TextReport, settings: Text) -> None:
    if report.train:
        if settings.held_out and not report.held_out:
            report.notes.append(
                f"none of {report.train} documents fell among the held-out {settings.held_out:.1%}: "
                'more text, format = "lines", or a larger held_out would give some'
            )
        return
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dropped.items()))
    first = f"; first problem: {report.problems[0]}" if report.problems else ""
    if report.held_out:
        raise DataError(
            f"all {report.held_out} documents fell among the held-out ones",
            hint='more text; or format = "lines" to make every line a document; or another seed',
        )
    raise DataError(
        f"no document is left: {report.read} read{f' ({dropped})' if dropped else ''}{first}",
        hint=f"min_characters is {settings.min_characters}; look at the sources' paths and formats",
    )


def _scratch(out: Path) -> Path:
    """A fresh hidden folder in `out`; those of runs that were killed are removed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for stale in out.glob(".cleaning-*"):
            shutil.rmtree(stale, ignore_errors=True)
        scratch = out / f".cleaning-{os.getpid()}"
        scratch.mkdir()
        for name in ("parts", *SPLITS):
            (scratch / name).mkdir()
    except OSError as error:
        raise _cannot_write(out, error.strerror or str(error)) from None
    return scratch


def _move(scratch: Path, out: Path, report: TextReport) -> None:
    """Put the result in place. Without a report.json the folder does not count as clean text."""
    finished = out / "report.json"
    draft = scratch / "report.json"
    with open(draft, "w", encoding="utf-8") as file:
        file.write(report.to_json())
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        finished.unlink()
    for split in SPLITS:
        if (out / split).exists():
            shutil.rmtree(out / split)
        os.replace(scratch / split, out / split)
    os.replace(draft, finished)
