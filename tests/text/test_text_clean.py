"""The whole text stage, with processes."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from liju.config import Source, Text
from liju.errors import DataError
from liju.text import TextReport, clean, documents, pipeline


@pytest.fixture
def corpus(tmp_path):
    """Duplicates within and across files, in two encodings, and everything that can be wrong."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [f"第{number}个例句，内容各不相同。" for number in range(300)]
    (folder / "a.txt").write_text("\n".join(lines[:200] + lines[:50]), encoding="utf-8")
    (folder / "b.txt").write_bytes("\n".join(lines[100:]).encode("gb18030"))
    (folder / "c.txt.gz").write_bytes(
        gzip.compress("Plain English line\nplain  english LINE\nhi\ncafÃ© au lait\n".encode())
    )
    (folder / "bad.txt").write_bytes(
        "好的一行文字，可以留下。\n".encode()
        + b"broken \xff line here\n"
        + "又一行好的文字，也留下。\n".encode()
    )
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 9)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"body": "One more English document."}) + "\nnot json\n")
    return tmp_path


SETTINGS = Text(
    sources=[Source(path="data", format="auto"), Source(path="data/*.txt*", format="lines", licence="CC0")],
    held_out=0.2,
)
LINES = Text(sources=[Source(path="data", format="lines", licence="CC0")], held_out=0.2)


def bytes_of(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def test_everything_is_counted_and_nothing_else_is_lost(corpus):
    seen = []
    report = clean(
        LINES, corpus / "out", base=corpus, on_progress=lambda done, total: seen.append((done, total))
    )
    assert report.read == 250 + 200 + 4 + 3 == report.kept + sum(report.dropped.values())
    # 50 within a.txt, 100 in b.txt that are in a.txt, the English line in another case.
    assert report.dropped == {"duplicate": 50 + 100 + 1, "too short": 1, "invalid bytes": 1}
    assert report.files_skipped == {"binary file": 2, "empty file": 1}
    assert report.changed == {"from gb18030": 100, "repaired": 1}
    assert sorted(map(str, report.problems)) == [
        "data/bad.txt:2: bytes that are not UTF-8 (the first at byte 44)",
        "data/binary.txt: binary file (a NUL at byte 0)",
        "data/empty.txt: empty file",
        "data/picture.png: binary file (a NUL at byte 8)",
    ]
    assert seen[-1][0] == seen[-1][1] == report.bytes
    assert report.train + report.held_out == report.kept and 30 < report.held_out < 90
    assert TextReport.load(corpus / "out") == report
    train, held = (list(documents(corpus / "out", split)) for split in ("train", "held_out"))
    assert (len(train), len(held)) == (report.train, report.held_out)
    everything = train + held
    assert len({document.id for document in everything}) == report.kept
    assert [document.id for document in train] == sorted(document.id for document in train)
    by_text = {document.text: document for document in everything}
    # Of equal ones, the first file's is kept, as it is written there.
    assert by_text["第150个例句，内容各不相同。"].source == "data/a.txt:151"
    assert by_text["第250个例句，内容各不相同。"].changes == ["from gb18030"]
    assert by_text["Plain English line"].source == "data/c.txt.gz:1"
    assert by_text["café au lait"].changes == ["repaired"]
    assert {document.licence for document in everything} == {"CC0"}
    assert Counter(document.language for document in everything) == {"zh": 302, "en": 1, "other": 1}
    assert sum(report.characters.values()) == sum(len(document.text) for document in everything)


def test_bytes_do_not_depend_on_workers_units_or_shards_of_work(corpus, monkeypatch):
    one = clean(LINES, corpus / "one", base=corpus)
    monkeypatch.setattr(pipeline, "SMALL", 0)
    # Small units: every file is shared by several processes.
    monkeypatch.setattr(pipeline, "UNIT", 1000)
    three = clean(LINES, corpus / "three", base=corpus, workers=3)
    assert bytes_of(corpus / "one") == bytes_of(corpus / "three") != {}
    assert three.fingerprint == one.fingerprint
    assert (three.read, three.kept, three.dropped) == (one.read, one.kept, one.dropped)
    assert sorted(map(str, three.problems)) == sorted(map(str, one.problems))
    # More shards are other files with the same documents in the same order.
    monkeypatch.setattr(pipeline, "SHARD", 3000)
    clean(LINES, corpus / "many", base=corpus, workers=0)
    assert len(bytes_of(corpus / "many")) > 4
    for split in ("train", "held_out"):
        assert list(documents(corpus / "many", split)) == list(documents(corpus / "one", split))


def test_settings_are_honoured(corpus):
    settings = Text(
        sources=[Source(path="rows.jsonl", language="fr"), Source(path="data/c.txt.gz", format="lines")],
        field="body",
        normalise="nfkc",
        repair=False,
        deduplicate=False,
        min_characters=2,
        held_out=0,
    )
    report = clean(settings, corpus / "out", base=corpus, limit=14)
    found = {document.source: document for document in documents(corpus / "out")}
    assert found["rows.jsonl:1"].language == "fr" and found["rows.jsonl:1"].changes == ["cut", "spaces"]
    assert [found[f"rows.jsonl:1{part}"].text for part in ("", "+1", "+2")] == [
        "One more",
        "English",
        "document.",
    ]
    assert report.held_out == 0 and report.dropped == {"bad row": 1}
    lower = [document for document in found.values() if document.text.lower() == "plain english"]
    assert [document.id.partition("-")[2] for document in lower] == ["", "1"]
    assert list(documents(corpus / "out", "held_out")) == []


def test_a_smaller_seed_of_text_never_straddles(corpus):
    held = {}
    for seed in (0, 1):
        clean(LINES, corpus / "out", base=corpus, seed=seed)
        held[seed] = {document.text for document in documents(corpus / "out", "held_out")}
    assert held[0] != held[1]
    (corpus / "data" / "a.txt").write_text("一个新的例句，只有这一行。\n" * 3, encoding="utf-8")
    clean(LINES, corpus / "out", base=corpus, seed=1)
    now = {document.text for document in documents(corpus / "out", "held_out")}
    rest = {document.text for document in documents(corpus / "out", "train")}
    # The documents that are still there fall where they fell before.
    assert not held[1] & rest and held[1] & now


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source(path="data/binary.txt"), r"data/binary\.txt: binary file"),
        (Source(path="data/empty.txt"), r"data/empty\.txt: empty file"),
        (Source(path="data/bad.txt", format="lines"), r"data/bad\.txt:2: bytes that are not UTF-8"),
        (Source(path="rows.jsonl"), r"rows\.jsonl:1: no field 'text' \(it has body\)"),
    ],
)
def test_stop_names_file_and_place_and_leaves_nothing(corpus, source, message):
    settings = Text(sources=[source], errors="stop")
    with pytest.raises(DataError, match=message):
        clean(settings, corpus / "out", base=corpus, workers=1)
    assert list((corpus / "out").iterdir()) == []


