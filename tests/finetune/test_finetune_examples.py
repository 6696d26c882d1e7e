"""Labelled examples: read, checked, and split so that nothing held out is trained on."""

import json
import unicodedata
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Finetune, Source
from liju.errors import DataError
from liju.finetune import Classification, Example, read_examples
from liju.finetune.answering import Answering
from liju.finetune.multilabel import Multilabel
from liju.finetune.regression import Regression
from liju.finetune.tagging import Tagging
from liju.finetune.written_answers import GenerativeAnswering

LABELLED = ("text", "label")
PAIRED = ("source", "target")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    def write(**files):
        for name, text in files.items():
            name = name.replace("_", ".")
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


def table(rows, header="text,label"):
    return "\n".join([header, *rows]) + "\n"


def many(count, labels=("good", "bad")):
    return [f"a room number {i},{labels[i % len(labels)]}" for i in range(count)]


def read(base, needed=LABELLED, errors="skip", optional=(), seed=0, **section):
    given = {"train": [Source(path="a.csv")], **section}
    return read_examples(Finetune(**given), needed, base=base, errors=errors, optional=optional, seed=seed)


def test_a_share_is_held_out_by_the_hash_of_the_text(folder):
    base = folder(a_csv=table(many(200)), b_csv=table(reversed(many(200))))
    found = read(base, test_share=0.25)
    assert 30 <= len(found.test) <= 70 and len(found.train) + len(found.test) == 200
    assert not {e.input for e in found.train} & {e.input for e in found.test}
    turned = read(base, test_share=0.25, train=[Source(path="b.csv")])  # another order, the same split
    assert {e.input for e in turned.test} == {e.input for e in found.test}
    assert {e.input for e in read(base, test_share=0.25, seed=5).test} == {e.input for e in found.test}
    assert found.train[0].place == "a.csv:2"
    assert found.fingerprint == read(base, test_share=0.25).fingerprint != turned.fingerprint


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xy")), min_size=30, max_size=60))
def test_equal_texts_never_straddle_the_split(tmp_path_factory, rows):
    base = tmp_path_factory.mktemp("rows")
    (base / "a.csv").write_text(table([f"text {text},{label}" for text, label in rows]))
    labels = {}
    for text, label in rows:
        labels.setdefault(f"text {text}", set()).add(label)
    try:
        found = read(base, test_share=0.5)
    except DataError:
        return  # one side is empty
    train, test = ([e["text"] for e in part] for part in (found.train, found.test))
    assert not set(train) & set(test)
    assert len(set(train)) == len(train) and len(set(test)) == len(test)
    kept = {text for text, of in labels.items() if len(of) == 1}
    assert set(train) | set(test) <= kept
    assert len(train) + len(test) + sum(found.dropped.values()) == len(rows)  # every row is told of


def test_what_is_wrong_with_rows_is_counted_with_its_place(folder):
    rows = [*many(40), "no label here,", ",good", "same,good", "same,good", "both,good", "both,bad", "a,b,c"]
    base = folder(a_csv=table(rows))
    found = read(base)
    assert found.dropped["no label"] == 1 and found.dropped["no text"] == 1
    assert found.dropped["duplicate"] == 1 and found.dropped["same text with different labels"] == 2
    assert any(problem.startswith("a.csv:42: no label") for problem in found.problems)
    assert any(problem.startswith("a.csv:43: no text") for problem in found.problems)
    assert any(problem.startswith("a.csv:48: 3 columns") for problem in found.problems)
    report = found.report()
    assert report["train"] + report["test"] + sum(report["dropped"].values()) == len(rows)
    with pytest.raises(DataError, match=r"a\.csv:42: no label"):
        read(base, errors="stop")


def test_a_column_of_another_name_is_told(folder):
    base = folder(a_csv=table(many(20), "text,labels"))
    with pytest.raises(DataError, match="no usable example") as caught:
        read(base)
    assert "did you mean 'labels'?" in caught.value.hint and "a.csv:2" in caught.value.hint
    assert read(base, fields={"label": "labels"}, test_share=0.5).train[0]["label"] == "good"


