"""The table of systems: a row a preset, no empty cell, counts and bounds of today, in both languages."""

from __future__ import annotations

import re

import pytest
from docs_story import EN, ROOT, ZH

from liju.model import PRESETS, preset
from liju.plan import count_parameters

NUMBER = r"\d(?:\.\d+)?e[+-]\d\d"


def table(folder) -> dict[str, list[str]]:
    """The cells of each preset's row."""
    text = (folder / "systems.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- table: docs/systems.py writes it -->(.*)<!-- end of the table -->", text, re.S)
    assert found is not None
    lines = [line for line in found[1].splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("folder", [EN, ZH], ids=["en", "zh"])
def test_every_preset_has_a_row_without_an_empty_cell(folder):
    rows = table(folder)
    assert list(rows) == list(PRESETS)
    for name, cells in rows.items():
        entry = PRESETS[name]
        assert len(cells) == 5 and all(cells), name
        ours, published, parity, loss, exports = cells
        assert ours == f"{count_parameters(preset(name), entry.heads).total:,}"
        assert published.startswith(entry.published.split()[0])
        assert not entry.weights or f"{entry.weights:,}" in published
        assert float(re.match(NUMBER, parity)[0]) < 3e-4 and len(parity) > len("1e-16 ")  # type: ignore[index]
        before, after = map(float, loss.split(" → "))
        assert before > 5 > 2.5 > after
        assert "onnx" in re.split("; not |；不能 ", exports)[0]


def test_both_languages_have_the_same_figures():
    one, other = table(EN), table(ZH)
    for name, cells in one.items():
        numbers = [re.findall(r"[\d.,e+-]*\d", " ".join(row)) for row in (cells, other[name])]
        assert numbers[0] == numbers[1]


def test_every_system_is_named_by_the_page():
    text = (EN / "systems.md").read_text(encoding="utf-8")
    assert all(entry.system in text for entry in PRESETS.values())
    assert (ROOT / "docs" / "systems.py").exists()
