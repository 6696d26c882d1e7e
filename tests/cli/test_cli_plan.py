"""`liju plan` through its words: presets, project files, runs, model folders, and bad input."""

from __future__ import annotations

import json
import shutil

import pytest
from project_toys import folders, steps_done, write

from liju.cli import main
from liju.model import PRESETS, preset
from liju.plan import count_parameters

WANTED = ("parameters", "flops_per_token", "training_flops", "seconds", "memory_bytes", "cost_usd")


@pytest.fixture
def liju(capsys):
    def call(*words):
        code = main(["plan", *(str(word) for word in words)])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def test_one_json_object(liju):
    code, out, err = liju("transformer-big", "--tokens", "3B", "--on", "a100:16", "--price", "2.5", "--json")
    figures = json.loads(out)
    assert code == 0 and not err and set(WANTED) <= set(figures)
    assert figures["parameters"] == count_parameters(preset("transformer-big")).total
    assert figures["tokens"] == 3 * 10**9 and figures["devices"] == 16
    assert figures["cost_usd"] == pytest.approx(2.5 * 16 * figures["seconds"] / 3600)
    again = json.loads(liju("transformer-big", "--tokens", "3e9", "--on", "a100:16", "--json")[1])
    assert again["seconds"] == figures["seconds"] and again["cost_usd"] < figures["cost_usd"]


def test_the_table_ends_with_what_to_do_next(liju):
    code, out, _ = liju(
        "transformer-base", "--on", "p100:8", "--serve", 3, "--shard", "weights", "--length", 64
    )
    assert code == 0 and out.splitlines()[-1].startswith("next: liju plan transformer-base")
    assert "63,082,496" in out and "samples of 64 + 64" in out and "weights in shares" in out


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_has_a_plan(liju, name):
    code, out, _ = liju(name, "--on", "h100:64", "--json")
    figures = json.loads(out)
    assert code == 0 and figures["parameters"] == count_parameters(preset(name)).total
    assert figures["seconds"] > 0 and figures["memory_bytes"] > 0


def test_a_project_its_run_and_its_model(liju, tmp_path):
    path = write(tmp_path / "p", "encoder", finetune={"task": ""})
    code, out, _ = liju(path, "--on", "here", "--seconds", "0.1")
    assert code == 0 and "(3 steps of 200)" in out and "measured here" in out
    code, out, _ = liju(path, "--on", "cpu", "--seconds", "0.1", "--json")
    planned = json.loads(out)
    assert planned["tokens"] == 600 and planned["precision"] == "float32" and planned["cost_usd"] == 0
    fewer = json.loads(liju(path, "pretrain.steps=2", "--on", "a100", "--json")[1])
    assert fewer["tokens"] == 400 and fewer["seconds"] > 0

    steps_done(path)
    run = tmp_path / "p/runs/toy"
    code, out, _ = liju(run, "--json", "--seconds", "0.1")
    figures = json.loads(out)
    done = json.loads((folders(run)["pretrain"] / "done.json").read_text())["summary"]
    assert code == 0 and figures["parameters"] == done["parameters"]
    lines = (folders(run)["pretrain"] / "metrics.jsonl").read_text().splitlines()
    speeds = sorted(json.loads(line)["tokens_per_second"] for line in lines if "tokens_per_second" in line)
    assert figures["tokens"] / figures["seconds"] == pytest.approx(speeds[len(speeds) // 2])
    assert "as this run has recorded" in " ".join(liju(run)[1].split())  # a long line is folded

    bundle = folders(run)["pretrain"] / "bundle"
    figures = json.loads(liju(bundle, "--on", "h100", "--json")[1])
    assert done["parameters"] - figures["parameters"] == 2 * 24 + 2  # the next sentence's head is no switch
    shutil.copytree(bundle, tmp_path / "torn")
    (tmp_path / "torn/liju.json").write_text('{"config": {"d_mod')
    code, _, err = liju(tmp_path / "torn", "--on", "h100")
    assert code == 2 and "torn" in err and err.count("error:") == 1


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["transformer-bas"], "no preset, project file, run or model folder", "'transformer-base'"),
        (["gone.toml"], "no such file", "liju new"),
        (["transformer-base", "--on", "h10:8"], "unknown machine 'h10'", "'h100'"),
        (["transformer-base", "--on", "h100:0"], "whole number above 0", "h100:8"),
        (["transformer-base", "--on", "here:4"], "one machine", "--on here"),
        (["transformer-base", "--tokens", "many"], "--tokens: 'many' is not a number", "300e9"),
        (["transformer-base", "--tokens", "-3"], "not a number above 0", "300e9"),
        (["transformer-base", "--batch", "nan"], "not a number above 0", "--batch"),
        (["transformer-base", "--on", "v100", "--mfu", "40"], "share of the peak", "0.4"),
        (["transformer-base", "--on", "v100:8", "--tensor", "3"], "multiples of tensor 3", "divisor"),
        (["transformer-base", "--on", "v100", "--length", "-1"], "--length must not be below 0", ""),
        (["transformer-base", "--shard", "halves"], "--shard", "liju plan --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_words_are_one_line_each(liju, words, message, hint):
    code, out, err = liju(*words)
    assert code == 2 and not out
    assert err.count("error:") == 1 and len(err.splitlines()) <= 2
    assert message in err and hint in err


def test_a_project_that_trains_nothing(liju, tmp_path):
    path = write(tmp_path / "p", "decoder", pretrain={"steps": 0})
    code, _, err = liju(path, "--on", "h100")
    assert code == 2 and "pretrain.steps is 0" in err and len(err.splitlines()) == 2
    code, _, err = liju(path, "pretrain.stebs=3", "--on", "h100")
    assert code == 2 and "did you mean 'steps'" in err
