"""Held-out loss by language and by source, from the text of a project to its report."""

import json

import pytest
from project_toys import folders, lines, steps_done, write

from liju.objective import Causal, held_out
from liju.project import open_run
from liju.project.groups import groups_of
from liju.samples import TokenShards
from liju.vocab import Tokenizer

ZH = [
    "春眠不觉晓，处处闻啼鸟。",
    "夜来风雨声，花落知多少。",
    "床前明月光，疑是地上霜。",
    "举头望明月，低头思故乡。",
]


def project(folder, sources):
    more = [f"{line}这是第{i}句，一共有四十句。" for i in range(10) for line in ZH]
    path = write(
        folder,
        "decoder",
        text={"sources": sources, "held_out": 0.3, "min_characters": 1},
        pretrain={"steps": 4, "evaluate_every": 2},
        finetune={"task": ""},
    )
    (folder / "chinese").mkdir()
    (folder / "chinese/one.txt").write_text("\n".join(more[:20]), encoding="utf-8")
    (folder / "chinese/two.txt").write_text("\n".join(more[20:]), encoding="utf-8")
    (folder / "more.txt").write_text("\n".join(lines(40, seed=5)), encoding="utf-8")
    return path


def evaluations(path):
    where = folders(path.parent / "runs/toy")["pretrain"]
    written = [json.loads(line) for line in (where / "metrics.jsonl").read_text().splitlines()]
    return [line["evaluation"] for line in written if "evaluation" in line]


BOTH = [{"path": name, "format": "lines"} for name in ("text.txt", "chinese", "more.txt")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = project(tmp_path_factory.mktemp("groups") / "p", BOTH)
    steps_done(path)
    return path


def test_each_look_has_the_loss_of_each_language_and_source(finished):
    looks = evaluations(finished)
    assert len(looks) == 2
    names = {"loss/en", "loss/zh", "loss/source/text.txt", "loss/source/chinese", "loss/source/more.txt"}
    assert all({name for name in look if name.startswith("loss/")} == names for look in looks)
    # Of the loss in each language that of its documents alone: all Chinese is of one source.
    for look in looks:
        assert look["loss/zh"] == pytest.approx(look["loss/source/chinese"], rel=1e-6)
        low, high = sorted([look["loss/source/text.txt"], look["loss/source/more.txt"]])
        assert low < look["loss/en"] < high
        assert min(look["loss/en"], look["loss/zh"]) < look["loss"] < max(look["loss/en"], look["loss/zh"])
    where = folders(finished.parent / "runs/toy")
    model = open_loaded(where["pretrain"])
    tokenizer = Tokenizer.load(where["vocab"] / "tokenizer")
    shards = TokenShards(where["samples"] / "held_out")
    objective = Causal(shards, tokenizer, 64)
    texts = [tokenizer.decode(shards.document(n).tolist()) for n in range(len(shards))]
    chinese = [n for n in range(objective.size) if "句" in texts[objective.documents([n])[0]]]
    assert 3 < len(chinese) < objective.size - 3
    alone = held_out(model, objective, numbers=chinese)["loss"]
    assert looks[-1]["loss/zh"] == pytest.approx(alone, rel=1e-4)


def open_loaded(folder):
    from liju.project.parts import trained

    return trained(folder).model


def test_the_report_and_the_story_show_them(finished):
    page = (finished.parent / "runs/toy/report.html").read_text(encoding="utf-8")
    assert "Held-out loss by language" in page and "Held-out loss by source" in page
    from liju.project.tell import TELL

    where = folders(finished.parent / "runs/toy")["pretrain"]
    told = TELL["pretrain"](json.loads((where / "done.json").read_text())["summary"])
    assert any(line.startswith("held-out loss by language: ") and "zh " in line for line in told)
    assert any("by source: " in line and "chinese " in line and "more.txt " in line for line in told)


def test_one_source_and_one_language_add_nothing(tmp_path):
    path = project(tmp_path / "p", BOTH[:1])
    steps_done(path)
    assert not any(name.startswith("loss/") for look in evaluations(path) for name in look)
    assert "Held-out loss by" not in (path.parent / "runs/toy/report.html").read_text(encoding="utf-8")


def test_shards_that_do_not_know_still_serve(finished, tmp_path):
    import shutil

    shutil.copytree(finished.parent, tmp_path / "p")
    path, where = tmp_path / "p/liju.toml", folders(tmp_path / "p/runs/toy")
    for file in where["samples"].glob("held_out/origins.*"):
        file.unlink()
    shutil.rmtree(where["pretrain"])
    assert steps_done(path) == ["pretrain"]
    again, known = evaluations(path), evaluations(finished)
    assert not any(name.startswith("loss/") for look in again for name in look)
    assert [look["loss"] for look in again] == pytest.approx([look["loss"] for look in known], rel=1e-6)


def test_groups_cover_the_first_pass(finished):
    run = open_run(finished)
    where = folders(finished.parent / "runs/toy")
    tokenizer = Tokenizer.load(where["vocab"] / "tokenizer")
    objective = Causal(TokenShards(where["samples"] / "held_out"), tokenizer, 9, run.project.seed)
    groups = groups_of(objective, where["samples"] / "held_out")
    assert {len(names) for names in groups.values()} == {objective.size}