def test_nothing_left_is_an_error_and_an_earlier_result_survives(corpus):
    clean(LINES, corpus / "out", base=corpus)
    before = bytes_of(corpus / "out")
    settings = Text(sources=[Source(path="data/binary.txt")])
    with pytest.raises(
        DataError, match=r"no document is left: 0 read; first problem: data/binary\.txt: binary"
    ):
        clean(settings, corpus / "out", base=corpus)
    with pytest.raises(DataError, match="no file matches"):
        clean(Text(sources=[Source(path="data/none.txt")]), corpus / "out", base=corpus)
    with pytest.raises(DataError, match="no sources"):
        clean(Text(), corpus / "out", base=corpus)
    assert bytes_of(corpus / "out") == before
    with pytest.raises(DataError, match="no cleaned text here"):
        next(documents(corpus / "data"))


def test_a_note_says_that_nothing_is_held_out(corpus):
    report = clean(Text(sources=[Source(path="data/a.txt")], held_out=0.0001), corpus / "out", base=corpus)
    assert report.train == 1 and "held-out" in report.notes[0]


def test_out_that_cannot_be_written(corpus):
    (corpus / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot write the cleaned text: Not a directory"):
        clean(LINES, corpus / "file" / "out", base=corpus)


# Also a script without `if __name__ == "__main__"`: the engine's processes must not run it again.
SCRIPT = """
import sys, pathlib
print("started")
from liju.config import Source, Text
from liju.text import clean, pipeline
from liju.errors import DataError
pipeline.SMALL = 0
base = pathlib.Path(sys.argv[1])
settings = Text(sources=[Source(path="data", format="lines")])
try:
    print("kept", clean(settings, base / "out", base=base, workers=2).kept)
except DataError as error:
    print(error.message)
print("torch" in sys.modules)
"""


def run(corpus, limit=None):
    import resource

    (corpus / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, corpus / "script.py", corpus],
        capture_output=True,
        text=True,
        cwd=corpus,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )
    return done.stdout.splitlines(), done.stderr


def test_script_without_main_guard(corpus):
    lines, errors = run(corpus)
    assert lines == ["started", "kept 304", "False"] and errors == ""


def test_full_disk_leaves_nothing_that_looks_done(corpus):
    # A limit on the size of a file fails in the same call as a full disk.
    (corpus / "data" / "noise.txt").write_text("\n".join(os.urandom(50).hex() for _ in range(9000)))
    lines, _ = run(corpus, limit=100_000)
    assert "cannot write the cleaned text: File too large" in lines[1]
    assert lines[2] == "False"
    assert not (corpus / "out" / "report.json").exists()
    assert list((corpus / "out").iterdir()) == []


def test_killed_run_does_not_count_and_the_next_one_takes_over(corpus):
    import signal
    import time

    lines = "\n".join(f"{number} {os.urandom(40).hex()}" for number in range(60_000))
    (corpus / "data" / "noise.txt").write_text(lines)
    (corpus / "script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, corpus / "script.py", corpus], stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(corpus.glob("out/.cleaning-*/parts/*/*")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(DataError, match="no cleaned text"):
        next(documents(corpus / "out"))
    (corpus / "data" / "noise.txt").unlink()
    assert clean(LINES, corpus / "out", base=corpus).kept == 304
    assert sorted(path.name for path in (corpus / "out").iterdir()) == ["held_out", "report.json", "train"]


def test_a_source_that_is_held_out_whole(corpus):
    sources = [
        Source(path="data/a.txt", format="lines"),
        Source(path="data/b.txt", format="lines", held_out=True),
    ]
    report = clean(Text(sources=sources, held_out=0), corpus / "out", base=corpus)
    # a.txt has lines 0-199, b.txt 100-299: what both have is held out.
    assert (report.train, report.held_out) == (100, 200)
    held = {document.text for document in documents(corpus / "out", "held_out")}
    assert not held & {document.text for document in documents(corpus / "out", "train")}
