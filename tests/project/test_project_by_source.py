"""The held-out loss of fine-tuning, by source, where labelled examples are of several files."""

import json

import pytest
from project_toys import FAMILIES, folders, lines, steps_done, write

from liju.objective import held_out
from liju.project import open_run
from liju.project.by_source import losses_by_source
from liju.project.leaks import examples_of
from liju.project.parts import TASK_TYPES, trained
from liju.project.tell import TELL

OTHERS = [pytest.param(family, marks=pytest.mark.slow) for family in ("decoder", "encdec")]


def project(folder, family="encoder"):
    """Labelled examples of two sources, the second of two files."""
    path = write(folder, family, finetune={"train": ["examples.tsv", "more/*.tsv"]})
    first = (folder / "examples.tsv").read_text(encoding="utf-8").splitlines()[0]
    (folder / "more").mkdir()
    for i in (1, 2):
        rows = []
        for one in lines(14, seed=9 + i):
            rows.append(f"{one}\t{one.split('.')[0] if family == 'encdec' else 'sea'}")
        (folder / "more" / f"{i}.tsv").write_text("\n".join([first, *rows]) + "\n", encoding="utf-8")
    return path


def looks(path):
    text = (folders(path.parent / "runs/toy")["finetune"] / "metrics.jsonl").read_text()
    return [line["evaluation"] for line in map(json.loads, text.splitlines()) if "evaluation" in line]


@pytest.mark.parametrize("family", ["encoder", *OTHERS])
def test_each_source_has_a_loss(tmp_path, family):
    path = project(tmp_path / "p", family)
    assert "finetune" in steps_done(path)
    found = looks(path)[-1]
    names = ["loss", "loss/source/examples.tsv", "loss/source/more/*.tsv"]
    assert sorted(found) == names
    low, high = sorted(found[name] for name in names[1:])
    assert low < found["loss"] < high
    run, where = open_run(path), folders(path.parent / "runs/toy")["finetune"]
    model = trained(where)
    task = TASK_TYPES[FAMILIES[family]].from_description(dict(model.bundle.task))
    examples = examples_of(run).test
    for name, more in (("examples.tsv", False), ("more/*.tsv", True)):
        those = [one for one in examples if ("more/" in one.place) == more]
        assert len(those) > 2
        objective = task.objective(those, model.tokenizer, run.project.finetune, 5)  # another seed and order
        want = held_out(model.model, objective)["loss"]
        assert found[f"loss/source/{name}"] == pytest.approx(want, rel=1e-5)
    summary = json.loads((where / "done.json").read_text())["summary"]
    assert summary["held_out"] == found
    (told,) = [line for line in TELL["finetune"](summary) if "held-out" in line]
    assert told.startswith("held-out loss by source: ") and "more/*.tsv " in told
    page = (path.parent / "runs/toy/report.html").read_text(encoding="utf-8")
    assert "Held-out loss by source" in page
    # Losses are plain, and the task is as it was: nothing of held-out text gets into it.
    again = []
    for balance in ("none", "weights") if family == "encoder" else ("none",):
        run = open_run(path, [f"finetune.balance={balance}"])
        before = json.dumps(task.describe(), default=str)
        again.append(losses_by_source(run, model.model, model.tokenizer, task, examples))
        assert json.dumps(task.describe(), default=str) == before
    assert all(one == pytest.approx(found, rel=1e-6) for one in again)


def test_examples_of_one_file_add_nothing(tmp_path):
    path = write(tmp_path / "p")
    steps_done(path)
    assert looks(path) == []
    run = open_run(path)
    model = trained(folders(path.parent / "runs/toy")["finetune"])
    task = TASK_TYPES["classification"].from_description(dict(model.bundle.task))
    assert losses_by_source(run, model.model, model.tokenizer, task, examples_of(run).test) == {}
