"""The two stages of cleaning, as workers of an engine run them: `Gather` reads, `Finish` removes duplicates.

Between them is a folder of Parquet parts, sorted into shards by the first digits of the document's id. So
equal texts meet in one shard, and no stage ever holds more than a part or a shard in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from liju.config import Text
from liju.text.dedupe import fingerprint, first_of_each
from liju.text.language import guess_language
from liju.text.normalise import normalise
from liju.text.passages import Passage, passages
from liju.text.report import LISTED, Problem, SourceReport
from liju.text.shards import SPLITS, ShardWriter, parquet
from liju.text.sources import File
from liju.text.split import held_out

__all__ = ["Finish", "Gather"]

# What a part knows of a document beside the document: file, place in the file, source.
_PLACE = {"file": "int64", "ordinal": "int64", "of": "int64"}
# Neighbouring passages that one worker takes when several share a large file.
_STRIPE = 64
# Characters that a gathering worker holds over all shards before it writes.
_HELD = 16_000_000


def _reason(error: OSError) -> str:
    """Why writing failed, in the system's words: Arrow has them at the end of its own."""
    return (error.strerror or str(error)).rpartition("] ")[2]


class Gather:
    """Stage 1: files to normalised documents in parts/SHARD/UNIT.parquet."""

    def __init__(self, settings: dict[str, Any], folder: str, shards: int, limit: int):
        self.settings = Text(**settings)
        self.folder = Path(folder)
        self.shards = shards
        self.limit = limit

    def run(self, units: Any) -> list[str]:
        """`one` for each unit of a column of JSON, as JSON."""
        return [json.dumps(self.one(json.loads(unit))) for unit in units.to_pylist()]

    def one(self, unit: dict[str, Any]) -> dict[str, Any]:
        """Read one unit of files. The result says what it read, by source, and its problems."""
        number, stripe, stripes = unit["number"], unit["stripe"], unit["stripes"]
        counts: dict[int, SourceReport] = {}
        problems: list[Problem] = []
        result = {"stop": None, "error": None, "size": unit["size"], "problem_count": 0}
        writers: dict[int, ShardWriter] = {}
        seen: set[bytes] = set()
        held = 0
        try:
            for each in unit["files"]:
                place, file = each["place"], File(**each["file"])
                count = counts.setdefault(file.source, SourceReport())
                if not stripe:
                    count.files += 1
                    count.bytes += file.size
                for ordinal, item in enumerate(self._mine(file, stripe, stripes)):
                    if item is None:
                        continue
                    if isinstance(item, Problem):
                        if self._stopped(item, problems, count, result):
                            return result | {"problems": [asdict(item)]}
                        continue
                    count.read += 1
                    row = self._document(file, item)
                    if len(row[1]) < self.settings.min_characters:
                        count.dropped["too short"] = count.dropped.get("too short", 0) + 1
                        continue
                    if self.settings.deduplicate:
                        # Most duplicates are near each other: these never reach the disk.
                        digest = bytes.fromhex(row[0])
                        if digest in seen:
                            count.dropped["duplicate"] = count.dropped.get("duplicate", 0) + 1
                            continue
                        seen.add(digest)
                    shard = int(row[0][:8], 16) * self.shards >> 32
                    if shard not in writers:
                        path = self.folder / f"{shard:05d}" / f"{number:07d}.parquet"
                        writers[shard] = ShardWriter(
                            path, {"file": "int64", "ordinal": "int64", "of": "int64"}
                        )
                    writers[shard].add((*row, place, ordinal, file.source))
                    held += len(row[1])
                    if held > _HELD:
                        for writer in writers.values():
                            writer.flush()
                        held = 0
            for writer in writers.values():
                writer.close()
        except OSError as error:
            # Reading errors are problems of their file; this one is ours, a full disk most likely.
            result["error"] = _reason(error)
        result["problems"] = [asdict(problem) for problem in problems]
        result["counts"] = {key: asdict(value) for key, value in counts.items()}
        return result

    def _mine(self, file: File, stripe: int, stripes: int) -> Iterator[Passage | Problem | None]:
        """The passages of a file, None for those that another worker takes."""
        for ordinal, item in enumerate(passages(file, self.settings.field, self.limit)):
            yield item if ordinal // _STRIPE % stripes == stripe else None

    def _stopped(self, problem: Problem, problems: list[Problem], count: SourceReport, result: dict) -> bool:
        """Count a problem; whether it ends the run."""
        result["problem_count"] += 1
        if len(problems) < LISTED:
            problems.append(problem)
        if self.settings.errors == "stop":
            result["stop"] = asdict(problem)
            return True
        if problem.fatal:
            count.files_skipped[problem.reason] = count.files_skipped.get(problem.reason, 0) + 1
        else:
            count.read += 1
            count.dropped[problem.reason] = count.dropped.get(problem.reason, 0) + 1
        return False

    def _document(self, file: File, passage: Passage) -> tuple[str, str, str, str, str, list[str]]:
        text, changes = normalise(passage.text, self.settings.normalise, self.settings.repair)
        if passage.cut:
            changes.insert(0, "cut")
        if passage.encoding not in ("utf-8", "utf-8-sig"):
            changes.insert(0, f"from {passage.encoding}")
        source = f"{file.name}:{passage.line}" if passage.line else file.name
        if passage.part:
            source += f"+{passage.part}"
        declared = passage.language or file.language
        # "?" is the other half of a pair, of which the source says nothing.
        language = declared if declared and declared != "?" else guess_language(text)
        return fingerprint(text), text, source, language, file.licence, changes


