"""The summary of each step as lines of the story. Nothing here needs torch."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liju.evaluate import ScoreTable
from liju.text import Problem

__all__ = ["TELL", "left_out_tell", "named", "room", "shown"]


def _many(count: int, what: str) -> str:
    """
    >>> _many(1, "file"), _many(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def text_tell(summary: dict[str, Any]) -> list[str]:
    megabytes, size = summary["bytes"] / 1e6, sum(summary["characters"].values())
    files, read = _many(summary["files"], "file"), _many(summary["read"], "document")
    lines = [f"{files}, {megabytes:.1f} MB: {read} read"]
    lines.append(f"{summary['kept']:,} kept, {size:,} characters")
    for what in ("dropped", "changed", "files_skipped"):
        if summary[what]:
            counts = sorted(summary[what].items(), key=lambda item: -item[1])
            lines.append(f"{what.replace('_', ' ')}: " + ", ".join(f"{n:,} {why}" for why, n in counts))
    lines.append(f"{summary['train']:,} to train on, {summary['held_out']:,} held out")
    if summary["problem_count"]:
        lines.append(f"{_many(summary['problem_count'], 'problem')}, e.g.")
        for problem in summary["problems"][:3]:
            lines.append("  " + str(Problem(**problem)))
    return lines


def vocab_tell(summary: dict[str, Any]) -> list[str]:
    lines = [
        f"{summary['size']:,} tokens ({summary['kind']}), "
        f"{summary['characters_per_token']:.2f} characters a token"
    ]
    if summary["size"] < summary["asked"]:
        lines.append(f"{summary['asked']:,} were asked for; the text has no more")
    return [*lines, *("│".join(pieces) for pieces in summary["cut"][:2])]


def samples_tell(summary: dict[str, Any]) -> list[str]:
    lines = [
        f"{name}: {summary[split]['tokens']:,} tokens of {_many(summary[split]['documents'], 'document')}"
        for split, name in (("train", "to train on"), ("held_out", "held out"))
        if split in summary
    ]
    if summary["left_out"]:
        lines.append(f"{summary['left_out']:,} documents left out: they are evaluation examples (law 8)")
    return lines


def pretrain_tell(summary: dict[str, Any]) -> list[str]:
    if "from" in summary:
        return [f"{summary['parameters']:,} parameters of {summary['from']}, as they are"]
    steps = _many(summary["steps"], "step")
    lines = [f"{summary['parameters']:,} parameters, {summary['objective']}, {steps}"]
    if summary.get("held_out"):
        shown = ("loss", "words_accuracy", "next_sentence_accuracy", "bits_per_byte")
        found = [f"{name} {summary['held_out'][name]:.3f}" for name in shown if name in summary["held_out"]]
        lines.append("held-out: " + ", ".join(found).replace("_", " "))
    lines += _losses_by(summary)
    if summary.get("tokens_per_second"):
        lines.append(f"{summary['tokens_per_second']:,.0f} tokens a second ({summary['precision']})")
    return lines


def _losses_by(summary: dict[str, Any]) -> list[str]:
    """Held-out losses by language and by source, where there are several."""
    from liju.train.live import parts_of

    return [
        f"held-out loss by {kind}: {', '.join(f'{name} {loss:.3f}' for name, loss in losses.items())}"
        for kind, losses in parts_of(summary.get("held_out") or {})[1].items()
    ]


def finetune_tell(summary: dict[str, Any]) -> list[str]:
    report = summary["examples"]
    train, steps = _many(report["train"], "example"), _many(summary["steps"], "step")
    lines = [f"{train} to train on, {report['test']:,} held out, {steps}"]
    lines += left_out_tell(report)
    lines += _losses_by(summary)
    if summary.get("best"):
        best, metric = summary["best"], summary["metric"].replace("_", " ")
        lines.append(f"best {metric} on the validation part: {best['score']:.4f} after step {best['step']:,}")
    if summary.get("thresholds"):
        each = [f"{label} {at:.2f}" for label, at in summary["thresholds"].items()]
        more = f" and {len(each) - 6} more" if len(each) > 6 else ""
        lines.append(f"thresholds by the validation part: {', '.join(each[:6])}{more}")
    for name, what in {"too_long": "not trained on", "shortened": "cut"}.items():
        if summary.get(name):
            were = "was" if summary[name] == 1 else "were"
            told = f"{_many(summary[name], 'example')} longer than model.max_length {were} {what}"
            first = summary.get(f"{name}_at", [""])[0]
            lines.append(f"{told}, e.g. {first}" if first else told)
    return lines


SHOWN = 4  # problems that are named on the screen; the page has more of them


def left_out_tell(report: Mapping[str, Any], where: str = " in report.html") -> list[str]:
    """What became of labelled examples: counts by reason, and the first problems by file and line.

    `report` is that of `liju.finetune.ExampleSet`; `where` says where the further ones are named.

    >>> rows = [f"a.csv:{line}: no label" for line in range(2, 9)]
    >>> for line in left_out_tell({"dropped": {"no label": 7, "duplicate": 0}, "problems": rows}):
    ...     print(line)
    left out: 7 no label
      a.csv:2: no label
      a.csv:3: no label
      a.csv:4: no label
      a.csv:5: no label
      and 3 more in report.html
    """
    lines = []
    for name, counts in {"left out": report["dropped"], "mended": report.get("mended", {})}.items():
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        lines += [f"{name}: {told}"] if told else []
    return lines + named(report["problems"], report.get("problem_count"), where)


def named(problems: Sequence[str], count: int | None = None, where: str = "") -> list[str]:
    """The first problems of `count`, a line each, and how many more there are and where.

    >>> named(["a.csv:2: no label"]), named(["a", "b", "c", "d", "e"], 500, " in report.html")[-1]
    (['  a.csv:2: no label'], '  and 496 more, the first of them in report.html')
    """
    count = len(problems) if count is None else count
    lines = [f"  {problem}" for problem in problems[:SHOWN]]
    if count > SHOWN:
        listed = ", the first of them" if where and count > len(problems) else ""
        lines.append(f"  and {count - SHOWN:,} more{listed}{where}")
    return lines


def evaluate_tell(summary: dict[str, Any]) -> list[str]:
    return ScoreTable.from_dict(summary["table"]).text(room(2)).splitlines()


def room(indent: int = 0) -> int:
    """The characters in a line of the terminal; 0, without a limit, where no one looks: a file, a pipe."""
    return max(1, shutil.get_terminal_size().columns - indent) if sys.stdout.isatty() else 0


TELL: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "text": text_tell,
    "vocab": vocab_tell,
    "samples": samples_tell,
    "pretrain": pretrain_tell,
    "finetune": finetune_tell,
    "evaluate": evaluate_tell,
}


def shown(seen: Mapping[str, Any], places: int = 24) -> str:
    """A sample as one line: what is to be told stands after an arrow.

    >>> print(shown({"caption": "sample 0", "pieces": [
    ...     {"text": "[CLS]", "kind": "special", "target": "", "type": 0},
    ...     {"text": "[MASK]", "kind": "mask", "target": "cat", "type": 1}]}))
    sample 0 │ [CLS] [MASK]→cat
    """
    parts = []
    for piece in seen["pieces"][:places]:
        arrow = f"→{piece['target']}" if piece["target"] else ""
        parts.append(f"{piece['text']}{arrow}")
    more = " …" if len(seen["pieces"]) > places else ""
    return f"{seen['caption']} │ {' '.join(parts)}{more}"