def test_a_test_set_is_kept_out_of_the_training_set(folder):
    base = folder(a_csv=table(many(30)), b_csv=table(many(5)))
    found = read(base, test=[Source(path="b.csv")])
    assert len(found.test) == 5 and len(found.train) == 25
    assert found.dropped["also in the test set"] == 5
    assert not {e.input for e in found.train} & {e.input for e in found.test}


def test_a_held_out_label_that_is_not_trained_on_is_told_before_anything_is_trained(folder):
    base = folder(a_csv=table(many(30)), b_csv=table(["x one,good", "x two,god", "x three,fine"]))
    found = read(base, test=[Source(path="b.csv")])
    assert [e["text"] for e in found.test] == ["x one"]
    assert found.dropped["label not trained on"] == 2
    assert "b.csv:3: label 'god'" in found.problems[0] and "did you mean 'good'?" in found.problems[0]
    with pytest.raises(DataError, match=r"b\.csv:3: label 'god'"):
        read(base, test=[Source(path="b.csv")], errors="stop")
    task = Classification.of(found.train, 16)
    with pytest.raises(DataError, match=r"x:1: unknown label 'god'"):
        task.check([Example({"text": "a", "label": "god"}, "x:1")])


def of_task(base, task, **section):
    how = {name: getattr(task, name) for name in ("from_row", "may_be_empty") if hasattr(task, name)}
    given = {"train": [Source(path="a.jsonl")], **section}
    return read_examples(Finetune(**given), task.needed, base=base, optional=task.optional, **how)


def objects(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("task", "field", "one", "same", "other", "called"),
    [
        (Tagging, "tags", "B-PER O", ["B-PER", "O"], "O O", "tags"),
        (Multilabel, "labels", "sport,money", ["money", "sport"], "sport", "labels"),
        (Regression, "score", 2.5, "2.50", 3, "scores"),
    ],
)
def test_two_judgements_of_one_text_contradict_each_other(folder, task, field, one, same, other, called):
    input = "words" if task is Tagging else "text"
    rows = [{input: f"Ada{i} lives", field: one} for i in range(20)]
    rows += [{input: "Ada0 lives", field: same}, {input: "Ada1 lives", field: other}]
    found = of_task(folder(a_jsonl=objects(rows)), task, test_share=0.5)
    assert +found.dropped == {"duplicate": 1, f"same text with different {called}": 2}
    assert found.problems == [f"a.jsonl:2 and a.jsonl:22: same text with different {called}"]
    assert "Ada1 lives" not in {e["text"] for e in found.train + found.test}


def test_another_text_to_write_is_another_example_to_train_on(folder):
    rows = [f"line {i},Zeile {i}" for i in range(20)]
    base = folder(a_csv=table([*rows, "line 0,Reihe 0", "line 1,Zeile 1"], "source,target"))
    (base / "b.csv").write_text(table(["x,eins", "x,zwei", "x,eins"], "source,target"))
    found = read(base, PAIRED, test=[Source(path="b.csv")])
    assert [e["target"] for e in found.train if e["source"] == "line 0"] == ["Zeile 0", "Reihe 0"]
    assert len(found.train) == 21 and [e["target"] for e in found.test] == ["eins"]
    assert +found.dropped == {"duplicate": 2, "another text for a test example": 1}
    assert found.problems == ["b.csv:3: another text to write for b.csv:2, held out"]
    split = read(base, PAIRED, test_share=0.5)
    assert len({e["source"] for e in split.test}) == len(split.test)
    assert not {e["source"] for e in split.test} & {e["source"] for e in split.train}


@pytest.mark.parametrize("task", [Answering, GenerativeAnswering])
def test_further_answers_of_a_test_question_are_references(folder, task):
    rows = [{"question": f"Who {i}?", "context": "Ada and Bob.", "answers": ["Ada"]} for i in range(9)]
    rows += [{"question": "Who 0?", "context": "Ada and Bob.", "answers": ["Bob"]}]
    rows += [{"question": "Who 1?", "context": "Ada and Bob.", "answers": []}]
    held = [{**row, "context": "Bob or Ada."} for row in rows[:1] + rows[9:10]]
    base = folder(a_jsonl=objects(rows), b_jsonl=objects(held))
    found = of_task(base, task, test=[Source(path="b.jsonl")])
    (test,) = found.test
    texts = [one if isinstance(one, str) else one["text"] for one in json.loads(test["answers"])]
    assert texts == ["Ada", "Bob"] and test.place == "b.jsonl:1"
    assert [e.place for e in found.train] == [f"a.jsonl:{line}" for line in (1, *range(3, 11))]
    assert +found.dropped == {
        "further answer, now a reference": 1,
        "same question with and without an answer": 2,
    }
    assert "a.jsonl:2 and a.jsonl:11: same question with and without an answer" in found.problems


