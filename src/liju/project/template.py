"""`liju new`: a commented project file that runs as it is, with a little text to run it on."""

from __future__ import annotations

from pathlib import Path

from liju.config import Project, documented
from liju.errors import ConfigError

__all__ = ["new"]

SMALL = {"d_model": 128, "num_layers": 2, "num_heads": 4, "max_length": 64}

LINES = [
    {"path": "data/zh.txt", "format": "lines", "language": "zh"},
    {"path": "data/en.txt", "format": "lines", "language": "en"},
]

FAMILIES = {
    "encoder": {
        "text": {"sources": LINES, "held_out": 0.1},
        "vocab": {"kind": "wordpiece", "size": 1000},
        "model": {"family": "encoder", **SMALL},
        "pretrain": {"steps": 60, "batch_tokens": 1024, "evaluate_every": 30, "save_every": 30},
        "finetune": {
            "task": "classification",
            "train": [{"path": "labelled.tsv"}],
            "test_share": 0.25,
            "epochs": 10,
            "batch_tokens": 512,
        },
    },
    "decoder": {
        "text": {"sources": LINES, "held_out": 0.1},
        "vocab": {"kind": "bpe", "size": 1000},
        "model": {"family": "decoder", **SMALL},
        "pretrain": {"steps": 60, "batch_tokens": 1024, "evaluate_every": 30, "save_every": 30},
        "finetune": {
            "task": "generation",
            "train": [{"path": "labelled.tsv"}],
            "test_share": 0.25,
            "epochs": 3,
            "batch_tokens": 512,
        },
        "evaluate": {"max_new_tokens": 24},
    },
    "encdec": {
        "text": {"sources": LINES, "held_out": 0.1},
        "vocab": {"kind": "bpe", "size": 1000},
        "model": {"family": "encdec", **SMALL},
        "pretrain": {"steps": 60, "batch_tokens": 1024, "evaluate_every": 30, "save_every": 30},
        "finetune": {
            "task": "translation",
            "train": [{"path": "pairs.tsv"}],
            "test_share": 0.25,
            "epochs": 10,
            "batch_tokens": 512,
            "label_smoothing": 0.1,
        },
        "evaluate": {"max_new_tokens": 24},
    },
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
