"""Questions on paragraphs: every form of the field, and every question that is not as it should be."""

import gzip
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Source, Text
from liju.errors import DataError
from liju.text import Passage, answers_of, passages, placed, resolve, rows
from liju.text.squad import questions

CONTEXT = "Ada Lovelace wrote the first program. Ada lived in London."


def squad(*asked, context=CONTEXT):
    return {
        "version": "v2.0",
        "data": [{"title": "Ada", "paragraphs": [{"context": context, "qas": [*asked]}]}],
    }


def question(**values):
    return {"id": "7", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}], **values}


def read(folder, source, errors="skip"):
    bad = []
    return list(rows(source, folder, errors=errors, problems=bad)), [str(one) for one in bad]


@pytest.mark.parametrize("pretty", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_file_is_known_by_what_is_in_it(tmp_path, name, pretty):
    text = json.dumps(squad(question()), indent=pretty)
    write = gzip.compress if name.endswith("gz") else bytes
    (tmp_path / name).write_bytes(write(text.encode()))
    assert [file.format for file in resolve(Source(path=name), tmp_path)] == ["squad"]
    (row,), bad = read(tmp_path, Source(path=name))
    assert row.values == {
        "question": "Who?",
        "context": CONTEXT,
        "answers": '[{"text": "Ada", "start": 0}]',
        "id": "7",
    }
    assert row.place == f"{name}: data[0].paragraphs[0].qas[0]" and not bad


def test_a_json_file_of_objects_is_still_one_a_line(tmp_path):
    (tmp_path / "a.json").write_text('{"text": "a"}\n{"text": "b"}\n')
    assert [row.values["text"] for row in read(tmp_path, Source(path="a.json"))[0]] == ["a", "b"]


def test_the_first_form_of_cmrc(tmp_path):
    one = {"context_id": "T", "context_text": "曹雪芹写了红楼梦。", "title": "红楼梦"}
    one["qas"] = [{"query_id": "T_1", "query_text": "谁写的？", "answers": ["曹雪芹", "曹雪芹"]}]
    (tmp_path / "a.json").write_text(json.dumps([one], ensure_ascii=False), encoding="utf-8")
    (row,), bad = read(tmp_path, Source(path="a.json"))
    assert row.values["question"] == "谁写的？" and row.values["id"] == "T_1" and not bad
    assert json.loads(row.values["answers"]) == [{"text": "曹雪芹", "start": -1}] * 2


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (question(question=" "), "no question"),
        ({"question": "Who?", "id": "1"}, "no 'answers'"),
        (question(answers=[{"text": " "}]), 'answers: {"text": " "} is no answer'),
        (
            question(answers=[{"text": "Ada", "answer_start": "0"}]),
            "answer_start '0' of 'Ada' is no whole number",
        ),
        (question(is_impossible=True), "is_impossible, and it has answers"),
        (question(is_impossible=False, answers=[]), "is_impossible is false, and it has no answers"),
        (7, "no question"),
    ],
)
def test_a_bad_question_is_named_and_the_others_are_read(tmp_path, one, what):
    (tmp_path / "a.json").write_text(json.dumps(squad(question(), one, question(id="9"))))
    found, bad = read(tmp_path, Source(path="a.json"))
    assert [row.values["id"] for row in found] == ["7", "9"]
    assert len(bad) == 1 and bad[0].startswith("a.json: data[0].paragraphs[0].qas[1]: ") and what in bad[0]
    with pytest.raises(DataError, match=r"qas\[1\]"):
        read(tmp_path, Source(path="a.json"), errors="stop")


