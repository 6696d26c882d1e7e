"""What is compared is comparable: held-out examples are unseen, from scratch is from the same start."""

import json

import pytest
import torch
from project_toys import folders, lines, steps_done, write

import liju
from liju.evaluate import ScoreTable
from liju.finetune import Example
from liju.finetune import finetuning as finetuning_module
from liju.project import compare, open_run
from liju.project.leaks import Kept, examples_of, folded
from liju.project.parts import initialise
from liju.project.tell import TELL
from liju.samples import TokenShards
from liju.vocab import Tokenizer


def texts_trained_on(where):
    found = folders(where)
    tokenizer = Tokenizer.load(found["vocab"] / "tokenizer")
    return [tokenizer.decode(ids) for ids in TokenShards(found["samples"] / "train").documents()]


PLANTED = "Zyx and zyx again: the quizzical xylophone of Wzlm."


@pytest.mark.parametrize("as_line_of_a_document", [False, True])
def test_no_evaluation_example_is_in_the_training_text(tmp_path, as_line_of_a_document):
    """Law 8, with an example planted in the text in another case and with other spaces."""
    path = write(tmp_path / "p", vocab={"size": 1000}, finetune={"test": ["test.tsv"]})
    folder = path.parent
    (folder / "test.tsv").write_text(f"text\tlabel\n{PLANTED}\tland\n{lines()[3]}\tsea\n")
    planted = "  ".join(PLANTED.upper().split())
    if as_line_of_a_document:
        (folder / "more.txt").write_text(f"A first line that stays.\n{planted}\nA last line that stays.\n")
        overrides = ['text.sources=[{path="text.txt", format="lines"}, "more.txt"]', "text.held_out=0.0"]
    else:
        with (folder / "text.txt").open("a") as file:
            file.write(f"\n{planted}\n")
        overrides = ["text.held_out=0.0"]
    steps_done(path, *overrides)
    where = folder / "runs/toy"
    trained_on = texts_trained_on(where)
    assert trained_on and not any("XYLOPHONE" in text or lines()[3] in text for text in trained_on)
    if as_line_of_a_document:
        assert any("first line" in text and "last line" in text for text in trained_on)
    summary = json.loads((folders(where)["samples"] / "done.json").read_text())["summary"]
    assert summary["left_out"] == 2
    vocabulary = Tokenizer.load(folders(where)["vocab"] / "tokenizer").backend.get_vocab()
    assert not any("zyx" in token.casefold() or "xyl" in token.casefold() for token in vocabulary)
    # The same text is trained on where it is not an evaluation example.
    (folder / "test.tsv").write_text(f"text\tlabel\nanother text\tland\n{lines()[3]}\tsea\n")
    steps_done(path, *overrides)
    assert any("XYLOPHONE" in text for text in texts_trained_on(where))


def test_a_split_by_hash_is_left_out_too(tmp_path):
    path = write(tmp_path / "p", text={"held_out": 0.0})
    steps_done(path)
    run = open_run(path, ["text.held_out=0.0"])
    held = {folded(example["text"]) for example in examples_of(run).test}
    trained_on = {folded(text) for text in texts_trained_on(tmp_path / "p/runs/toy")}
    assert held & {folded(line) for line in lines()}  # some of them are in the file
    assert not held & trained_on
    kept = Kept(run)
    assert len(list(kept)) + kept.left_out == 60 and kept.left_out == len(held & set(map(folded, lines())))