def test_one_text_in_two_unicode_forms_is_one_text(folder):
    nfd = partial(unicodedata.normalize, "NFD")
    rows = [f"café {i},{'thé' if i % 2 else 'b'}" for i in range(20)]
    base = folder(a_csv=table([*rows, nfd("café 5,thé")]), b_csv=table([nfd(row) for row in rows[:4]]))
    found = read(base, test=[Source(path="b.csv")])
    assert len(found.test) == 4 and {e["label"] for e in found.test} == {"thé", "b"}
    assert +found.dropped == {"also in the test set": 4, "duplicate": 1}
    assert found.test[0]["text"] == nfd("café 0")  # as it stands in the file


def test_names_in_fields_are_checked(folder):
    base = folder(a_csv=table([f"t{i},u{i},{'xy'[i % 2]}" for i in range(40)], "text,sentence2,label"))
    for fields, what, hint in (
        ({"txt": "text"}, "the task has no field 'txt'", "did you mean 'text'?"),
        ({"pairs": "sentence2"}, "the task has no field 'pairs'", "did you mean 'pair'?"),
        ({"pair": "sentence_2"}, "no row has 'sentence_2', for pair", "did you mean 'sentence2'?"),
    ):
        with pytest.raises(DataError, match=what) as caught:
            read(base, optional=("pair",), fields=fields)
        assert caught.value.hint == hint
    assert "pair" in read(base, optional=("pair",), fields={"pair": "sentence2"}).train[0].values


def test_a_pair_is_missing_in_training_as_in_the_test(folder):
    rows = [f"t{i},{'' if i % 5 == 0 else f'u{i}'},{'xy'[i % 2]}" for i in range(100)]
    base = folder(a_csv=table(rows, "text,pair,label"))
    found = read(base, optional=("pair",), test_share=0.4)
    assert found.dropped["no pair"] == 20 and len(found.train + found.test) == 80
    assert all("pair" in e.values for e in found.train + found.test)
    assert found.problems[0] == "a.csv:2: no pair (examples that are trained on have one)"
    with pytest.raises(DataError, match=r"a\.csv:2: no pair"):
        read(base, optional=("pair",), errors="stop")


def test_an_empty_cell_and_a_side_that_nothing_falls_on_are_told_as_they_are(folder):
    found = read(folder(a_csv=table([*many(40), "x,"])))
    assert found.problems == ["a.csv:42: no label (nothing is in 'label')"]
    with pytest.raises(DataError, match=r"finetune.test: of 1 example none is held out \(test_share 0.01\)"):
        read(folder(a_csv=table(["x,good"])), test_share=0.01)
    rows = [*many(40), *(f"rare {i},l{i}" for i in range(5))]
    with pytest.raises(DataError, match=r"finetune\.limit: 3 examples of 7 labels"):
        read(folder(a_csv=table(rows), b_csv=table(["x,good"])), test=[Source(path="b.csv")], limit=3)


def test_a_report_says_how_many_problems_there_are(folder):
    found = read(folder(a_csv=table([*many(40), *(f"t{i}," for i in range(150))])))
    report = found.report()
    assert len(report["problems"]) == 100 and report["problem_count"] == 150


def test_one_label_is_not_a_task(folder):
    found = read(folder(a_csv=table(many(30, ["good"]))))
    with pytest.raises(DataError, match="every example has the label 'good'"):
        Classification.of(found.train, 16)


