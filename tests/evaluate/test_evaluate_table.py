"""The table of scores is honest: the best is bold whoever it is, and differences are what they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rich.console import Console

from liju.errors import DataError
from liju.evaluate import Interval, Metric, ScoreTable


def table() -> ScoreTable:
    scores = ScoreTable(["accuracy", "bits_per_byte"], main="ours")
    scores.add("ours", accuracy=[0.8, 0.9], bits_per_byte=2.0)
    scores.add("n-gram", accuracy=0.9, bits_per_byte=1.5, note="order 5")
    scores.add("大模型", accuracy=[math.nan, 0.99])
    return scores


def test_best_is_bold_whoever_wins_and_lower_may_be_better():
    lines = table().markdown().splitlines()
    assert lines[2] == "| ours | 85.0 ± 7.1 | 2.000 | 2 |  |"
    assert lines[3] == "| n-gram | **90.0 (+5.0)** | **1.500 (-0.500)** | 1 | order 5 |"


def test_a_run_that_is_not_a_number_is_never_best_and_a_missing_metric_is_a_dash():
    assert table().markdown().splitlines()[4] == "| 大模型 | nan | – | 2 |  |"
    first = ScoreTable(["bleu"])
    first.add("failed", bleu=math.nan)
    first.add("a", bleu=1.0)
    first.add("b", bleu=2.0)
    assert [line.count("**") for line in first.markdown().splitlines()[2:]] == [0, 0, 2]


def test_ties_are_both_best_and_a_single_system_is_not():
    scores = ScoreTable(["bleu"], main="a")
    scores.add("a", bleu=7.0)
    assert "**" not in scores.markdown()
    scores.add("b", bleu=np.float32(7.0))
    assert scores.markdown().count("**7.0") == 2
    assert "(+0.0)" in scores.markdown()


def test_text_lines_up_with_chinese_names():
    from rich.cells import cell_len

    lines = table().text().splitlines()
    at = [
        cell_len(line[: line.index(word)])
        for line, word in zip(lines, ["accuracy", "85", "90", "nan"], strict=False)
    ]
    assert len(set(at)) == 1
    assert lines[-1].startswith("(in brackets: the difference to ours")


def test_a_table_too_wide_for_the_terminal_goes_on_below():
    from rich.cells import cell_len

    whole = table().text()
    widest = max(map(cell_len, whole.splitlines()[:-1]))
    assert table().text(widest).splitlines()[: len(table().rows) + 1] == whole.splitlines()[:-1]
    narrow = table().text(widest - 1)
    *blocks, legend = narrow.split("\n\n")
    names = [row.system for row in table().rows]
    assert len(blocks) > 1 and max(map(cell_len, narrow.splitlines())) < widest
    assert all([line.split("  ")[0] for line in block.splitlines()] == ["system", *names] for block in blocks)
    assert " ".join(legend.split()) == whole.splitlines()[-1]
    # Nothing is lost, and nothing said twice but the names.
    cells = [cell for line in whole.splitlines()[:-1] for cell in line.split("  ")[1:] if cell]
    found = [cell for block in blocks for line in block.splitlines() for cell in line.split("  ")[1:] if cell]
    assert sorted(map(str.strip, cells)) == sorted(map(str.strip, found))
    # A column that is wider than the terminal has a block of its own.
    assert len(table().text(1).split("\n\n")) == len(table().columns) + 2


def test_html_escapes_and_marks_the_main_system():
    scores = ScoreTable(["accuracy"], main="<script>")
    scores.add("<script>", accuracy=0.5, note="a & b")
    html = scores.html()
    assert "<script>" not in html and "&lt;script&gt;" in html and "a &amp; b" in html
    assert '<tr class="main">' in html


def test_rich_shows_every_number():
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table().rich())
    text = console.export_text()
    for part in ("85.0 ± 7.1", "90.0 (+5.0)", "1.500 (-0.500)", "order 5", "大模型"):
        assert part in text
    console.file.close()


def test_pipes_do_not_break_the_markdown():
    scores = ScoreTable(["accuracy"])
    scores.add("a|b", accuracy=0.5, note="line\nbreak")
    assert scores.markdown().splitlines()[2] == "| a\\|b | 50.0 | 1 | line break |"


def test_through_json_and_back():
    scores = ScoreTable(["accuracy", Metric("speed", "requests/s", digits=0)], main="a")
    scores.add("a", accuracy=[0.5, 0.7], speed=3)
    assert ScoreTable.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores


def test_mistakes_are_told():
    with pytest.raises(DataError, match="unknown metric 'acuracy'") as error:
        ScoreTable(["acuracy"])
    assert error.value.hint == "did you mean 'accuracy'?"
    scores = ScoreTable(["accuracy"])
    with pytest.raises(DataError, match="no metric 'bleu'"):
        scores.add("a", bleu=1.0)
    scores.add("a", accuracy=1.0)
    with pytest.raises(DataError, match="already"):
        scores.add("a", accuracy=1.0)


def test_intervals_and_chances_are_shown_scaled_and_survive_json():
    scores = ScoreTable(["accuracy"], main="ours")
    scores.add("ours", accuracy=0.8, intervals={"accuracy": Interval(0.75, 0.85)})
    scores.add(
        "other", accuracy=0.825, intervals={"accuracy": Interval(0.8, 0.9)}, p_values={"accuracy": 0.0417}
    )
    assert scores.markdown().splitlines()[3] == "| other | **82.5 [80.0 to 90.0] (+2.5, p 0.042)** | 1 |  |"
    legend = scores.text().splitlines()[-1]
    assert "95 % interval over examples" in legend and "p: chance of such a difference" in legend
    assert '<span class="interval">80.0 to 90.0</span><span class="difference">+2.5, p 0.042</span>' in (
        scores.html()
    )
    assert ScoreTable.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores
    # A table that an older run has written has neither.
    old = {"main": "a", "metrics": ["accuracy"], "rows": [{"system": "a", "values": {"accuracy": [0.5]}}]}
    assert ScoreTable.from_dict(old).confidence is None
    with pytest.raises(DataError, match="no metric 'bleu'"):
        scores.add("a", accuracy=1.0, intervals={"bleu": Interval(0, 1)})


def test_a_row_on_other_examples_is_compared_with_none():
    scores = ScoreTable(["accuracy"], main="ours")
    scores.add("ours", accuracy=0.7)
    scores.add("n-gram", accuracy=0.6)
    scores.add("ours, 3 parts", accuracy=[0.9, 0.8, 0.9], apart=True)
    for shown in (scores, ScoreTable.from_dict(json.loads(json.dumps(scores.to_dict())))):
        ours, ngram, parts = shown.text().splitlines()[1:4]
        assert "70.0 *" in ours and "60.0 (-10.0)" in ngram
        assert "86.7 ± 5.8" in parts and "*" not in parts and "(" not in parts
        assert "<b>86.7" not in shown.html()
    scores.add("ours, 2 parts", accuracy=[0.7, 0.7], apart=True)  # as good as the best, to the letter
    assert "*" not in scores.text().splitlines()[4]


def test_one_system_has_no_best_and_no_difference():
    scores = ScoreTable(["accuracy"], main="ours")
    scores.add("ours", accuracy=0.7)
    assert "best" not in scores.text() and "difference" not in scores.text()
    assert len(scores.text().splitlines()) == 2
    scores.rows.clear()
    scores.add("ours", accuracy=[0.7, 0.8])
    assert scores.text().splitlines()[-1] == "(±: deviation over seeds)"
