"""`liju new`: a commented project file that runs as it is, with a little text to run it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liju.config import Project, documented
from liju.errors import ConfigError

__all__ = ["new"]

SMALL = {"d_model": 128, "num_layers": 2, "num_heads": 4, "max_length": 64}

LINES = [
    {"path": "data/zh.txt", "format": "lines", "language": "zh"},
    {"path": "data/en.txt", "format": "lines", "language": "en"},
]

PRETRAIN = {"steps": 60, "batch_tokens": 1024, "evaluate_every": 30, "save_every": 30}


def _starter(family: str, kind: str, file: str, **finetune: Any) -> dict[str, Any]:
    """The sections of a starter project; the families differ in their vocabulary and in what they are for."""
    return {
        "text": {"sources": LINES, "held_out": 0.1},
        "vocab": {"kind": kind, "size": 1000},
        "model": {"family": family, **SMALL},
        "pretrain": PRETRAIN,
        "finetune": {"train": [{"path": file}], "test_share": 0.25, "batch_tokens": 512, **finetune},
        "evaluate": {} if family == "encoder" else {"max_new_tokens": 24},
    }


FAMILIES = {
    "encoder": _starter("encoder", "wordpiece", "labelled.tsv", task="classification", epochs=10),
    "decoder": _starter("decoder", "bpe", "labelled.tsv", task="generation", epochs=3),
    "encdec": _starter("encdec", "bpe", "pairs.tsv", task="translation", epochs=10, label_smoothing=0.1),
}

PROSE = Path(__file__).with_name("starter")


def new(folder: str | Path, family: str = "encoder") -> list[Path]:
    """Write liju.toml and starter text in two languages into a new or empty folder; gives what was written.

    Raises ConfigError where the folder has a liju.toml already: nothing is overwritten.
    """
    folder = Path(folder)
    if family not in FAMILIES:
        raise ConfigError(f"unknown family {family!r}", hint="encoder, decoder or encdec")
    project = Project.model_validate({"name": "first", **FAMILIES[family]})
    files = {
        "liju.toml": f"# A {family}, from text to a served model. Run it with: liju run {folder}\n"
        + "# Every key is optional; liju check prints what they come to. Paths start at this file.\n\n"
        + documented(project)
        + "\n",
    }
    for name in ("data/zh.txt", "data/en.txt", "pairs.tsv" if family == "encdec" else "labelled.tsv"):
        files[name] = (PROSE / Path(name).name).read_text(encoding="utf-8")
    for name in files:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name}: already here", hint="choose another folder")
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