@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_from_scratch_starts_where_pretraining_started(tmp_path, monkeypatch, family):
    starts = {}

    def spy(model, tokenizer, task, examples, settings, folder, **how):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        starts[folder.name] = (state, how["seed"], list(examples))
        return finetuning_module.finetune(model, tokenizer, task, examples, settings, folder, **how)

    monkeypatch.setattr(compare, "finetune", spy)
    path = write(
        tmp_path / "p", family, pretrain={"steps": 5}, evaluate={"seeds": 2, "baselines": ["scratch"]}
    )
    steps_done(path)
    where = tmp_path / "p/runs/toy"
    pretrained = liju.load(folders(where)["pretrain"] / "bundle")
    run = open_run(path)
    assert set(starts) == {"scratch-0", "scratch-1", "pretrained-1"}  # pretrained-0 is the run's own
    for seed in (0, 1):
        state, given, examples = starts[f"scratch-{seed}"]
        fresh = initialise(run.project, pretrained.tokenizer.size, seed).state_dict()
        assert given == seed and examples == examples_of(run).train
        assert state.keys() == fresh.keys() and all(torch.equal(state[name], fresh[name]) for name in fresh)
    assert not torch.equal(starts["scratch-0"][0]["token.weight"], starts["scratch-1"][0]["token.weight"])
    state, given, examples = starts["pretrained-1"]
    own = pretrained.model.state_dict()
    assert given == 1 and all(torch.equal(state[name], own[name]) for name in own)
    rows = json.loads((folders(where)["evaluate"] / "done.json").read_text())["summary"]["table"]["rows"]
    assert [len(next(iter(row["values"].values()))) for row in rows] == [2, 2]


def test_the_table_has_every_system_on_the_same_examples(tmp_path):
    path = write(tmp_path / "p")
    steps_done(path)
    found = folders(tmp_path / "p/runs/toy")
    summary = json.loads((found["evaluate"] / "done.json").read_text())["summary"]
    systems = [row["system"] for row in summary["table"]["rows"]]
    assert systems == ["majority class", "n-gram", "from scratch", "fine-tuned"]
    answers = [json.loads(line) for line in (found["evaluate"] / "answers.jsonl").read_text().splitlines()]
    test = examples_of(open_run(path)).test
    assert [(row["text"], row["label"]) for row in answers] == [(e["text"], e["label"]) for e in test]
    right = sum(row["answer"]["label"] == row["label"] for row in answers)
    scores = {row["system"]: row["values"] for row in summary["table"]["rows"]}
    assert scores["fine-tuned"]["accuracy"] == [pytest.approx(right / len(answers))]
    most = max({"sea", "land"}, key=[e["label"] for e in examples_of(open_run(path)).train].count)
    share = sum(e["label"] == most for e in test) / len(test)
    assert scores["majority class"]["accuracy"] == [pytest.approx(share)]
    # the served model gives the very answers that were scored
    model = liju.load(tmp_path / "p/runs/toy")
    again = [answer["label"] for answer in model.predict([e["text"] for e in test])]
    assert again == [row["answer"]["label"] for row in answers]


def test_the_report_is_one_file_that_opens_offline(tmp_path):
    path = write(tmp_path / "p")
    steps_done(path)
    page = (tmp_path / "p/runs/toy/report.html").read_text(encoding="utf-8")
    for what in (
        "fine-tuned",
        "from scratch",
        "majority class",
        "n-gram",
        "<svg",
        "held-out",
        "packed = unpacked",
    ):
        assert what in page, what
    for away in ("<link", "<script src", '<img src="http', "@import", "url(http"):
        assert away not in page
    assert (tmp_path / "p/runs/toy/report.html").stat().st_size < 2_000_000


def test_examples_for_the_report_are_the_surest_mistakes_first():
    from liju.finetune import Classification

    task = Classification(["a", "b"], 16)
    test = [Example({"text": str(i), "label": "a"}, "x") for i in range(40)]
    answers = [{"label": "b" if i < 20 else "a", "score": 0.5 + (i % 20) / 50} for i in range(40)]
    rows = compare._chosen(task, answers, test)
    wrong = [row for row in rows if row["right"] is False]
    assert [row["text"] for row in wrong][:3] == ["19", "18", "17"] and len(wrong) == 12
    assert 0 < sum(row["right"] is True for row in rows) <= 12


def test_the_table_is_as_wide_as_the_terminal_and_a_file_has_a_line_a_system(monkeypatch):
    table = ScoreTable(["accuracy", "macro_f1", "matthews"], main="fine-tuned")
    table.add("fine-tuned", accuracy=0.8, macro_f1=0.8, matthews=0.6)
    summary = {"table": table.to_dict()}
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = TELL["evaluate"](summary)
    assert max(map(len, lines)) <= 58 < len(table.text().splitlines()[0])  # the story sets it in by two
    assert sum(line.startswith("fine-tuned") for line in lines) == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert TELL["evaluate"](summary) == table.text().splitlines()
