"""liju show: look at what a run holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from liju.cli.story import say_next, shown_path
from liju.cli.strict_json import dumps
from liju.errors import DataError, RequestError

__all__ = ["show"]


def show(
    what: Literal[
        "config", "text", "vocab", "samples", "curve", "scores", "model", "laws", "tokens", "presets"
    ],
    run: Path | None = None,
    /,
    *texts: str,
    family: str = "",
) -> None:
    """Show what a run directory or a model folder holds, or the published systems that a project may name.

    config, text (documents kept and dropped), vocab, samples (as the model saw them), curve (losses), scores,
    model, laws; tokens cuts texts of yours into the model's tokens; presets lists published systems with
    their sizes and sources, or tells all switches of one.

    examples:
      liju show scores runs/first
      liju show samples runs/first
      liju show tokens runs/first "春眠不觉晓"
      liju show presets --family bert
      liju show presets gpt3-175b

    Parameters
    ----------
    what
        What to show.
    run
        A run directory (runs/first without one); model, laws and tokens also take a model folder. For
        presets: the name of one.
    texts
        For tokens: the texts to cut.
    family
        For presets: only those of a family (encoder, decoder, encdec) or a system (bert, gpt3, llama, ...).
    """
    if what == "presets":
        _presets("" if run is None else str(run), family)
        return
    if family:
        raise RequestError("--family is for presets", hint="liju show presets --family bert")
    run = Path("runs/first") if run is None else run
    if what in ("model", "laws", "tokens"):
        _of_bundle(what, run, texts)
    elif what == "config":
        print(_read(run / "liju.toml"), end="")
    else:
        _of_run(what, run)
    say_next(f'liju predict {shown_path(run)} "..."')


def _presets(name: str, family: str) -> None:
    from liju.cli.preset_table import print_preset, print_presets

    if name and family:
        raise RequestError(f"{name} is one preset: it has its family", hint="leave out --family")
    if name:
        print_preset(name)
        say_next(f"liju new {name} --preset {name} --scale 0.1", f"liju plan {name}")
    else:
        print_presets(family)
        say_next("liju show presets gpt3-175b", "liju new small --preset bert-base --scale 0.1")


def _of_bundle(what: str, run: Path, texts: tuple[str, ...]) -> None:
    from liju.finetune import find_bundle

    folder = find_bundle(run)
    if what == "tokens":
        from liju.vocab import Tokenizer

        tokenizer = Tokenizer.load(folder)
        for text in texts:
            ids = tokenizer.encode(text)
            print("│".join(tokenizer.tokens(ids)))
            print(" ".join(map(str, ids)))
        return
    path = folder / "liju.json"
    plain = not path.exists()  # a Hugging Face folder that liju did not write
    record = {"config": _json(folder / "config.json")} if plain else _json(path)
    if what == "model":
        print(dumps({**record["config"], "task": record.get("task")}, indent=2))
        return
    for number, law in sorted(record.get("report", {}).get("laws", {}).items()):
        holds = "holds" if law["holds"] else "BROKEN"
        print(f"law {number}: {holds}, largest difference {law['difference']:.1e}, bound {law['bound']:.0e}")


def _of_run(what: str, run: Path) -> None:
    step = {"samples": "pretrain", "curve": "pretrain", "scores": "evaluate"}.get(what, what)
    from liju.finetune import steps_of

    if not (run / "run.json").exists():
        raise RequestError(f"{run}: not a run directory", hint="name one, e.g. runs/first")
    steps = steps_of(run)
    if step not in steps:
        raise RequestError(f"{run}: {step} is not done yet", hint="liju run does it")
    folder = run / steps[step]
    summary = _json(folder / "done.json")["summary"]
    if what == "scores":
        from liju.evaluate import ScoreTable
        from liju.project.tell import room

        print(ScoreTable.from_dict(summary["table"]).text(room()))
    elif what == "samples":
        from liju.project.tell import shown

        for seen in summary["samples_seen"]:
            print(shown(seen, places=1000))
    elif what == "curve":
        from liju.train.live import sparkline

        lines = [json.loads(line) for line in _read(folder / "metrics.jsonl").splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        print(f"{sparkline(losses, 72)}  {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses):,} steps")
        for line in lines:
            if "evaluation" in line:
                scores = ", ".join(f"{name} {value:.4f}" for name, value in line["evaluation"].items())
                print(f"step {line['step']:>6}: {scores}")
    else:
        from liju.project.tell import TELL

        print("\n".join(TELL[step](summary)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RequestError(f"{path}: no such file", hint="name a run directory, e.g. runs/first") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="liju run makes it again") from None
