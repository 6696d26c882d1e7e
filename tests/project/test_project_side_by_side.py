"""Models side by side: the same numbers as each alone, paired tests, and every unusable example named."""

import json
import math

import pytest
import torch
from project_toys import FAMILIES, folders, lines, steps_done, write

import liju
from liju.cli import main
from liju.errors import DataError, RequestError
from liju.evaluate import ScoreTable, accuracy, bootstrap, calibration, mcnemar
from liju.finetune import Answering, Classification, Example, GenerationTask, Tagging, TranslationTask
from liju.project.measuring import calibration_of, measures_of, mistakes_of, sliced
from liju.project.side_by_side import Comparison, side_by_side


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each family, and a second encoder, trained for longer."""
    folder, found = tmp_path_factory.mktemp("beside"), {}
    torch.set_num_threads(1)
    for family in FAMILIES:
        path = write(folder / family, family, evaluate={"baselines": [], "max_new_tokens": 4, "beam": 1})
        steps_done(path)
        found[family] = folder / family / "runs/toy"
    longer = ["name=longer", "finetune.epochs=40", "finetune.learning_rate=0.01"]
    steps_done(folder / "encoder/liju.toml", *longer)
    found["longer"] = folder / "encoder/runs/longer"
    return found


@pytest.fixture
def data(tmp_path):
    rows = [f"{one}\t{'sea' if 'boat' in one or 'captain' in one else 'land'}" for one in lines(50, seed=5)]
    path = tmp_path / "test.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return path


def test_each_is_scored_as_it_is_alone_and_compared_in_pairs(runs, data, tmp_path):
    found = side_by_side([runs["encoder"], runs["longer"]], data, report=tmp_path / "r.html", resamples=300)
    want = [row.split("\t")[1] for row in data.read_text().splitlines()[1:]]
    texts = [row.split("\t")[0] for row in data.read_text().splitlines()[1:]]
    right = []
    for system, name in zip(found.systems, ("encoder", "longer"), strict=True):
        alone = [answer["label"] for answer in liju.load(runs[name]).predict(texts)]
        assert system.scores["accuracy"] == accuracy(alone, want) == system.measures["accuracy"].value
        right.append([a == b for a, b in zip(alone, want, strict=True)])
    assert [system.name for system in found.systems] == ["toy", "longer"]
    pair = next(pair for pair in found.pairs if pair.metric == "accuracy")
    assert pair.right == mcnemar(*right)
    assert pair.difference == pytest.approx(accuracy(right[1], [True] * 50) - accuracy(right[0], [True] * 50))
    assert pair.low <= pair.difference <= pair.high and 0 < pair.randomisation <= 1
    row = found.table.rows[1]
    assert row.p_values["accuracy"] == pair.randomisation
    assert row.intervals["accuracy"] == bootstrap(found.systems[1].measures["accuracy"], resamples=300)
    page = (tmp_path / "r.html").read_text()
    assert "toy beside longer" in page and "by length" in page and "expected and answered, longer" in page
    sure = [one["score"] for one in found.systems[1].answers]
    assert f"calibration error {100 * calibration(sure, right[1], 10).error:.1f} %, longer" in page
    told = "\n".join(found.lines())
    assert "50 examples, classification" in told and "McNemar p" in told
    assert json.loads(json.dumps(found.to_json()))["pairs"][0]["right"]["only_first"] == pair.right.only_first


def test_a_system_beside_itself_does_not_differ(runs, data):
    import shutil

    twin = data.parent / "twin"
    shutil.copytree(liju.finetune.find_bundle(runs["longer"]), twin)
    found = side_by_side([runs["longer"], twin], data, resamples=100)
    assert all(pair.difference == 0 and pair.randomisation == 1 for pair in found.pairs)
    assert all(pair.right is None or pair.right.p_value == 1 for pair in found.pairs)


def test_several_are_corrected_for(runs, data):
    import shutil

    bundle = liju.finetune.find_bundle(runs["longer"])
    for name in ("second", "third"):
        shutil.copytree(bundle, data.parent / name)
    paths = [runs["encoder"], data.parent / "second", data.parent / "third"]
    two, three = (side_by_side(paths[:n], data, resamples=200) for n in (2, 3))
    one = two.pairs[0].randomisation
    assert [p.randomisation for p in three.pairs if p.metric == "accuracy"] == [
        pytest.approx(min(1, 2 * one))
    ] * 2


@pytest.mark.parametrize("family", ["decoder", "encdec"])
def test_other_tasks_have_intervals_too(runs, tmp_path, family):
    data = tmp_path / "test.jsonl"
    fields = ("text",) if family == "decoder" else ("source", "target")
    data.write_text("".join(json.dumps(dict.fromkeys(fields, one)) + "\n" for one in lines(9, seed=7)))
    found = side_by_side([runs[family]], data, report=tmp_path / "r.html", resamples=50)
    system = found.systems[0]
    assert set(system.measures) == set(system.scores)
    for name, measure in system.measures.items():
        assert measure.value == pytest.approx(system.scores[name], abs=1e-6)
        assert found.table.rows[0].intervals[name].low <= measure.value * (1 + 1e-9)
    assert not found.pairs and "mistakes" in (tmp_path / "r.html").read_text()


def test_what_cannot_be_used_is_named_counted_and_left_out_only_when_asked(runs, data):
    with data.open("a") as file:
        file.write("A text that is about the moon.\tmoon\nNo label here\t\n")
    with pytest.raises(DataError, match=r"test\.tsv:52: unknown label 'moon'") as error:
        side_by_side([runs["encoder"]], data)
    assert "--errors skip" in error.value.hint
    found = side_by_side([runs["encoder"]], data, errors="skip", resamples=20)
    assert len(found.examples) == 50
    assert found.left_out == {"label not known to the models": 1, "no label": 1}
    assert [problem.split(":")[1] for problem in found.problems] == ["52", "53"]
    assert "left out: 1 label not known to the models, 1 no label" in "\n".join(found.lines())
    page = side_by_side([runs["encoder"]], data, errors="skip", resamples=20, report=data.parent / "r.html")
    assert "test.tsv:52: unknown label" in page.report.read_text(encoding="utf-8")
    bad = data.parent / "bad.tsv"
    bad.write_text("text\tlabel\nthe moon\tmoon\n")
    with pytest.raises(DataError, match="no usable example"):
        side_by_side([runs["encoder"]], bad, errors="skip")


def test_repairs_are_told_where_nothing_was_left_out():
    some = [f"a.json:#{at}: moved" for at in range(9)]
    told = Comparison("answering", [], [], ScoreTable(["accuracy"]), [], problems=some).lines()
    assert told[1:3] == ["mended: 9", "  a.json:#0: moved"] and "  and 5 more" in told


def test_columns_may_have_other_names(runs, data):
    other = data.parent / "other.tsv"
    other.write_text(data.read_text().replace("text\tlabel", "review\tstars"))
    with pytest.raises(DataError, match=r"other\.tsv:2: no text"):
        side_by_side([runs["encoder"]], other)
    fields = {"text": "review", "label": "stars"}
    assert len(side_by_side([runs["encoder"]], other, fields=fields, resamples=20).examples) == 50
    with pytest.raises(RequestError, match="unknown field 'lable'") as error:
        side_by_side([runs["encoder"]], other, fields={"lable": "stars"})
    assert error.value.hint == "did you mean 'label'?"


def test_examples_that_were_trained_on_and_copies_are_told(runs, data, tmp_path):
    from liju.project import open_run
    from liju.project.leaks import examples_of

    folder = runs["encoder"].parent.parent
    trained_on = len(examples_of(open_run(folder)).train)
    own = folder / "examples.tsv"
    page = tmp_path / "page.html"
    found = side_by_side([runs["encoder"]], own, resamples=20, report=page)
    note = f"toy was trained on {trained_on} of the 40 examples: they say nothing of new ones"
    assert found.notes == [note] == found.to_json()["notes"] and note in found.lines()
    assert note in page.read_text()
    bundle = liju.finetune.find_bundle(runs["encoder"])
    assert side_by_side([bundle], own, resamples=20).notes[0].startswith("bundle was trained on")
    assert side_by_side([runs["encoder"]], data, resamples=20).notes == []
    first, *_, last = data.read_text().splitlines()[1:]
    other = last.replace("sea", "lake").replace("land", "sea").replace("lake", "land")
    with data.open("a") as file:
        file.write(f"{first}\n{first}\n{other}\n")
    assert side_by_side([runs["encoder"]], data, resamples=20).notes == [
        "2 of the 53 examples are of the same text with different labels, and are scored",
        "2 of the 53 examples are copies of others, and are scored",
    ]


def test_a_run_whose_examples_are_gone_says_so(runs, data, tmp_path):
    import shutil

    gone = tmp_path / "elsewhere" / "runs" / "toy"
    shutil.copytree(runs["encoder"], gone)
    (note,) = side_by_side([gone], data, resamples=20).notes
    assert note.startswith("which examples toy was trained on cannot be told: examples.tsv: no file matches")


def test_bad_rows_and_columns_of_a_file_have_the_hints_of_the_command(runs, data):
    fields = {"pair": "txet"}
    with pytest.raises(RequestError, match=r"test\.tsv: no row has 'txet', for pair") as error:
        side_by_side([runs["encoder"]], data, fields=fields)
    assert error.value.hint == "did you mean 'text'?"
    colon = data.with_name("colon.tsv")
    rows = data.read_text().splitlines()
    colon.write_text("\n".join([rows[0] + "\tmore:text", *(f"{row}\tb" for row in rows[1:])]) + "\n")
    assert (
        len(side_by_side([runs["encoder"]], colon, fields={"pair": "more:text"}, resamples=20).examples) == 50
    )
    with data.open("a") as file:
        file.write("one\ttwo\tthree\n")
    with pytest.raises(DataError, match=r"test\.tsv:52: 3 columns") as error:
        side_by_side([runs["encoder"]], data)
    assert error.value.hint == "mend it, or --errors skip leaves it out"
    assert side_by_side([runs["encoder"]], data, errors="skip", resamples=20).left_out == {"bad row": 1}


def test_models_that_cannot_be_compared_are_refused(runs, data, tmp_path, capsys):
    with pytest.raises(RequestError, match=r"for classification, .* for translation"):
        side_by_side([runs["longer"], runs["encdec"]], data)
    with pytest.raises(RequestError, match="named twice"):
        side_by_side([runs["encoder"], runs["encoder"]], data)
    with pytest.raises(RequestError, match="no model"):
        side_by_side([], data)
    for number in ("0", "-1"):  # before a model is loaded
        assert main(["evaluate", "nowhere", "--data", str(data), "--resamples", number]) == 2
        assert f"error: {number} resamples tell nothing\nhint: 1 or more" in capsys.readouterr().err
    labels = tmp_path / "p"
    path = write(labels)
    text = (labels / "examples.tsv").read_text().replace("\tsea", "\tocean")
    (labels / "examples.tsv").write_text(text)
    steps_done(path, "evaluate.baselines=[]", "name=ocean")
    with pytest.raises(RequestError, match="only longer: sea; only ocean: ocean"):
        side_by_side([runs["longer"], labels / "runs/ocean"], data)
    mine = tmp_path / "mine.html"
    mine.write_text("my own page")
    with pytest.raises(RequestError, match="something else is here"):
        side_by_side([runs["encoder"]], data, report=mine, resamples=10)
    assert mine.read_text() == "my own page"


def test_the_command(runs, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str(runs["encoder"]), str(runs["longer"]), "--data", str(data), "--resamples", "50"]
    assert main(["evaluate", *words]) == 0
    out, err = capsys.readouterr()
    assert "longer beside toy, accuracy %" in out and "wrote evaluate-toy-longer.html" in out
    assert out.splitlines()[-1].startswith("next: liju predict ") and "toy: 50 examples" in err
    assert (tmp_path / "evaluate-toy-longer.html").exists()
    assert main(["evaluate", *words, "--json", "--out", "x.html"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["examples"] == 50 and not err and (tmp_path / "x.html").exists()
    assert main(["evaluate", *words[:2]]) == 2
    assert "2 models and no data" in capsys.readouterr().err
    data.write_text("text\tlabel\nthe moon\tmoon\n")
    assert main(["evaluate", *words]) == 2
    assert "test.tsv:2: unknown label 'moon'" in capsys.readouterr().err


def test_the_worst_mistakes_of_each_kind_of_task():
    task = Classification(["a", "b"], 16)
    test = [Example({"text": str(at), "label": "a"}, f"x:{at}") for at in range(6)]
    answers = [{"label": "b" if at < 4 else "a", "score": 0.5 + at / 20} for at in range(6)]
    says, rows = mistakes_of(task, answers, test, measures_of(task, answers, test))
    assert says.startswith("Wrong answers") and [row["text"] for row in rows] == ["3", "2", "1", "0"]
    assert rows[0]["place"] == "x:3"
    translation = TranslationTask(16)
    pairs = [Example({"source": "x", "target": text}, f"y:{text}") for text in ("red cat", "dog", "blue")]
    given = [{"text": "red cat"}, {"text": "dig"}, {"text": "nothing"}]
    says, rows = mistakes_of(translation, given, pairs, measures_of(translation, given, pairs))
    assert "lowest chrF" in says and [row["expected"] for row in rows] == ["blue", "dog"]
    generation = GenerationTask(16)
    texts = [Example({"text": text}, "z") for text in ("easy", "hard")]
    nats = [{"nats": 1.0}, {"nats": 9.0}]
    says, rows = mistakes_of(generation, nats, texts, measures_of(generation, nats, texts))
    assert "highest bits per byte" in says and rows[0]["text"] == "hard"
    assert rows[0]["note"] == f"bits per byte {9 / math.log(2) / 4:.3f}"


def test_a_task_may_know_its_own_measures_and_an_unknown_one_has_its_right_answers():
    class Own:
        name = "guessing"
        metric = "accuracy"

        def right(self, answer, example):
            return answer["label"] == example["label"]

    test = [Example({"text": "a b", "label": "x"}, "t:1"), Example({"text": "c", "label": "y"}, "t:2")]
    answers = [{"label": "x"}, {"label": "x"}]
    assert measures_of(Own(), answers, test)["accuracy"].value == 0.5  # type: ignore[arg-type]

    class Measured(Own):
        def measures(self, answers, examples):
            from liju.evaluate import mean_measure

            return {"novelty": mean_measure([0.25, 0.75])}

    found = measures_of(Measured(), answers, test)  # type: ignore[arg-type]
    assert found["novelty"].value == 0.5
    (name, all_of_them, parts), *rest = sliced(found, test, resamples=20)
    assert name == "novelty" and not rest and all_of_them.count == 2
    assert {part.by for part in parts} == {"length", "label"}
    assert sliced({}, test) == []


def test_a_tagger_is_measured_by_words_and_by_entities():
    test = [Example({"words": "a b c", "tags": "B-A I-A O", "text": "a b c"}, "t:1")]
    found = measures_of(Tagging(["B-A", "I-A", "O"], 8), [{"label": "B-A O O"}], test)
    assert {name: round(one.value, 3) for name, one in found.items()} == {"entity_f1": 0, "accuracy": 0.667}
    words = [Example({"words": "a b c", "tags": "n v n", "text": "a b c"}, "t:1")]
    assert set(measures_of(Tagging(["n", "v"], 8), [{"label": "n n n"}], words)) == {"accuracy", "macro_f1"}


def test_the_report_of_a_run_has_intervals_slices_and_what_was_trained_on(tmp_path):
    path = write(tmp_path / "p", evaluate={"baselines": ["majority"], "seeds": 2})
    steps_done(path)
    where = tmp_path / "p/runs/toy"
    summary = json.loads((folders(where)["evaluate"] / "done.json").read_text())["summary"]
    rows = {row["system"]: row for row in summary["table"]["rows"]}
    own = rows["fine-tuned"]
    interval, mean = own["intervals"]["accuracy"], sum(own["values"]["accuracy"]) / 2
    assert interval["low"] <= mean <= interval["high"] and not own.get("p_values")
    assert 0 < rows["majority class"]["p_values"]["accuracy"] <= 1
    assert {part["by"] for part in summary["slices"][0]["parts"]} <= {"length", "label", "language"}
    whole = summary["slices"][0]["whole"]
    assert whole["count"] == sum(p["count"] for p in summary["slices"][0]["parts"] if p["by"] == "length")
    page = (where / "report.html").read_text()
    for words in (
        "Trained on",
        "fine-tuning (classification)",
        "labelled examples",
        "by length",
        "% interval",
    ):
        assert words in page, words


def test_who_says_how_sure_it_is_is_asked_whether_it_is_right():
    task = Answering(64, unanswerable=True)
    values = {"question": "q", "context": "a b", "answers": '[{"text": "a", "begin": 0, "end": 1}]'}
    none = {**values, "answers": "[]"}
    test = [Example(values, "x:1"), Example(none, "x:2")]
    answers = [{"text": "b", "begin": 2, "end": 3, "score": 0.9}, {"text": "", "score": 1.0 + 1e-12}]
    found, asked = calibration_of(task, answers, test)
    assert found is not None and found.error == pytest.approx(0.45) and "to the letter" in asked
    assert calibration_of(task, [{"text": ""}] * 2, test) == (None, "")
    assert calibration_of(task, [{**answers[0], "score": math.nan}] * 2, test) == (None, "")
    words = [Example({"words": "a b", "tags": "n v", "text": "a b"}, "t:1")]
    assert calibration_of(Tagging(["n", "v"], 8), [{"label": "n v", "score": 0.9}], words) == (None, "")
