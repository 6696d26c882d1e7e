"""Held-out examples that no answer could be right about are told before training; thresholds end to end."""

import html
import json

import pytest
from project_toys import lines, write

from liju.cli import main
from liju.errors import DataError
from liju.evaluate import calibration
from liju.finetune import load
from liju.project import check, do, open_run
from liju.project.labelled import read_labelled
from liju.project.leaks import examples_of
from liju.project.story_examples import examples_story
from liju.project.tell import finetune_tell

CASES = {
    # task: the header, rows to train on, rows held out (the first can be used, the others not), what is told
    "multilabel": (
        "text\tlabels",
        ["a boat\tsea", "a bridge\tland,sea", "a tree\tland", "nothing\t"],
        ["one boat\tsea", "a rock\tsky", "a cloud\tsea,lend", "none\t"],
        ["test.tsv:3: unknown label 'sky'", "test.tsv:4: unknown label 'lend'"],
        "did you mean 'land'?",
    ),
    "tagging": (
        "text\twords\ttags",
        ["a boat\ta boat\tDET NOUN", "boats\tboats\tNOUN"],
        ["the boat\tthe boat\tDET NOUN", "a tree\ta tree\tDET NUN", "a sea\ta sea\tDET", "x\tx\tNOUN"],
        ["test.tsv:3: unknown tag 'NUN'", "test.tsv:4: 2 words and 1 tags"],
        "did you mean 'NOUN'?",
    ),
    "classification": (
        "text\tpair\tlabel",
        ["a boat\ta ship\tyes", "a boat\ta tree\tno"],
        ["one boat\ta ship\tyes", "one\t\tno", "two\ta ship\tnot"],
        ["test.tsv:4: label 'not'", "test.tsv:3: no pair"],
        "did you mean 'no'?",
    ),
    "regression": (
        "text\tscore",
        ["a boat\t1", "a tree\t2.5"],
        ["one boat\t1", "one\thigh"],
        ["test.tsv:3: score 'high' is not a number"],
        "with a decimal point",
    ),
    "embedding": (
        "text\tpair\tscore",
        ["a boat\ta ship\t5", "a boat\ta tree\t1"],
        ["one boat\ta ship\t4", "one\ttwo\t"],
        ["test.tsv:3: no score"],
        "have one",
    ),
}


@pytest.fixture(params=CASES)
def held_out(request, tmp_path):
    header, train, test, told, hint = CASES[request.param]
    for name, rows in (("train.tsv", train), ("test.tsv", test)):
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    section = {"task": request.param, "train": ["train.tsv"], "test": ["test.tsv"]}
    where = write(tmp_path, finetune=section)
    return where, told, hint, len(test)


def test_what_cannot_be_right_is_counted_with_its_place(held_out):
    where, told, hint, rows = held_out
    found = examples_of(open_run(where))
    # What the readers say stands before what only the trained labels tell.
    assert len(found.problems) == len(told) and hint in " ".join(found.problems)
    assert all(any(problem.startswith(one) for problem in found.problems) for one in told)
    assert len(found.test) == rows - len(told)
    assert sum(found.dropped.values()) == len(told)


def test_or_it_stops_the_run(held_out):
    where, told, *_ = held_out
    with pytest.raises(DataError) as error:
        examples_of(open_run(where, ["text.errors=stop"]))
    assert any(error.value.message.startswith(one) for one in told)


