"""`liju new`: a commented project file that runs as it is, with a little text to run it on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from liju.config import Project, documented
from liju.errors import ConfigError
from liju.project import starter
from liju.project.preset import preset_sections

__all__ = ["new"]

SMALL = {"d_model": 128, "num_layers": 2, "num_heads": 4, "max_length": 64}

LINES = [
    {"path": "data/zh.txt", "format": "lines", "language": "zh"},
    {"path": "data/en.txt", "format": "lines", "language": "en"},
]

PRETRAIN = {
    "steps": 120,
    "batch_tokens": 1024,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "evaluate_every": 60,
    "save_every": 60,
}


FEW = {**PRETRAIN, "steps": 60, "optimizer": "adamw", "learning_rate": 1e-3, "evaluate_every": 30}


def _starter(family: str, kind: str, file: str, **finetune: Any) -> dict[str, Any]:
    """The sections of a starter project; the families differ in their vocabulary and in what they are for."""
    return {
        "text": {"sources": LINES, "held_out": 0.1},
        "vocab": {"kind": kind, "size": 1000},
        "model": {"family": family, **SMALL},
        "pretrain": FEW if family == "encdec" else PRETRAIN,
        "finetune": {"train": [{"path": file}], "learning_rate": 1e-3, **finetune},
        "evaluate": {} if family == "encoder" else {"max_new_tokens": 24},
    }


# On so little text the encoder-decoder learns from its pairs; more spans would only have to be unlearned.
FAMILIES = {
    "encoder": _starter(
        "encoder", "wordpiece", "labelled.tsv", task="classification", epochs=10, batch_tokens=256
    ),
    "decoder": _starter("decoder", "bpe", "labelled.tsv", task="generation", epochs=3, batch_tokens=512),
    "encdec": _starter("encdec", "bpe", "pairs.tsv", task="translation", epochs=15, batch_tokens=512),
}


def new(folder: str | Path, family: str = "", *, preset: str = "", scale: float = 1.0) -> list[Path]:
    """Write liju.toml and starter text in two languages into a new or empty folder; gives what was written.

    With a preset the file names it, and shows what follows from it as comments: to change one, take away its
    mark. Raises ConfigError where the folder has a liju.toml already (nothing is overwritten), for an unknown
    family, or one that is not the preset's; ModelError for an unknown preset.
    """
    folder = Path(folder)
    sections, what = _sections(family, preset, scale)
    project = Project.model_validate({"name": "first", **sections})
    family = project.model.family
    text = documented(project)
    for section, keys in preset_sections(preset, scale).items() if preset else ():
        text = _commented(text, section, keys)
    files = {
        "liju.toml": f"# {what}, from text to a served model. Run it with: liju run {folder}\n"
        + "# Every key is optional; liju check prints what they come to. Paths start at this file.\n\n"
        + text
        + "\n",
    }
    files |= starter.files(family)
    for name in files:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name}: already here", hint="choose another folder")
    written = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def _sections(family: str, preset: str, scale: float) -> tuple[dict[str, Any], str]:
    """The sections of the file, and what the model is in words."""
    if not preset:
        if scale != 1.0:
            raise ConfigError("scale is of a preset, and there is none", hint="--preset bert-base")
        if (family or "encoder") not in FAMILIES:
            raise ConfigError(f"unknown family {family!r}", hint="encoder, decoder or encdec")
        return FAMILIES[family or "encoder"], f"A {family or 'encoder'}"
    follows = preset_sections(preset, scale)
    own = follows["model"]["family"]
    if family not in ("", own):
        raise ConfigError(f"{preset} is a family {own!r}, not {family!r}", hint="leave out --family")
    sections = {**FAMILIES[own], "model": {"preset": preset, "scale": scale}}
    for section, keys in follows.items():
        sections[section] = {**sections[section], **keys}
    longest = follows["model"]["max_length"]
    for key in ("batch_tokens", "micro_batch_tokens"):
        usual = {"batch_tokens": PRETRAIN["batch_tokens"], "micro_batch_tokens": 4096}[key]
        sections["pretrain"][key] = max(usual, longest)
    return sections, preset if scale == 1.0 else f"{preset} at {scale:g} of its width"


def _commented(text: str, section: str, keys: Iterable[str]) -> str:
    """The keys of one section as comments."""
    head, mark, rest = text.partition(f"\n[{section}]\n")
    body, end, after = rest.partition("\n\n")
    for key in keys:
        body = re.sub(rf"(?m)^(?={key} = )", "# ", body)
    return head + mark + body + end + after
