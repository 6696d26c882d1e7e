"""`liju pretrain --profile` and `liju finetune --profile`: the table, the files, the report."""

import json
import re

from project_toys import folders, write

from liju.cli import main


def test_a_profile_is_printed_kept_and_in_the_report(tmp_path, capsys):
    path = write(tmp_path / "p", pretrain={"steps": 7}, finetune={"epochs": 9.0})
    assert main(["pretrain", str(path)]) == 0
    out = capsys.readouterr().out
    assert "ms on cpu" not in out
    assert main(["pretrain", str(path), "--profile"]) == 0
    assert "no profile: pretrain was up to date" in capsys.readouterr().out
    assert main(["finetune", str(path), "name=again", "--profile"]) == 0
    out = capsys.readouterr().out
    where = folders(tmp_path / "p/runs/again")
    for step in ("pretrain", "finetune"):  # each training that it did
        assert (where[step] / "trace.json.gz").exists()
    found = json.loads((where["finetune"] / "profile.json").read_text())
    rows = re.findall(r"^  (\w[\w ]*\w) +([\d.]+) ms +(\d+) %$", out, re.M)
    assert [name for name, *_ in rows] == list(found["parts"])
    assert sum(float(ms) for _, ms, _ in rows) > 0.98 * found["step_ms"] > 0
    assert f"a step of {found['step_ms']:,.1f} ms on cpu" in out and "profile.json and trace.json.gz" in out
    page = (tmp_path / "p/runs/again/report.html").read_text(encoding="utf-8")
    assert "time of a step" in page and "matrix products" in page


def test_the_flags_reach_the_ranks(tmp_path, capsys):
    path = write(tmp_path / "p")
    assert main(["pretrain", str(path), "--on", "slurm:1x2", "--profile", "--tensorboard"]) == 0
    assert "--profile --tensorboard" in capsys.readouterr().out
    assert main(["finetune", str(path), "--on", "slurm:1x2", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "--resume" in out and "--profile" not in out


def test_tensorboard_without_its_package_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard.writer", None)
    path = write(tmp_path / "p", finetune={"task": ""})
    assert main(["pretrain", str(path), "--tensorboard", "--quiet"]) == 2
    assert "pip install 'liju[tensorboard]'" in capsys.readouterr().err
    assert main(["pretrain", str(path), "--quiet"]) == 0  # nothing is in the way
