"""liju export: a trained model for another engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from liju.cli.story import say_next, shown_path

__all__ = ["export"]

NEXT = {
    "huggingface": "liju show model {out}",
    "gguf": "{program} -m {out}/{file}",
    "onnx": "cat {out}/export.json",
    "ctranslate2": "cat {out}/export.json",
}


def export(
    run: Path,
    /,
    *,
    to: Literal["huggingface", "gguf", "onnx", "ctranslate2"] | None = None,
    out: Path | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a trained model for another engine, and ask that engine.

    huggingface: a folder that transformers loads. gguf: one file for llama.cpp and what builds on it. onnx:
    graphs for ONNX Runtime. ctranslate2: a folder for CTranslate2. The answers are compared with the model's
    own; export.json says what was compared, the bounds and the figures. A model that answers differently is
    refused, and nothing is kept. Without --to: what each of them can hold of this model.

    examples:
      liju export runs/first
      liju export runs/first --to onnx
      liju export runs/decoder --to gguf --dtype q8_0 --out story

    Parameters
    ----------
    run
        A run directory or a model folder.
    to
        The engine.
    out
        The folder to write; runs/first/export/onnx unless told otherwise.
    dtype
        float32; gguf and ctranslate2 also float16, bfloat16, and q8_0 or int8.
    overwrite
        Replace a folder that is there.
    """
    from liju.finetune import find_bundle
    from liju.hub import load_bundle
    from liju.hub.export import TARGETS, expressible
    from liju.hub.export import export as write

    bundle = load_bundle(find_bundle(run))
    if to is None:
        heads = list(bundle.model.heads)
        for target, what in TARGETS.items():
            why = expressible(bundle.config, target, heads)
            print(f"{target:12} {what}" if why is None else f"{target:12} no: {why}")
        fits = [target for target in TARGETS if expressible(bundle.config, target, heads) is None]
        say_next(f"liju export {shown_path(run)} --to {fits[-1]}")
        return
    out = out or run / "export" / to
    report = write(bundle, to, out, dtype=dtype, overwrite=overwrite)
    for name, file in report.files.items():
        print(f"{shown_path(out / name)}  {file['bytes']:,} bytes")
    print(f"asked {report.engine}:")
    for check in report.checks:
        print(f"  {check.name}: {check.what}: {check.figure:.2g}, bound {check.bound:.2g}")
    for name in report.left_out:
        print(f"  left out: {name}")
    for note in report.notes:
        print(f"  note: {note}")
    print(f"written: {shown_path(out / 'export.json')}")
    file = next((name for name in report.files if name.endswith(".gguf")), "")
    # Of llama.cpp's own programs.
    program = "llama-cli" if bundle.config.has_decoder else "llama-embedding"
    say_next(NEXT[to].format(out=shown_path(out), file=file, program=program))