def test_other_bad_places():
    found = [
        (one.place, one.wrong)
        for one in questions(json.dumps({"data": [{}, 3, squad(context="")["data"][0]]}))
    ]
    assert found == [
        ("data[0]", "no list 'paragraphs'"),
        ("data[1]", "no list 'paragraphs'"),
        ("data[2].paragraphs[0]", "no context"),
    ]
    (only,) = questions('{"data": [{"paragraphs": [{"context": "a"}]}]}')
    assert only.wrong == "no list 'qas'"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"data": [{"paragraphs": ', "not JSON: .* line 1, column"),
        ('{"version": "1", "paragraphs": [], "data": 3}', "no list 'data' .it has version, paragraphs, data"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_not_one(tmp_path, text, what):
    (tmp_path / "a.json").write_text(text)
    found, bad = read(tmp_path, Source(path="a.json", format="squad"))
    assert not found and len(bad) == 1 and bad[0].startswith("a.json: ")
    with pytest.raises(DataError, match=what):
        list(questions(text))


def test_paragraphs_are_text_each_once(tmp_path):
    data = squad(question(), question())
    data["data"] += squad(question(), context="Another one.")["data"]
    (tmp_path / "a.json").write_text(json.dumps(data))
    (file,) = resolve(Source(path="a.json"), tmp_path)
    found = [(item.text, item.line) for item in passages(file) if isinstance(item, Passage)]
    assert found == [(CONTEXT, 1), ("Another one.", 2)]
    assert Text(sources=["a.json"]).sources[0].format == "auto"


def test_forms_of_answers():
    one = {"text": "Ada", "start": 3}
    for value in ({"text": "Ada", "answer_start": 3}, [one], {"text": ["Ada"], "answer_start": [3]}):
        assert answers_of(value) == [one]
    assert answers_of(["Ada", one]) == [{"text": "Ada", "start": -1}, one]
    assert answers_of({"text": [], "answer_start": []}) == []
    for start, place in ((28.0, 28), (None, -1)):
        assert answers_of([{"text": "Ada", "answer_start": start}]) == [{"text": "Ada", "start": place}]
    for bad in (
        3,
        [3],
        [{"text": "Ada", "answer_start": 2.5}],
        [{"text": "Ada", "answer_start": float("nan")}],
        "",
        [""],
        {"text": ["a", "b"], "answer_start": [1]},
        {"text": ["a"], "answer_start": 1},
    ):
        with pytest.raises(DataError):
            answers_of(bad)


@given(st.text("ab ", min_size=1, max_size=12), st.data())
def test_a_right_place_is_kept_and_trimmed(context, data):
    begin = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(begin + 1, len(context)))
    text = context[begin:end]
    if not text.strip():
        return
    first, last, mended = placed(context, text, begin)
    assert not mended and context[first:last] == text.strip() and begin <= first < last <= end


@given(st.text("aeéo\u0301\u0308\u0323ᄒ\u1161\u11ab한 x", min_size=1, max_size=12), st.data())
def test_an_answer_in_another_unicode_form_is_found_in_whole_letters(context, data):
    """Whatever is found is the answer, and what was cut out between letters is found."""
    forms = ("NFC", "NFD")
    begin = data.draw(st.integers(0, len(context) - 1))
    text = context[begin : data.draw(st.integers(begin + 1, len(context)))]
    if not text.strip() or text != text.strip():
        return
    for form in forms:
        other = unicodedata.normalize(form, text)
        try:
            first, last, _ = placed(context, other)
        except DataError:
            whole = unicodedata.normalize("NFC", context)
            parts = [unicodedata.normalize("NFC", part) for part in (context[:begin], text)]
            rest = unicodedata.normalize("NFC", context[begin + len(text) :])
            assert "".join([*parts, rest]) != whole
        else:
            assert unicodedata.normalize("NFC", context[first:last]) == unicodedata.normalize("NFC", text)


def test_places_in_another_form():
    context = unicodedata.normalize("NFD", "Le café. Un café!")
    assert placed(context, "Le café") == (0, 8, "in another Unicode form (NFC, NFD)")
    assert placed(context, "café", 13) == (13, 18, "in another Unicode form (NFC, NFD)")
    assert placed(context, "café") == (3, 8, "no answer_start, the first of several places taken")
    assert placed("Le café", unicodedata.normalize("NFD", "café"))[:2] == (3, 7)
    with pytest.raises(DataError, match="is not in the context"):
        placed("Le café.", "cafe")


def test_places_that_are_mended_and_that_cannot_be():
    assert placed(CONTEXT, "London", 3) == (51, 57, "wrong answer_start")
    assert placed(CONTEXT, "London") == (51, 57, "")
    assert placed(CONTEXT, "Ada")[:2] == (0, 3) and "first of several" in placed(CONTEXT, "Ada")[2]
    assert placed(CONTEXT, "London ", 51) == (51, 57, "")
    assert placed(CONTEXT, "London ", 50) == (51, 57, "wrong answer_start")
    with pytest.raises(DataError, match="answer_start 5 is wrong, and 'Ada' stands in 2 places"):
        placed(CONTEXT, "Ada", 5)
    with pytest.raises(DataError, match="'Byron' is not in the context"):
        placed(CONTEXT, "Byron", 0)


def test_the_real_files(data):
    for name, size, wrong in (
        ("squad11-dev/dev-v1.1.rebuilt.json.gz", 10570, 0),
        ("cmrc2018/cmrc2018_trial.squad.json.gz", 1000, 2),
    ):
        found, bad = read(data, Source(path=name))
        assert (len(found), len(bad)) == (size, wrong)
        assert all("start" in json.loads(row.values["answers"])[0] for row in found)