class Finish:
    """Stage 2: the parts of a shard to its documents, one of each, in the order of their ids, split."""

    def __init__(self, settings: dict[str, Any], folder: str, out: str, seed: int):
        self.settings = Text(**settings)
        self.folder = Path(folder)
        self.out = Path(out)
        self.seed = seed

    def run(self, shards: Any) -> list[str]:
        """`one` for each shard number of a column of JSON, as JSON."""
        return [json.dumps(self.one(json.loads(shard))) for shard in shards.to_pylist()]

    def one(self, shard: int) -> dict[str, Any]:
        """Write one shard. The result has its counts by source and the hash of what is in it."""
        counts: dict[int, SourceReport] = {}
        digest = blake2b(digest_size=16)
        result: dict[str, Any] = {"error": None}
        try:
            writers = {split: ShardWriter(self.out / split / f"{shard:05d}.parquet") for split in SPLITS}
            for row, copy, of in self._kept(shard, counts):
                identity = row["id"]
                kept_out = self.settings.sources[of].held_out
                split = SPLITS[kept_out or held_out(identity, self.settings.held_out, self.seed)]
                if copy:
                    row["id"] = f"{identity}-{copy}"
                count = counts.setdefault(of, SourceReport())
                count.kept += 1
                setattr(count, split, getattr(count, split) + 1)
                language, length = row["language"], len(row["text"])
                count.characters[language] = count.characters.get(language, 0) + length
                for change in row["changes"]:
                    count.changed[change] = count.changed.get(change, 0) + 1
                digest.update(f"{row['id']} {split} {length}\n".encode())
                digest.update(row["text"].encode())
                writers[split].add(list(row.values()))
            for writer in writers.values():
                writer.close()
        except OSError as error:
            result["error"] = _reason(error)
        result["digest"] = digest.hexdigest()
        result["counts"] = {key: asdict(value) for key, value in counts.items()}
        return result

    def _kept(self, shard: int, counts: dict[int, SourceReport]) -> Iterator[tuple[dict[str, Any], int, int]]:
        """(row, how many of the same text came before, source) in the order of (id, file, ordinal)."""
        _, reader = parquet()
        parts = sorted((self.folder / f"{shard:05d}").glob("*.parquet"))
        if not parts:
            return
        table = reader.read_table(parts)
        ids = table.column("id").to_pylist()
        places = list(zip(table.column("file").to_pylist(), table.column("ordinal").to_pylist(), strict=True))
        sources = table.column("of").to_pylist()
        table = table.drop_columns(["file", "ordinal", "of"])
        if self.settings.deduplicate:
            order = list(first_of_each(ids, places))
            for row in set(range(len(ids))).difference(order):
                count = counts.setdefault(sources[row], SourceReport())
                count.dropped["duplicate"] = count.dropped.get("duplicate", 0) + 1
        else:
            order = sorted(range(len(ids)), key=lambda row: (ids[row], places[row]))
        previous, copy = None, 0
        for start in range(0, len(order), 1024):
            rows = order[start : start + 1024]
            for row, values in zip(rows, table.take(rows).to_pylist(), strict=True):
                copy = copy + 1 if ids[row] == previous else 0
                previous = ids[row]
                yield values, copy, sources[row]