def test_a_limit_keeps_every_label_and_is_drawn_by_the_seed(folder):
    rows = [*many(60), "rare one,rare", "rare two,rare"]
    base = folder(a_csv=table(rows), b_csv=table(["x,good", "y,bad"]))
    test = [Source(path="b.csv")]
    found = read(base, test=test, limit=7)
    assert len(found.train) == 7 and found.dropped["over finetune.limit"] == 55
    assert {e["label"] for e in found.train} == {"good", "bad", "rare"}
    places = [int(e.place.split(":")[1]) for e in found.train]
    assert places == sorted(places)
    assert read(base, test=test, limit=7).train == found.train
    assert read(base, test=test, limit=7, seed=1).train != found.train
    assert len(read(base, test=test, limit=500).train) == 62


def test_the_label_may_be_that_of_the_source(folder):
    base = folder(
        p_txt="\n".join(f"nice {i}" for i in range(30)), n_txt="\n".join(f"bad {i}" for i in range(30))
    )
    sources = [
        Source(path="p.txt", format="lines", label="positive"),
        Source(path="n.txt", format="lines", label="negative"),
    ]
    found = read(base, train=sources, test_share=0.5)
    for example in found.train + found.test:
        assert example["label"] == ("positive" if example["text"].startswith("nice") else "negative")


def test_two_texts_are_one_input(folder):
    rows = [
        "a,b,yes",
        "a,c,no",
        "b,a,yes",
        "a,b,yes",
        *[f"t{i},u{i},{'yes' if i % 2 else 'no'}" for i in range(30)],
    ]
    base = folder(a_csv=table(rows, "text,pair,label"))
    found = read(base, optional=("pair",), test_share=0.3)
    assert found.dropped["duplicate"] == 1
    assert {"t0", "t1"} <= {e["text"] for e in found.train + found.test}
    assert Classification.of(found.train, 16).pairs


def test_moses_pairs_and_gettext(folder):
    lines = [f"line {i}" for i in range(20)]
    po = "".join(f'msgid "word {i}"\nmsgstr "Wort {i}"\n\n' for i in range(20)) + 'msgid "none"\nmsgstr ""\n'
    base = folder(x_en="\n".join(lines), x_de="\n".join(f"Zeile {i}" for i in range(20)), w_po=po)
    found = read(base, PAIRED, train=[Source(path="x.en", target="x.de")], test_share=0.3)
    assert all(e["target"] == e["source"].replace("line", "Zeile") for e in found.train + found.test)
    found = read(base, PAIRED, train=[Source(path="w.po")], test_share=0.3)
    assert len(found.train) + len(found.test) == 20
    assert all(e["target"] == e["source"].replace("word", "Wort") for e in found.train + found.test)
    (base / "x.de").write_text("one line\n")
    with pytest.raises(DataError, match="line"):
        read(base, PAIRED, train=[Source(path="x.en", target="x.de")])


@pytest.mark.parametrize(
    "content", [b"", b"text,label\n", b"\x00\x01\x02" * 500], ids=["empty", "header", "binary"]
)
def test_a_file_without_examples_says_so(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv|no usable example"):
        read(tmp_path)


def test_broken_utf8_is_read_or_told(tmp_path):
    good = "\n".join(many(40)).encode()
    (tmp_path / "a.csv").write_bytes(b"text,label\n" + good + b"\nbro\xff\xfeken,good\n")
    found = read(tmp_path, test_share=0.3)
    assert len(found.train) + len(found.test) + sum(found.dropped.values()) == 41


def test_no_file_is_an_error_with_a_suggestion(tmp_path):
    (tmp_path / "reviews.csv").write_text(table(many(9)))
    with pytest.raises(DataError, match=r"review\.csv: no file matches") as caught:
        read(tmp_path, train=[Source(path="review.csv")])
    assert "reviews.csv" in caught.value.hint


def test_whether_a_tagged_line_has_a_tag_is_a_label(tmp_path):
    lines = [f"{'江/nr' if n % 3 else '新年/t'}  讲话/v  {n}/m" for n in range(40)]
    (tmp_path / "news.txt").write_text("\n".join(lines), encoding="utf-8")
    settings = Finetune(
        train=[Source(path="news.txt", format="tagged")], fields={"label": "tags:nr"}, test_share=0.3
    )
    found = read_examples(settings, ("text", "label"), base=tmp_path)
    for example in found.train + found.test:
        assert example["label"] == ("yes" if example["text"].startswith("江") else "no")
    assert {example["label"] for example in found.train} == {"yes", "no"}
