"""Measure every published system and write the table of docs/en/systems.md and docs/zh/systems.md.

For each structure among the presets a toy is built: its logits are compared in float64 with another
implementation, it is trained on a paragraph by the spine's loop, and it is exported wherever the target can
hold it. Presets of one system that differ in sizes alone share these figures. A few minutes on one core:

    python docs/systems.py
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import liju  # noqa: F401 - before torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "model"))

import torch  # noqa: E402
from preset_peers import parity  # noqa: E402
from preset_toys import representatives, train_toy  # noqa: E402

from liju.errors import LijuError  # noqa: E402
from liju.hub import TARGETS, export, expressible, save_bundle  # noqa: E402
from liju.model import PRESETS, preset  # noqa: E402
from liju.plan import count_parameters  # noqa: E402

PAGES = {language: ROOT / "docs" / language / "systems.md" for language in ("en", "zh")}
START, END = "<!-- table: docs/systems.py writes it -->", "<!-- end of the table -->"
HEADS = {
    "en": ("preset", "parameters", "published", "parity, float64", "toy's loss", "exports that pass"),
    "zh": ("预设", "参数", "论文所说", "一致性（float64）", "小模型的损失", "通过的导出"),
}
# The words that cells are made of.
ZH = {
    "columns in its order": "列按它的次序",
    "a band in every second block": "每隔一块加带状遮盖",
    "T5's decoder alone": "只用 T5 的解码器",
    "an einsum of the paper's formulas": "按论文公式写的 einsum",
    " without embeddings": "（不含嵌入）",
    "; not ": "；不能 ",
}


@dataclass(frozen=True)
class Measured:
    """What a toy has shown."""

    parity: str
    loss: str
    exports: str


def measure(name: str, folder: Path) -> Measured:
    """The toy of a preset: compared, trained, exported."""
    figure, peer = parity(name, folder / "random")
    model, tokenizer, losses = train_toy(name, folder)
    task = {"name": "fill", "max_length": model.config.max_length}
    bundle = save_bundle(folder / "bundle", model, tokenizer, task)
    passed, refused = [], []
    for target in TARGETS:
        reason = expressible(model.config, target, list(model.heads))
        if reason is None:
            try:
                export(bundle, target, folder / target)
                passed.append(target)
                continue
            except LijuError as error:
                reason = error.message
        refused.append(f"{target} ({short(reason)})")
    exports = ", ".join(passed) + (f"; not {', '.join(refused)}" if refused else "")
    last = sum(losses[-5:]) / 5
    return Measured(f"{figure:.0e} {peer}", f"{losses[0]:.2f} → {last:.2f}", exports)


def short(reason: str) -> str:
    """The first of the reasons, without what the target has instead.

    >>> short("position is 'learned' (llama.cpp's llama has 'rope'); nearest: onnx")
    "position is 'learned'"
    """
    first = re.split(r"; | \(|, ", reason)[0]
    return re.sub(r"\d+\.\d{5,}", lambda number: f"{float(number[0]):.3g}", first)


def rows(measured: dict[str, Measured]) -> list[tuple[str, ...]]:
    """A row for every preset."""
    found = []
    for name, first in representatives().items():
        entry, toy = PRESETS[name], measured[first]
        ours = f"{count_parameters(preset(name), entry.heads).total:,}"
        published = entry.published + (f"; {entry.weights:,}" if entry.weights else "")
        found.append((f"`{name}`", ours, published, toy.parity, toy.loss, toy.exports))
    return found


def table(language: str, found: list[tuple[str, ...]]) -> str:
    """The rows as Markdown."""
    lines = [HEADS[language], ("---", "---:", "---", "---", "---", "---"), *found]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if language == "zh":
        for words, translated in ZH.items():
            text = text.replace(words, translated)
    return text


def main() -> None:
    torch.set_num_threads(1)
    measured = {}
    for name in dict.fromkeys(representatives().values()):
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = measure(name, Path(folder))
        print(name, *vars(measured[name]).values(), sep=" | ", flush=True)
    found = rows(measured)
    for language, path in PAGES.items():
        before, _, rest = path.read_text(encoding="utf-8").partition(START)
        _, _, after = rest.partition(END)
        path.write_text(f"{before}{START}\n\n{table(language, found)}\n\n{END}{after}", encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
