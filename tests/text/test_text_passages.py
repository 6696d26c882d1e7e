"""Every format to passages, and what becomes of bad input."""

import gzip
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.text import File, Passage, passages, pieces
from liju.text.pieces import bounded_lines

HTML = """<html><head><title>T</title><meta charset="gbk"></head><body><nav><a href="/">首页导航</a></nav>
<main><article><h1>标题</h1><p>这是正文的第一段，它有足够的长度，可以当作正文。</p>
<p>Second paragraph.</p></article></main>
<footer>版权所有</footer></body></html>"""

PO = """# a comment
msgid ""
msgstr "Language: zh\\n"

#: a.py:1
#, python-format
msgid "Hello, %s"
msgstr "你好，%s"

msgctxt "menu"
msgid ""
"two "
"lines\\n"
msgstr "两行\\n"

#, fuzzy
msgid "unsure"
msgstr "不确定"

msgid "one"
msgid_plural "many"
msgstr[0] "很多"

msgid "not translated"
msgstr ""

#~ msgid "old"
#~ msgstr "旧的"

msgid "last"
msgstr "最后"
"""


def read(path, data, format="text", **rest):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    limit = rest.pop("limit", 100)
    field = rest.pop("field", "text")
    items = list(passages(File(str(path), path.name, format, **rest), field, limit))
    texts = [item.text for item in items if isinstance(item, Passage)]
    return texts, [str(item) for item in items if not isinstance(item, Passage)]


def test_text_is_one_passage_and_lines_are_many(tmp_path):
    path = tmp_path / "a.txt"
    assert read(path, "one\r\n\r\ntwo\n") == (["one\n\ntwo\n"], [])
    # Only a newline ends a line, not the other separators that str.splitlines knows.
    assert read(path, "one\r\n\r\ntwo \u2028 x\x1cy\n", "lines") == (["one", "two \u2028 x\x1cy"], [])


def test_records(tmp_path):
    rows = [{"text": "一", "n": 1}, {"text": "two\nlines", "n": None}]
    assert read(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, rows)), "jsonl") == (
        ["一", "two\nlines"],
        [],
    )
    data = 'id,text\n1,"a, ""b""\nc"\n2,d\n'
    assert read(tmp_path / "a.csv", data, "csv") == (['a, "b"\nc', "d"], [])
    data = 'text\tid\nsay "x\t1\n"a ""b"""\t2\n'
    assert read(tmp_path / "a.tsv", data, "tsv") == (['say "x', 'a "b"'], [])
    assert read(tmp_path / "b.tsv", "1\tx\n2\ty\n", "tsv", columns=("id", "text")) == (["x", "y"], [])


def test_bad_records_are_named_and_the_others_read(tmp_path):
    data = b'{"text": "good"}\n{"text": \n[1]\n{"body": "x"}\n{"text": "\xff"}\n'
    data += b'{"text": "\\ud800"}\n{"text": "end"}'
    texts, problems = read(tmp_path / "a.jsonl", data, "jsonl")
    assert texts == ["good", "end"]
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "4", "5", "6"]
    assert "no field 'text' (it has body)" in problems[2]
    assert "the first at byte" in problems[3]
    texts, problems = read(tmp_path / "a.csv", 'a,text\n1\n2,ok,3\n3,fine\n4,"x"y\n5,end\n', "csv")
    assert texts == ["fine", "end"]
    assert problems[0] == "a.csv:2: 1 column where the header has 2"
    assert problems[1] == "a.csv:3: 3 columns where the header has 2"
    assert problems[2].startswith("a.csv:5: not csv")
    assert read(tmp_path / "b.csv", 'text\n"never closed\nx\n', "csv")[1][0].startswith("b.csv:2: not csv")


