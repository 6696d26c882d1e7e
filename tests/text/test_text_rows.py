"""Labelled examples."""

import json

import pytest

from liju.config import Source
from liju.errors import DataError
from liju.text import rows


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.csv").write_text("review,stars\n很好,5\nbad\n,3\n一般,2\n", encoding="utf-8")
    (tmp_path / "a.en").write_text("one\n\ntwo\n\n")
    (tmp_path / "a.zh").write_text("一\n\n二\n\n", encoding="utf-8")
    return tmp_path


def test_lines_with_the_label_of_their_source(folder):
    (folder / "pos.txt").write_text("好\n\n很好\n", encoding="utf-8")
    found = list(rows(Source(path="pos.txt", format="lines", label="positive"), folder, {"label": "label"}))
    assert [(row.values, row.place) for row in found] == [
        ({"text": "好", "label": "positive"}, "pos.txt:1"),
        ({"text": "很好", "label": "positive"}, "pos.txt:3"),
    ]


def test_bad_rows_stop_or_are_counted(folder):
    fields = {"text": "review", "label": "stars"}
    with pytest.raises(DataError, match=r"a\.csv:3: 1 column where the header has 2") as caught:
        list(rows(Source(path="a.csv"), folder, fields))
    assert "errors = 'skip'" in caught.value.hint
    problems = []
    found = list(rows(Source(path="a.csv"), folder, fields, "skip", problems))
    assert [row.values["text"] for row in found] == ["很好", "一般"]
    assert found[0].values == {"review": "很好", "stars": "5", "text": "很好", "label": "5"}
    assert [str(problem) for problem in problems] == [
        "a.csv:3: 1 column where the header has 2",
        "a.csv:4: nothing in 'review'",
    ]


def csv(folder, lines):
    (folder / "q.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    problems = []
    found = list(rows(Source(path="q.csv"), folder, errors="skip", problems=problems))
    return [row.values["text"] for row in found], [str(problem) for problem in problems]


@pytest.mark.parametrize("last", [(), ('"yes, really",b',), ('"again,b',), ("",)])
def test_a_quote_that_is_not_closed_costs_its_own_line(folder, last):
    good = [f"t{i},a" for i in range(40)]
    texts, problems = csv(folder, [*good[:20], '"t,a', *good[20:30], "a,b,c", *good[30:], *last])
    assert texts == [f"t{i}" for i in range(40)] + (["yes, really"] if last and "yes" in last[0] else [])
    assert problems[:2] == [
        "q.csv:22: not csv: a quote that is not closed",
        "q.csv:33: 3 columns where the header has 2",
    ]
    assert len(problems) == (3 if last and "again" in last[0] else 2)


def test_lines_of_a_broken_text_are_no_rows_and_are_all_told(folder):
    """Every line of the file is a row or a problem."""
    good = [f"t{i},a" for i in range(9)]
    for broken in (
        ['"a long text', "of lines, with commas", 'and a "quote" in it",a'],
        ['"a long text', "", 'a, "word" in it",b'],
    ):
        texts, problems = csv(folder, [*good, *broken, *good])
        assert texts == [f"t{i}" for i in range(9)] * 2
        assert problems[0].startswith("q.csv:11: not csv: ") and "(lines 11 to 13 are lost)" in problems[0]
        assert problems[1:] == ["q.csv:12: lost with line 11", "q.csv:13: lost with line 11"]
    texts, problems = csv(folder, [*good, '"cut off', "after this, and"])
    assert len(texts) == 9 and [problem.split(":")[1] for problem in problems] == ["11", "12"]
    texts, _ = csv(folder, ['"two\nlines",a', '"with ""quotes"", too",b'])
    assert texts == ["two\nlines", 'with "quotes", too']


def test_missing_column_always_stops(folder):
    for errors in ("stop", "skip"):
        with pytest.raises(DataError, match=r"a\.csv:1: no column 'text' in the header \(review, stars\)"):
            list(rows(Source(path="a.csv"), folder, {"text": "text"}, errors))
    with pytest.raises(DataError, match="no column 'label' among text, star"):
        list(rows(Source(path="a.csv", columns=["text", "star"]), folder, {"label": "label"}))
    with pytest.raises(DataError, match="no 'lable' in a file of format 'lines'"):
        list(rows(Source(path="a.zh", format="lines", label="x"), folder, {"label": "lable"}))


def test_columns_may_swap_names(folder):
    found = next(rows(Source(path="a.csv"), folder, {"review": "stars", "stars": "review"}))
    assert found.values == {"review": "5", "stars": "很好"}


def test_values_of_json_are_strings(folder):
    row = {"text": "一", "label": 1, "flag": True, "list": ["二"], "none": None, "nan": float("nan")}
    (folder / "a.jsonl").write_text(json.dumps(row) + '\n{"text": "x"}\n')
    problems = []
    found = list(rows(Source(path="a.jsonl"), folder, {"text": "text", "label": "label"}, "skip", problems))
    assert [row.values for row in found] == [{"text": "一", "label": "1", "flag": "true", "list": '["二"]'}]
    assert [str(problem) for problem in problems] == ["a.jsonl:2: no field 'label' (it has text)"]


def test_pairs_of_files(folder):
    source = Source(path="a.en", target="a.zh")
    assert [(row.values, row.place) for row in rows(source, folder)] == [
        ({"source": "one", "target": "一"}, "a.en:1"),
        ({"source": "two", "target": "二"}, "a.en:3"),
    ]
    (folder / "a.zh").write_text("一\n多\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.en:2: no source text"):
        list(rows(source, folder))
    with pytest.raises(DataError, match=r"a\.en:3: 2 lines, and its target .* has fewer") as caught:
        list(rows(source, folder, errors="skip"))
    assert "an empty line" in caught.value.hint


def test_gettext(folder):
    (folder / "a.po").write_text('msgid ""\nmsgstr "x"\n\nmsgid "Yes"\nmsgstr "是"\n', encoding="utf-8")
    (row,) = rows(Source(path="a.po"), folder)
    assert (row.values, row.place) == ({"source": "Yes", "target": "是"}, "a.po:4")


def test_unreadable_files(folder):
    (folder / "b.csv").write_bytes(b"\0\1\2" * 20)
    with pytest.raises(DataError, match=r"b\.csv: binary file"):
        list(rows(Source(path="b.csv"), folder))
    problems = []
    assert list(rows(Source(path="b.csv"), folder, None, "skip", problems)) == []
    assert len(problems) == 1
    with pytest.raises(DataError, match="no file matches"):
        list(rows(Source(path="c.csv"), folder, None, "skip"))


def test_tags_of_a_tagged_corpus(tmp_path):
    (tmp_path / "news.txt").write_text(
        "江/nr  泽民/nr  讲话/v  。/w\n[中央/n  电台/n]nt  播出/v\n", encoding="utf-8"
    )
    found = list(rows(Source(path="news.txt", format="tagged"), tmp_path))
    assert [row.values for row in found] == [
        {"text": "江泽民讲话。", "words": "江 泽民 讲话 。", "tags": "nr nr v w"},
        {"text": "中央电台播出", "words": "中央 电台 播出", "tags": "n n v", "compounds": "nt"},
    ]