def test_a_held_out_set_of_which_nothing_is_left_stops(tmp_path):
    where = write(tmp_path, finetune={"task": "multilabel", "train": ["a.tsv"], "test": ["b.tsv"]})
    (tmp_path / "a.tsv").write_text("text\tlabels\na boat\tsea\na tree\tland\n")
    (tmp_path / "b.tsv").write_text("text\tlabels\na cloud\tsky\n")
    with pytest.raises(
        DataError, match=r"finetune.test: no usable example \(1 label not trained on\)"
    ) as error:
        examples_of(open_run(where))
    assert "b.tsv:2: unknown label 'sky'" in error.value.hint


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run of several labels whose thresholds are chosen on a validation part."""
    folder = tmp_path_factory.mktemp("labels")
    names = {"cook": "people", "guest": "people", "boat": "sea", "captain": "sea", "map": "paper"}
    texts = lines(150, seed=3)
    labels = [sorted({label for word, label in names.items() if word in text}) for text in texts]
    rows = [f"{text}\t{','.join(own)}" for text, own in zip(texts, labels, strict=True)]
    where = write(
        folder,
        finetune={
            "task": "multilabel",
            "train": ["many.tsv"],
            "test": ["test.tsv"],
            "epochs": 2.0,
            "patience": 9,
            "validation": 0.4,
        },
        evaluate={"baselines": ["majority"]},
    )
    (folder / "many.tsv").write_text("\n".join(["text\tlabels", *rows[:110]]) + "\n")
    test = ["text\tlabels", *rows[110:], "A guest swims.\tswimming"]
    (folder / "test.tsv").write_text("\n".join(test) + "\n")
    told = []
    run = open_run(where, tell=told.append)
    do(run)
    return run.folder, told


def test_thresholds_go_from_the_validation_part_to_the_report(tuned):
    folder, told = tuned
    loaded = load(folder, "cpu")
    thresholds = loaded.describe()["thresholds"]
    assert set(thresholds) == {"paper", "people", "sea"} and set(thresholds.values()) != {0.5}
    assert any("thresholds by the validation part: paper" in line for line in told)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Thresholds" in page and f"{thresholds['sea']:.3f}" in page
    assert page.count("<h3>Each label</h3>") == 1 and page.count("test.tsv:42") == 1  # left out
    steps = json.loads((folder / "run.json").read_text())["steps"]
    answers = (folder / steps["evaluate"] / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(answers) == 40
    for line in answers:
        row = json.loads(line)["answer"]
        assert row["labels"] == [label for label, p in row["scores"].items() if p > thresholds[label]]
    rows = [json.loads(line) for line in answers]
    asked = [(p, label in row["labels"]) for row in rows for label, p in row["answer"]["scores"].items()]
    error = calibration([p for p, _ in asked], [there for _, there in asked], bins=10).error
    found = json.loads((folder / steps["evaluate"] / "done.json").read_text())["summary"]["calibration"]
    assert found["error"] == pytest.approx(error) and f"calibration error {100 * error:.1f} %" in page
    assert "Each label of each text" in page
    summary = json.loads((folder / steps["finetune"] / "done.json").read_text())["summary"]
    assert summary["examples"]["dropped"]["label not trained on"] == 1


def test_a_file_to_score_on_is_read_by_the_same_rule(tuned, tmp_path):
    loaded = load(tuned[0], "cpu")
    (tmp_path / "more.tsv").write_text("text\tlabels\na boat\tsea\na cat\tcat\n")
    found, problems, left_out = read_labelled(loaded, tmp_path / "more.tsv", {}, "skip")
    assert len(found) == 1 and left_out == {"label not known to the models": 1}
    assert "more.tsv:3: unknown label 'cat'" in problems[0]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A project of which seven rows cannot be used, each for a reason of its own; fine-tuned."""
    folder = tmp_path_factory.mktemp("mixed")
    where = write(folder, finetune={"test": ["test.tsv"]}, evaluate={"baselines": ["majority"]})
    with (folder / "examples.tsv").open("a") as file:
        file.write("no label here\t\n" * 2 + "\tsea\n" + "one column only\n")
    (folder / "test.tsv").write_text("text\tlabel\nthe sea\tsea\nthe sky\tsky\nthe sun\tsun\nthe hill\t\n")
    told = []
    run = open_run(where, tell=told.append)
    do(run)
    return where, run.folder, told


LEFT_OUT = ["examples.tsv:42: no label", "examples.tsv:43: no label", "examples.tsv:44: no text"]
MORE = ["examples.tsv:45", "test.tsv:3: label 'sky'", "test.tsv:4: label 'sun'", "test.tsv:5: no label"]


def test_what_was_left_out_is_named_on_the_screen_and_in_the_page(mixed):
    _, folder, told = mixed
    at = next(i for i, line in enumerate(told) if line.strip().startswith("left out: "))
    assert "3 no label" in told[at] and "2 label not trained on" in told[at]
    shown = [line.strip() for line in told[at + 1 : at + 6]]
    assert "examples.tsv:42: no label" in " ".join(shown) and shown[4] == "and 3 more in report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    for place in (*LEFT_OUT, *MORE):
        assert html.escape(place) in page, place
    assert "<h3>Left out</h3>" in page


def test_check_counts_and_names_it_too(mixed):
    found = check(open_run(mixed[0]), seconds=0.01)
    lines = "\n".join(found.labelled)
    assert "left out: " in lines and "3 no label" in lines and "examples.tsv:42: no label" in lines
    assert "and 3 more" in lines and found.labelled[0].endswith("held out")
    told = json.loads(json.dumps(found.to_json()))["examples"]
    assert told["dropped"]["label not trained on"] == 2 and len(told["problems"]) == 7


def test_so_does_the_table_for_programs(mixed, capsys):
    assert main(["evaluate", str(mixed[0]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["calibration_error"] <= 1
    assert found["left_out"]["no label"] == 3 and "duplicate" not in found["left_out"]
    assert any(one.startswith("test.tsv:3: label 'sky'") for one in found["problems"])


def test_examples_too_long_to_learn_are_named():
    tuned = {"examples": {"train": 9, "test": 1, "dropped": {}, "problems": []}, "steps": 1}
    one = {**tuned, "too_long": 1, "too_long_at": ["a.tsv:7"]}
    assert "1 example longer than model.max_length was not trained on, e.g. a.tsv:7" in finetune_tell(one)
    assert finetune_tell(one)[0] == "9 examples to train on, 1 held out, 1 step"
    many = {**tuned, "shortened": 6, "shortened_at": [f"a.tsv:{i}" for i in range(6)]}
    assert finetune_tell(many)[-1].endswith("were cut, e.g. a.tsv:0")
    (found,) = examples_story(many)
    assert found.title == "Too long: cut" and len(found.rows) == 6