@pytest.mark.parametrize(
    ("data", "format", "problem"),
    [
        ("a,b\n1,2\n", "csv", "no column 'text' in the header (a, b)"),
        ("text,text\n1,2\n", "csv", "the header has two columns 'text'"),
        ('[{"text": "x"', "jsonl", "not JSON: Expecting ',' delimiter"),
        ('{\n"text": "x"}', "jsonl", "not one JSON object a line"),
        ("", "lines", "empty file"),
        (" \n\n", "lines", "no text in it"),
        (b"PK\x03\x04\x00\x00\x08", "text", "binary file (a NUL at byte 4)"),
        ("def f(:", "python", "not Python"),
        ("msgid x\n", "gettext", "not a quoted string: x"),
        (b"<p>caf\xe9s</p>", "html", "byte 6 is not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, data, format, problem):
    texts, problems = read(tmp_path / "a", data, format)
    assert texts == [] and len(problems) == 1 and problem in problems[0]


def test_missing_file_and_cut_archive(tmp_path):
    (problem,) = passages(File(str(tmp_path / "gone"), "gone", "text"))
    assert str(problem) == "gone: No such file or directory"
    # Not compressible, so that half of the archive is half of the text.
    packed = gzip.compress(b"".join(os.urandom(30).hex().encode() + b"\n" for _ in range(70_000)))
    texts, problems = read(tmp_path / "a.gz", packed[: len(packed) // 2], "lines")
    assert len(texts) > 1000 and len(problems) == 1 and "damaged at byte" in problems[0]


def test_invalid_bytes_cost_only_their_line(tmp_path):
    texts, problems = read(
        tmp_path / "a.txt", "好的一行\n".encode() + b"bad \xe4\xbd\n" + "好的末行".encode(), "lines"
    )
    assert texts == ["好的一行", "好的末行"]
    assert problems == ["a.txt:2: bytes that are not UTF-8 (the first at byte 17)"]


def test_html_gives_the_main_text(tmp_path):
    (text,), problems = read(tmp_path / "a.html", HTML.encode("gbk"), "html")
    assert "第一段" in text and "Second" in text and "首页导航" not in text and "版权" not in text
    assert not problems
    big5 = '<meta charset="big5"><p>' + "傳統中文的網頁文字" * 3
    (text,), _ = read(tmp_path / "b.html", big5.encode("big5"), "html")
    assert "傳統中文的網頁文字" in text


def test_gettext_gives_both_sides(tmp_path):
    texts, problems = read(tmp_path / "a.po", PO, "gettext")
    assert texts == ["Hello, %s", "你好，%s", "two lines\n", "两行\n", "last", "最后"]
    assert not problems


def test_tagged_and_python(tmp_path):
    assert read(tmp_path / "a", "[迈向/v  新/a]nt  世纪/n\n\n江/nr  泽民/nr\n", "tagged")[0] == [
        "迈向新世纪",
        "江泽民",
    ]
    prose = "word " * 50
    source = f'"""Module."""\nX = {prose!r}\nY = "short"\n'
    source += 'class A:\n    def f(self):\n        """Do\n        it."""\n'
    assert read(tmp_path / "a.py", source, "python", limit=1000)[0] == ["Module.", prose, "Do\nit."]
    assert read(tmp_path / "b.py", "", "python") == ([], [])


def test_a_long_line_is_cut_in_bounded_memory_and_nothing_is_lost(tmp_path):
    import tracemalloc

    path = tmp_path / "long.txt"
    sentence = "这是一个没有换行的很长的例句，用来测试内存。 "
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(45):
            file.write(sentence * 10_000)
        file.write("\nshort")
    assert path.stat().st_size > 29_000_000
    tracemalloc.start()
    length = count = 0
    last = None
    for item in passages(File(str(path), "long.txt", "lines"), limit=50_000):
        assert isinstance(item, Passage) and len(item.text) <= 50_000
        if item.line == 1:
            assert item.text.endswith("。 ") or item.text.endswith("。"), item.text[-5:]
            assert item.cut and item.part == count
            length, count = length + len(item.text), count + 1
        last = item
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == len(sentence) * 450_000
    assert last.text == "short" and not last.cut
    assert peak < 12_000_000


def test_over_long_records_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("liju.text.records.RECORD", 50)
    monkeypatch.setattr("liju.text.records.whole_lines.__defaults__", (50,))
    long = json.dumps({"text": "x" * 100})
    texts, problems = read(tmp_path / "a.jsonl", f'{{"text": "one"}}\n{long}\n{{"text": "two"}}\n', "jsonl")
    assert texts == ["one", "two"] and problems == ["a.jsonl:2: a line of more than 50 characters"]
    texts, problems = read(tmp_path / "a.csv", f"text,n\none,1\n{'x' * 100},2\ntwo,3\n", "csv")
    assert texts == ["one", "two"] and problems == ["a.csv:3: a line of more than 50 characters"]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab。.! \n"), max_size=80), st.integers(1, 9), st.integers(1, 9))
def test_pieces_add_up(text, limit, step):
    chunks = [text[at : at + step] for at in range(0, len(text), step)]
    found = list(pieces(chunks, limit))
    assert "".join(piece for _, piece in found) == text
    assert all(len(piece) <= limit for _, piece in found)
    place = 0
    for line, piece in found:
        assert line == text[:place].count("\n") + 1
        place += len(piece)


@settings(deadline=None)
@given(st.text(st.sampled_from("ab。. \n"), max_size=80), st.integers(1, 9), st.integers(1, 9))
def test_bounded_lines_add_up(text, limit, step):
    chunks = [text[at : at + step] for at in range(0, len(text), step)]
    lines: dict[int, str] = {}
    for number, part, piece in bounded_lines(chunks, limit):
        assert len(piece) <= limit and (part == 0) == (number not in lines)
        lines[number] = lines.get(number, "") + piece
    assert "\n".join(lines.values()) == text.removesuffix("\n") or text in ("\n", "")
