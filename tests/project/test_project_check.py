"""`check` tells what a run will be, and trains nothing."""

import json

import pytest
from project_toys import folders, steps_done, write

import liju
from liju import config
from liju.errors import DataError
from liju.project import check, checking, do, open_run
from liju.project.tell import shown


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_its_figures_are_those_of_the_run(tmp_path, family):
    path = write(tmp_path / "p", family)
    found = check(open_run(path), seconds=0.05)
    where = tmp_path / "p/runs/toy"
    assert set(folders(where)) == {"text", "vocab"}  # and nothing was trained
    assert not list(where.glob("**/checkpoints")) and not list(where.glob("**/*.safetensors"))
    assert [name for name, is_so in found.up_to_date.items() if is_so] == ["text", "vocab"]
    assert config.parse(found.config) == config.read(path)
    assert found.tokens_per_second > 100 and 0 < found.plan.seconds < 60
    assert found.plan.tokens == 3 * 200 and found.plan.memory_bytes > 4 * 4 * found.plan.parameters
    told = json.loads(json.dumps(found.to_json()))
    assert told["parameters"] == found.plan.parameters and told["documents"] == 60

    steps_done(path)
    model = liju.load(folders(where)["pretrain"] / "bundle")
    assert found.plan.parameters == sum(p.numel() for p in model.model.parameters())
    assert found.vocabulary == model.tokenizer.size
    summary = json.loads((folders(where)["samples"] / "done.json").read_text())["summary"]
    assert found.train_tokens == summary["train"]["tokens"]
    again = check(open_run(path), seconds=0.05)
    assert all(again.up_to_date.values()) and again.train_tokens == found.train_tokens
    pretrain = json.loads((folders(where)["pretrain"] / "done.json").read_text())["summary"]
    assert [shown(one) for one in again.samples] == [shown(one) for one in pretrain["samples_seen"]]


def test_it_measures_the_rows_that_training_would_lay(tmp_path, monkeypatch):
    seen = []
    real = checking.micro_batches

    def spy(samples, limit, layout="grouped", pad=0, **more):
        batches = real(samples, limit, layout, pad, **more)
        seen.append((layout, len(batches[0].predicting.tokens), batches[0].places == batches[0].tokens))
        return batches

    monkeypatch.setattr(checking, "micro_batches", spy)
    path = write(tmp_path / "p", "encdec")
    found = [check(open_run(path, [f"pretrain.layout={one}"]), seconds=0.05) for one in ("grouped", "flat")]
    assert seen[-1] == ("flat", 1, True) and seen[0][0] == "grouped" and seen[0][1] > 1
    assert found[0].plan.parameters == found[1].plan.parameters and found[1].tokens_per_second > 0


def test_samples_show_masks_types_and_borders(tmp_path):
    path = write(tmp_path / "p", text={"sources": ["text.txt"], "held_out": 0.0}, finetune={"task": ""})
    found = check(open_run(path), seconds=0.01)
    assert len(found.samples) == 3
    pieces = [piece for sample in found.samples for piece in sample["pieces"]]
    assert {"special", "mask", ""} <= {piece["kind"] for piece in pieces}
    assert {0, 1} <= {piece["type"] for piece in pieces}
    assert all(piece["target"] for piece in pieces if piece["kind"] == "mask")
    assert any(caption in found.samples[0]["caption"] for caption in ("B follows A", "B is from elsewhere"))


@pytest.mark.parametrize("does", [lambda run: check(run, seconds=0.01), do], ids=["check", "run"])
@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["finetune.patience=2"], r"finetune.validation: 0.1 of \d examples leaves none to validate on"),
        (["finetune.folds=99"], r"finetune.folds: \d distinct examples cannot be held out in 99 parts"),
        (["finetune.folds=3", "finetune.patience=2"], "leaves none to validate on"),
    ],
    ids=["patience", "folds", "both"],
)
def test_parts_that_examples_cannot_make_are_told_before_training(tmp_path, does, overrides, says):
    path = write(tmp_path / "p", finetune={"test": ["test.tsv"]})
    head, *rows = (path.parent / "examples.tsv").read_text().splitlines()
    few = [[row for row in rows if row.endswith(label)][:4] for label in ("sea", "land")]
    (path.parent / "examples.tsv").write_text("\n".join([head, *few[0], *few[1]]) + "\n")
    (path.parent / "test.tsv").write_text(f"{head}\na boat\tsea\na hill\tland\n")
    with pytest.raises(DataError, match=says):
        does(open_run(path, overrides))
    assert not list((tmp_path / "p").glob("runs/toy/pretrain-*"))
