"""Out to other engines: one door, one report, and nothing left behind when the answers there differ.

>>> from liju.model import TransformerConfig
>>> decoder = TransformerConfig.default("decoder", vocab_size=97, d_model=12, num_heads=3)
>>> [target for target in TARGETS if expressible(decoder, target) is None]
['huggingface', 'gguf', 'onnx', 'ctranslate2']
>>> expressible(decoder.replace(position="learned"), "gguf")
"position is 'learned' (llama.cpp's llama has 'rope'); nearest: ctranslate2, onnx"
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from liju.errors import ExportError, did_you_mean
from liju.hub.bundle import Bundle, load_bundle
from liju.hub.config_map import architecture, heads_of, misfits
from liju.hub.engines.checks import Check, Made
from liju.hub.files import rename, write_json
from liju.hub.weights import dtype_name
from liju.model import TransformerConfig

__all__ = ["DTYPES", "TARGETS", "ExportReport", "export", "expressible"]

FORMAT = 1  # of export.json
TARGETS = {
    "huggingface": "a folder that transformers loads",
    "gguf": "one file for llama.cpp, ollama, LM Studio",
    "onnx": "graphs for ONNX Runtime and what embeds it",
    "ctranslate2": "a folder for CTranslate2's Translator and Generator",
}
# The first is what a target is written in unless told otherwise; a Hugging Face folder stays as it is.
DTYPES = {
    "huggingface": ("float32", "bfloat16", "float16", "float64"),
    "gguf": ("float32", "float16", "bfloat16", "q8_0"),
    "onnx": ("float32",),
    "ctranslate2": ("float32", "float16", "bfloat16", "int8"),
}
# Where each writer is; it is imported at its first use.
_WRITERS = {
    "huggingface": ("liju.hub.engines.huggingface", "make_huggingface"),
    "gguf": ("liju.hub.engines.gguf_check", "make_gguf"),
    "onnx": ("liju.hub.engines.onnx_check", "make_onnx"),
    "ctranslate2": ("liju.hub.engines.ctranslate2_check", "make_ctranslate2"),
}


@dataclass(frozen=True)
class ExportReport:
    """What was written where, in which dtype, and each comparison with its figure and its bound. The file
    `export.json` beside the others holds the same. `left_out`: weights that the target has no place for."""

    target: str
    folder: Path
    dtype: str
    engine: str
    files: dict[str, dict[str, Any]]
    checks: list[Check]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def holds(self) -> bool:
        """Every comparison is within its bound. A report on disk always holds."""
        return all(check.holds for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """As in export.json."""
        from liju import __version__

        return {
            "format": FORMAT,
            "liju": __version__,
            "law": "exported = native",
            "target": self.target,
            "engine": self.engine,
            "dtype": self.dtype,
            "source": self.source,
            "files": self.files,
            "checks": [check.to_dict() for check in self.checks],
            "holds": self.holds,
            "left_out": self.left_out,
            "notes": self.notes,
            "details": self.details,
        }


def expressible(config: TransformerConfig, target: str, heads: Sequence[str] | None = None) -> str | None:
    """Why a target cannot hold a model of these switches and heads, and the nearest thing that works; None
    where it can. Needs none of the optional packages.

    Raises ExportError for an unknown target.
    """
    if target not in TARGETS:
        suggestion = did_you_mean(target, TARGETS)
        raise ExportError(f"unknown target {target!r}", hint=suggestion or f"one of {', '.join(TARGETS)}")
    heads = list(heads_of(config)) if heads is None else list(heads)
    reason = _misfit(config, target, heads)
    if reason is None:
        return None
    others = [other for other in NEAREST if other != target and _misfit(config, other, heads) is None]
    return f"{reason}; nearest: {', '.join(others)}"


# Where to look first when a target cannot hold a model; onnx holds them all.
NEAREST = ("ctranslate2", "gguf", "onnx")


def _misfit(config: TransformerConfig, target: str, heads: list[str]) -> str | None:
    if target == "huggingface":
        if architecture(config, heads) is not None:
            return None
        reasons = misfits(config) or [f"no class has the heads {sorted(heads)} with pooler {config.pooler}"]
        return "; ".join(reasons)
    found: Callable[[TransformerConfig, Sequence[str]], str | None]
    found = import_module(f"liju.hub.engines.{target}").misfit
    return found(config, heads)


def export(
    model: Bundle | str | Path,
    target: str,
    out: str | Path,
    *,
    dtype: str | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Write a model for another engine, ask that engine, and give the folder its name only when it answers as
    the model in memory does (law 7); `export.json` in it says what was compared.

    Raises ExportError: the target cannot hold the model, the folder exists (without `overwrite`), or an
    answer is further off than its bound; nothing is left behind then. MissingExtra: the target's packages.
    """
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    out = Path(out)
    reason = expressible(bundle.config, target, list(bundle.model.heads))
    if reason is not None:
        why, _, nearest = reason.partition("; nearest: ")
        raise ExportError(f"{target} cannot hold this model: {why}", hint=f"nearest: {nearest}")
    asis = dtype_name(next(bundle.model.parameters()))
    dtype = dtype or (asis if target == "huggingface" else DTYPES[target][0])
    if dtype not in DTYPES[target]:
        raise ExportError(f"{target} has no dtype {dtype!r}", hint=f"one of {', '.join(DTYPES[target])}")
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out}: already exists", hint="choose another folder (--out), or --overwrite")
    module, name = _WRITERS[target]
    make: Callable[[Path, Bundle, str], Made] = getattr(import_module(module), name)
    bundle.model.eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        made = make(partial, _float32(bundle) if target != "huggingface" else bundle, dtype)
        report = ExportReport(
            target,
            out,
            dtype,
            made.engine,
            _files(partial),
            made.checks,
            sorted({_layer(name) for name in made.left_out}),
            made.notes,
            {**made.details, **({"labels": bundle.labels} if bundle.labels else {})},
            bundle.folder.resolve().name,
        )
        for check in report.checks:
            if not check.holds:
                raise ExportError(
                    f"{target}: the exported model is not the one in memory: {check.name}: {check.what}: "
                    f"{check.figure:.3g}, bound {check.bound:.3g}{_shown(check)}",
                    hint="nothing was kept; huggingface holds the model as it is",
                )
        write_json(partial / "export.json", report.to_dict())
        rename(partial, out)
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _float32(bundle: Bundle) -> Bundle:
    """The model that the answers are compared with, in float32: what the engines compute in."""
    if next(bundle.model.parameters()).dtype == torch.float32:
        return bundle
    from copy import deepcopy
    from dataclasses import replace

    return replace(bundle, model=deepcopy(bundle.model).float().eval())


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    """Each file of a folder: its bytes and their SHA-256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = {"bytes": os.path.getsize(path), "sha256": digest}
    return found


def _layer(name: str) -> str:
    """The layer that a tensor belongs to: heads.words of heads.words.dense.bias."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "heads" else parts[:1]) if " " not in name else name


def _shown(check: Check) -> str:
    other = check.details.get("cut otherwise")
    return f" (first: {other[0]!r:.60})" if other else ""
