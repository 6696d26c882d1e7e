"""Parquet files, data sets of Hugging Face's `datasets`, and spans in characters: read, or named by row."""

import gzip
import json
import os
import sys
from pathlib import Path

import pytest

from liju.config import Source
from liju.errors import DataError, MissingExtra
from liju.evaluate import entities
from liju.text import rows
from liju.text.passages import passages
from liju.text.sources import resolve

DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[2] / "../shared/data"))


def read(folder, path, fields=None, **source):
    problems = []
    found = list(rows(Source(path=path, **source), folder, fields, "skip", problems))
    return found, [str(problem) for problem in problems]


@pytest.fixture
def parquet(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    table = {
        "text": ["很好", None, "bad"],
        "stars": [5, 3, 1],
        "labels": [["a", "b"], [], None],
        "part": [0.5, 1.0, float("nan")],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "reviews.parquet", row_group_size=2)
    return tmp_path


def test_parquet_has_its_columns_as_strings_and_its_rows_as_places(parquet):
    found, problems = read(parquet, "reviews.parquet", {"text": "text"})
    assert [row.values["text"] for row in found] == ["很好", "bad"]
    assert found[0].values["stars"] == "5" and found[0].values["part"] == "0.5"
    assert found[0].values["labels"] == '["a", "b"]' and "labels" not in found[1].values
    assert "part" not in found[1].values  # pandas' NaN is no value
    assert [row.place for row in found] == ["reviews.parquet:1", "reviews.parquet:3"]
    assert problems == ["reviews.parquet:2: nothing in 'text'"]
    with pytest.raises(DataError, match="no column 'review' among text, stars, labels, part"):
        read(parquet, "reviews.parquet", {"text": "review"})
    (file,) = resolve(Source(path="reviews.parquet"), parquet)
    assert [getattr(item, "text", str(item)) for item in passages(file)] == [
        "很好",
        "reviews.parquet:2: nothing in 'text'",
        "bad",
    ]


def test_a_torn_parquet_file_is_named(parquet):
    (parquet / "torn.parquet").write_bytes((parquet / "reviews.parquet").read_bytes()[:100])
    found, problems = read(parquet, "torn.parquet")
    assert not found and problems[0].startswith("torn.parquet: not a whole Parquet file")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra) as error:
        read(tmp_path, "glue:mrpc:train", format="datasets")
    assert "datasets" in str(error.value)


def test_a_saved_data_set_is_read_with_the_names_of_its_labels(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    part = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    datasets.DatasetDict({"train": part, "test": part.select([0])}).save_to_disk(str(tmp_path / "saved"))
    found, problems = read(tmp_path, "saved", {"label": "label"}, format="datasets")
    assert [(row.values["text"], row.values["label"], row.place) for row in found] == [
        ("a", "pos", "saved:1"),
        ("b", "neg", "saved:2"),
    ]
    assert problems == ["saved:3: nothing in 'label'"]
    assert len(read(tmp_path, "saved:test", format="datasets")[0]) == 1
    with pytest.raises(DataError, match="no split 'tset'"):
        read(tmp_path, "saved:tset", format="datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="nobody/nothing:train: cannot be had"):
        read(tmp_path, "nobody/nothing:train", format="datasets")


class Label:
    """datasets.ClassLabel, as far as it is used."""

    def __init__(self, names):
        self.int2str = names.__getitem__


class List:
    def __init__(self, feature):
        self.feature = feature


class Rows(list):
    column_names = ("tokens", "ner_tags", "old", "n")


@pytest.mark.parametrize("nested", [lambda label: List(label), lambda label: [label]], ids=["List", "list"])
def test_labels_in_lists_have_their_names_too(tmp_path, monkeypatch, nested):
    label = Label(["O", "B-PER"])
    found = Rows(
        [
            {"tokens": ["Ada", "is"], "ner_tags": [1, 0], "n": [1]},
            {"tokens": ["a"], "ner_tags": [-1], "n": []},
        ]
    )
    found.features = {"tokens": List("string"), "ner_tags": nested(label), "n": List("int64")}
    package = type(sys)("datasets")
    package.ClassLabel, package.load_from_disk = Label, lambda path: found
    monkeypatch.setitem(sys.modules, "datasets", package)
    (tmp_path / "saved").mkdir()
    first, second = read(tmp_path, "saved", format="datasets")[0]
    assert first.values == {"tokens": '["Ada", "is"]', "ner_tags": '["B-PER", "O"]', "n": "[1]"}
    assert second.values["ner_tags"] == "[null]"


def test_spans_of_three_forms_are_words_and_tags(tmp_path):
    lines = [
        {"text": "彭小军在台湾。", "label": {"name": {"彭小军": [[0, 2]]}, "address": {"台湾": [[4, 5]]}}},
        {"text": "We met in New York.", "labels": [[10, 18, "place"]]},
        {"text": "Ada wrote", "spans": [{"start": 0, "end": 3, "label": "name"}]},
        {"text": "nobody", "label": {}},
    ]
    (tmp_path / "a.json").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    found, problems = read(tmp_path, "a.json", format="spans")
    assert not problems and [row.place for row in found] == [f"a.json:{n}" for n in (1, 2, 3, 4)]
    assert found[0].values["words"] == "彭 小 军 在 台 湾 。"
    assert found[0].values["tags"] == "B-name I-name I-name O B-address I-address O"
    assert found[1].values["tags"].split() == ["O", "O", "O", "B-place", "I-place", "O"]
    assert found[2].values["tags"] == "B-name O" and found[3].values["tags"] == "O"


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        (
            {"text": "在台湾", "label": {"address": {"北京": [[1, 2]]}}},
            "address '北京' is '台湾' in the text",
        ),
        ({"text": "abc", "labels": [[1, 9, "x"]]}, "x from 1 to 9 in a text of 3 characters"),
        ({"text": "abc", "labels": [[0, 2, "x"], [1, 3, "y"]]}, "x 'ab' and y 'bc' overlap"),
        ({"text": "abc", "labels": [[0, 2, "a b"]]}, "the type 'a b' has a space in it"),
        ({"text": "abc", "labels": [5]}, "labels has no spans of a known form"),
        ({"text": "abc"}, "no spans, labels or label (it has text)"),
    ],
)
def test_bad_spans_are_named_by_line(tmp_path, record, wrong):
    good = {"text": "ok", "label": {}}
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps(line) for line in (good, record)), encoding="utf-8"
    )
    found, problems = read(tmp_path, "a.jsonl", format="spans")
    assert len(found) == 1 and problems[0].startswith(f"a.jsonl:2: {wrong}")
    with pytest.raises(DataError, match=r"a\.jsonl:2: "):
        list(rows(Source(path="a.jsonl", format="spans"), tmp_path))


def test_cluener_has_the_entities_that_its_file_says():
    file = DATA / "cluener" / "dev.json.gz"
    if not file.exists():
        pytest.skip("no CLUENER in LIJU_DATA")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    found, problems = read(file.parent, file.name, format="spans")
    assert len(found) + len(problems) == len(records) == 1343 and len(problems) < 30, problems[:3]
    by_line = {int(row.place.rpartition(":")[2]): row for row in found}
    for line, record in enumerate(records, 1):
        if line in by_line:
            words, tags = (by_line[line].values[name].split() for name in ("words", "tags"))
            ours = {(kind, "".join(words[a:b])) for kind, a, b in entities(tags, "BIO")}
            assert ours == {
                (kind, "".join(surface.split())) for kind, by in record["label"].items() for surface in by
            }
