"""Which encoding a file has, and where it breaks."""

import gzip
import random

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.config import Source
from liju.text import normalise, rows
from liju.text.encoding import Damaged, byte_chunks, detect, text_chunks

CHINESE = "这是一个例句，用来测试编码。\n第二行也要读对。\n" * 7


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_encodings_are_found(tmp_path, encoding, expected, ending):
    data = CHINESE.encode(encoding)
    if ending == ".gz":
        data = gzip.compress(data)
    elif ending == ".zst":
        data = pyarrow.Codec("zstd").compress(data, asbytes=True)
    path = write(tmp_path / f"a.txt{ending}", data)
    found = detect(path)
    assert (found.name, found.bad, found.problem) == (expected, None, "")
    # A chunk may end inside a character.
    assert "".join(text_chunks(path, found, size=5)) == CHINESE


def test_first_bad_byte_is_named(tmp_path):
    found = detect(write(tmp_path / "a.txt", CHINESE.encode()[:-1] + b"\xff ok\n"))
    assert (found.name, found.bad) == ("utf-8", len(CHINESE.encode()) - 1)
    # Latin-1 would decode as rare Han characters; it is not taken for GB18030.
    found = detect(write(tmp_path / "b.txt", b"caf\xe9s and na\xefve r\xe9sum\xe9s\n" * 5))
    assert (found.name, found.bad) == ("utf-8", 3)
    assert detect(write(tmp_path / "c.txt", "截断".encode()[:-1])).bad == 3


def test_a_bad_byte_of_gb18030_costs_its_line_and_not_the_file(tmp_path):
    good = [f"第{i}个例句，说的是天气。,好" for i in range(30)]
    data = (
        "\n".join(["text,label", *good]).encode("gbk")
        + b"\nbro\xff\xffken,\xba\xc3\n"
        + "又一个,坏\n".encode("gbk")
    )
    found = detect(write(tmp_path / "a.csv", data))
    assert (found.name, found.bad) == ("gb18030", data.index(b"\xff"))
    problems = []
    rows_of = list(rows(Source(path="a.csv"), tmp_path, errors="skip", problems=problems))
    assert [row.values["text"] for row in rows_of] == [line.split(",")[0] for line in good] + ["又一个"]
    where = f"(the first at byte {found.bad})"
    assert [str(problem) for problem in problems] == [f"a.csv:32: bytes that are not GB18030 {where}"]
    # Cyrillic, Latin-1 and noise are no GB18030, whatever of them decodes.
    russian = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
    for encoding in ("cp1251", "koi8-r"):
        assert detect(write(tmp_path / "b.txt", (russian * 30).encode(encoding))).name == "utf-8"


def test_a_stray_nul_costs_its_line_and_not_the_file(tmp_path):
    rows_in = [f"text {i},good" for i in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows_in, "a\0b,good", "c,bad"]))
    (tmp_path / "a.jsonl").write_text(
        "\n".join(f'{{"text": "line {i}{"x" * 20}"}}' for i in range(60)) + '\n{"text": "\\u0000"}\n'
    )
    problems = []
    for name, count in (("a.csv", 61), ("a.jsonl", 60)):
        assert len(list(rows(Source(path=name), tmp_path, errors="skip", problems=problems))) == count
    assert [str(problem) for problem in problems] == [
        "a.csv:62: a NUL character in it",
        "a.jsonl:61: a NUL character in it",
    ]
    assert normalise("a\0b")[0] == "ab"  # and in running text it is left out


@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe4\xbd", b"\xc3("])
def test_bad_byte_where_two_chunks_meet(tmp_path, before, bad):
    # A character, and then the bad byte, around the end of the first chunk.
    data = b"a" * ((1 << 20) - before) + "例".encode() + bad + "例句".encode() * 100
    with pytest.raises(UnicodeDecodeError) as expected:
        data.decode()
    assert detect(write(tmp_path / "a.txt", data)).bad == expected.value.start


def test_what_is_not_text(tmp_path):
    assert detect(write(tmp_path / "a", b"")).problem == "empty file"
    noise = random.Random(0).randbytes(5000)
    assert detect(write(tmp_path / "b", noise)).problem.startswith("binary file (a NUL at byte")
    assert "is not valid UTF-16" in detect(write(tmp_path / "c", b"\xff\xfea\x00\x00\xd8a\x00")).problem


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_damaged_compression(tmp_path, ending):
    text = random.Random(0).randbytes(300_000).hex().encode()
    zstd = pyarrow.Codec("zstd")
    pack = gzip.compress if ending == ".gz" else lambda data: zstd.compress(data, asbytes=True)
    packed = pack(text)
    path = write(tmp_path / f"cut{ending}", packed[: len(packed) // 2])
    with pytest.raises(Damaged, match="damaged at byte"):
        list(byte_chunks(path, 1 << 14))
    middle = len(packed) // 2
    path = write(tmp_path / f"bad{ending}", packed[:middle] + bytes(200) + packed[middle + 200 :])
    if ending == ".gz":  # a .zst has a checksum only if its writer wanted one
        with pytest.raises(Damaged):
            list(byte_chunks(path, 1 << 14))
    path = write(tmp_path / f"not{ending}", b"this is no archive at all")
    with pytest.raises(Damaged):
        list(byte_chunks(path))
    # Archives one after the other are one archive.
    path = write(tmp_path / f"two{ending}", pack(b"one ") + pack(b"two"))
    assert b"".join(byte_chunks(path)) == b"one two"


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\ufeff"), min_size=1))
def test_utf8_is_always_utf8(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp() / "any.txt", text.encode())
    found = detect(path)
    assert found.name == "utf-8" and found.bad is None
    assert "".join(text_chunks(path, found, size=3)) == text
