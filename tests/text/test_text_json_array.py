"""Files that are one JSON array, and tables whose rows are in several encodings."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Finetune, Source
from liju.errors import DataError
from liju.finetune import InstructionTask, read_examples
from liju.text import clean, rows
from liju.text.json_array import BrokenArray, elements

DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(JSON, max_size=6),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_however_it_is_cut_it_is_what_json_reads(values, size, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    found = list(elements(chunks, limit=10**6))
    assert [value for _, _, value in found] == values
    assert [number for number, *_ in found] == list(range(1, len(values) + 1))
    assert [json.loads(piece) for _, piece, _ in found] == values


@pytest.mark.parametrize(
    ("text", "number", "what"),
    [
        ('[{"a": 1}', 1, "the array does not end"),
        ('[{"a": 1}, {"a": ', 2, "not JSON"),
        ('[{"a": 1} {"a": 2}]', 1, "no comma"),
        ('[{"a": 1},]', 2, "not JSON"),
        ("[1, 2] 3", 2, "more stands after"),
        ("[1, x]", 2, "not JSON"),
        ("[" + "[" * 100_000, 1, "nested too deeply"),
        ('["' + "a" * 300 + '"]', 1, "more than 100 characters"),
    ],
)
def test_what_is_broken_is_told_with_its_number(text, number, what):
    chunks = [text[at : at + 64] for at in range(0, len(text), 64)] if len(text) < 999 else [text]
    limit = 100 if len(text) < 999 else 10**6
    with pytest.raises(BrokenArray, match=what) as error:
        list(elements(chunks, limit))
    assert error.value.number == number


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_as_rows(tmp_path, indent):
    values = [
        {"instruction": "Say it.", "input": "", "output": "一"},
        ["no object"],
        {"instruction": "And now?", "input": None, "output": {"a": [1, "二"]}},
        {"instruction": "\ud83d", "output": "half"},
        {"output": "no instruction"},
    ]
    text = json.dumps(values, indent=indent)
    (tmp_path / "a.json").write_text(f" \n{text}\n")
    with gzip.open(tmp_path / "b.json.gz", "wt") as file:
        file.write(text)
    for name in ("a.json", "b.json.gz"):
        problems = []
        found = list(rows(Source(path=name), tmp_path, {"text": "instruction"}, "skip", problems))
        assert [row.place for row in found] == [f"{name}:#1", f"{name}:#3"]
        assert found[0].values == {"instruction": "Say it.", "input": "", "output": "一", "text": "Say it."}
        assert json.loads(found[1].values["output"]) == {"a": [1, "二"]} and "input" not in found[1].values
        assert [str(problem) for problem in problems] == [
            f"{name}:#2: not a JSON object",
            f"{name}:#4: half of a surrogate pair",
            f"{name}:#5: no field 'instruction' (it has output)",
        ]
        with pytest.raises(DataError, match=rf"{name}:#2: not a JSON object"):
            list(rows(Source(path=name), tmp_path, {"text": "instruction"}, "stop"))


def test_what_stands_before_the_break_is_read(tmp_path):
    (tmp_path / "a.json").write_text('[{"text": "one"}, {"text": "two"}, {"text": "thr')
    problems = []
    found = list(rows(Source(path="a.json"), tmp_path, {}, "skip", problems))
    assert [row.values["text"] for row in found] == ["one", "two"]
    assert str(problems[0]).startswith("a.json:#3: not JSON: Unterminated string")
    text = '[{"text": "房间很干净，服务也很好。"}, {"text": "a_b"}, {"text": "好"}]'.encode()
    (tmp_path / "b.json").write_bytes(text.replace(b"a_b", b"a\xffb"))
    found = list(rows(Source(path="b.json"), tmp_path, {}, "skip", problems := []))
    assert [row.place for row in found] == ["b.json:#1", "b.json:#3"]
    assert str(problems[0]).startswith("b.json:#2: bytes that are not UTF-8")
    (tmp_path / "empty.json").write_text("[]")
    assert list(rows(Source(path="empty.json"), tmp_path, {}, "stop")) == []


def test_its_texts_are_documents_with_places(tmp_path):
    from liju.config import Text

    texts = [f"The {word} room was very clean and the staff were kind." for word in ("first", "second")]
    (tmp_path / "a.json").write_text(json.dumps([{"text": text} for text in texts]))
    report = clean(Text(sources=[Source(path="a.json")]), tmp_path / "out", base=tmp_path)
    assert report.read == 2 and report.kept == 2


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("alpaca-demo/alpaca_en_demo.json.gz", 999, "process of making crepes"),
        ("alpaca-demo/alpaca_zh_demo.json.gz", 1000, "细胞理论和日心说"),
        ("rasbt-instruction/instruction-data.json.gz", 1100, "transforming it into the spelling"),
    ],
)
def test_real_arrays_are_instructions(name, count, first):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not among the shared data")
    found = list(rows(Source(path=str(DATA / name))))
    assert len(found) == count and first in found[0].values["instruction"]
    assert found[2].place.endswith(f"{Path(name).name}:#3")
    settings = Finetune(train=[Source(path=str(DATA / name))], test_share=0.1)
    read = read_examples(
        settings,
        InstructionTask.needed,
        optional=InstructionTask.optional,
        from_row=InstructionTask.from_row,
        errors="stop",
    )
    assert len(read.train) + len(read.test) + sum(read.dropped.values()) == count
    assert len(read.test) > 0.05 * count and read.dropped.total() < 0.03 * count


GOOD = [f"房间{i}很干净,good" for i in range(40)]


def table(*lines):
    return b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n"


def test_a_row_in_another_encoding_is_told_and_the_others_are_read(tmp_path):
    """A file that was put together of two: UTF-8, and one row of GB18030."""
    wrong = "汤很冷,bad".encode("gb18030")
    (tmp_path / "a.csv").write_bytes(table("text,label", *GOOD[:20], wrong, *GOOD[20:]))
    problems = []
    found = list(rows(Source(path="a.csv"), tmp_path, {}, "skip", problems))
    assert len(found) == 40 and found[20].place == "a.csv:23" and found[0].values["text"] == "房间0很干净"
    assert [str(problem).split(" (")[0] for problem in problems] == ["a.csv:22: bytes that are not UTF-8"]
    with pytest.raises(DataError, match=r"a\.csv:22: bytes that are not UTF-8"):
        list(rows(Source(path="a.csv"), tmp_path))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8-sig"])
def test_a_file_wholly_in_another_encoding_is_read(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("\n".join(["text,label", *GOOD]).encode(encoding))
    found = list(rows(Source(path="a.csv"), tmp_path))
    assert [row.values["text"] for row in found] == [line.split(",")[0] for line in GOOD]


def test_files_of_several_encodings_are_one_set(tmp_path):
    (tmp_path / "a.csv").write_bytes(table("text,label", *GOOD[:20]))
    (tmp_path / "b.csv").write_bytes("\r\n".join(["text,label", *GOOD[20:]]).encode("gb18030"))
    settings = Finetune(train=[Source(path="a.csv"), Source(path="b.csv")], test_share=0.3)
    found = read_examples(settings, ("text", "label"), base=tmp_path, errors="stop")
    texts = {example["text"] for example in found.train + found.test}
    assert texts == {line.split(",")[0] for line in GOOD}
