"""`report.html` from what the steps have left in a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from liju.config import documented
from liju.evaluate import (
    Calibration,
    Curve,
    Example,
    Generated,
    Law,
    Piece,
    Report,
    ScoreTable,
    Seen,
    Series,
    Slice,
    Sliced,
    SourceStory,
    TextStory,
    TrainedOn,
    VocabStory,
    confusion,
    label_scores,
    write_report,
)
from liju.project.directory import Done, Run
from liju.project.story_examples import examples_story
from liju.train.live import parts_of

__all__ = ["write_story"]

LAWS = {
    "1": "packed = unpacked",
    "2": "accumulated = whole",
    "4": "cached = uncached",
    "7": "exported = native",
}


def write_story(run: Run) -> Path:
    """Write the report of everything that is up to date in this run."""
    project = run.project
    found = {step.name: run.done[step.name] for step in run.steps if step.name in run.done}
    report = Report(
        title=project.name,
        lead=f"{project.model.family}, {project.pretrain.objective} pre-training"
        + (f", fine-tuned for {project.finetune.task}" if project.finetune.task else ""),
        config=documented(project),
    )
    if "text" in found:
        report.text = _text(found["text"].summary)
    if "vocab" in found:
        summary = found["vocab"].summary
        report.vocab = VocabStory(
            summary["kind"], summary["size"], summary["characters_per_token"], summary["cut"], summary["some"]
        )
    curves: list[Curve] = []
    if "pretrain" in found:
        summary = found["pretrain"].summary
        folder = found["pretrain"].folder
        curves += _curves(folder, "pre-training")
        report.model = {
            "parameters": f"{summary['parameters']:,}",
            "family": project.model.family,
            "d_model": project.model.d_model,
            "layers": project.model.num_layers,
            "heads": project.model.num_heads,
            "longest sample": f"{project.model.max_length} tokens",
            "precision": summary["precision"],
            "tokens a second": f"{summary['tokens_per_second']:,.0f}",
        }
        if (folder / "profile.json").exists():
            report.model |= {"time of a step": _time(folder / "profile.json")}
        report.seen = [
            Seen(seen["caption"], [Piece(**piece) for piece in seen["pieces"]])
            for seen in summary["samples_seen"]
        ]
        report.generated = [
            Generated(row["text"], step=row["step"]) for row in _lines(folder / "samples.jsonl")[-6:]
        ]
        report.headline = {"parameters": f"{summary['parameters']:,}"}
        if "bits_per_byte" in summary.get("held_out", {}):
            report.headline |= {"bits per byte": f"{summary['held_out']['bits_per_byte']:.3f}"}
    if "finetune" in found:
        curves += _curves(found["finetune"].folder, "fine-tuning")
        tuned = found["finetune"].summary
        report.inspected = examples_story(tuned)
    report.curves = curves
    if "evaluate" in found:
        summary = found["evaluate"].summary
        report.scores = ScoreTable.from_dict(summary["table"])
        whole = "Every system" + (" but one" if any(row.apart for row in report.scores.rows) else "")
        report.scores_note = (
            f"{whole} saw the same training examples and is scored on the same held-out ones."
        )
        mistakes = summary.get("mistakes", {"says": "", "rows": []})
        report.mistakes = [Example(**row) for row in mistakes["rows"]]
        report.mistakes_note = mistakes["says"]
        report.examples = [
            Example(**row) for row in summary["examples"] if row["right"] is not False or not report.mistakes
        ]
        report.slices = [
            Sliced(
                one["metric"],
                Slice.from_dict(one["whole"]),
                [Slice.from_dict(part) for part in one["parts"]],
            )
            for one in summary.get("slices", [])
        ]
        report.headline = {**report.headline, **_headline(report.scores, summary["metric"])}
        answers = _lines(found["evaluate"].folder / "answers.jsonl")
        if summary["task"] == "multilabel":
            expected = [json.loads(row["labels"]) for row in answers]
            report.labels = label_scores([row["answer"]["labels"] for row in answers], expected)
        if summary["task"] == "classification":
            got, want = [row["answer"]["label"] for row in answers], [row["label"] for row in answers]
            if len(summary["labels"]) <= 30:
                report.confusion = confusion(got, want, summary["labels"])
            report.labels = label_scores(got, want)
        if summary.get("calibration"):
            report.calibration = Calibration.from_dict(summary["calibration"])
            report.calibration_note = summary["calibration"]["note"]
    report.trained_on = _trained_on(run, found)
    last = "finetune" if "finetune" in found else "pretrain"
    if last in found:
        record = json.loads((found[last].folder / "bundle" / "liju.json").read_text(encoding="utf-8"))
        laws = record["report"].get("laws", {})
        report.laws = [
            Law(
                f"{number}. {name}",
                laws[number]["holds"],
                f"largest difference {laws[number]['difference']:.1e}, bound {laws[number]['bound']:.0e}",
            )
            for number, name in LAWS.items()
            if number in laws
        ]
        report.provenance = {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
            for key, value in record["provenance"].items()
        }
    environment = found[last].folder / "environment.json" if last in found else None
    if environment is not None and environment.exists():
        session = json.loads(environment.read_text(encoding="utf-8"))[-1]
        report.facts = {key: str(value) for key, value in session.items() if isinstance(value, str | int)}
        report.facts |= {key: str(value) for key, value in session["versions"].items()}
    where = Path(project.out) / project.name
    report.next_commands = [f'liju predict {where} "..."', f"liju serve {where}"]
    return write_report(run.folder / "report.html", report)


def _trained_on(run: Run, found: dict[str, Done]) -> list[TrainedOn]:
    """What each stage of training saw, and what it did not."""
    stages = []
    if "pretrain" in found and "text" in found:
        text, trained = found["text"].summary, found["pretrain"].summary
        held = found["samples"].summary.get("left_out") if "samples" in found else None
        stages.append(
            TrainedOn(
                f"pre-training ({run.project.pretrain.objective})",
                f"{text['train']:,} documents of {', '.join(row['source'] for row in text['sources'])}",
                f"{trained['steps']:,} steps, {trained['tokens']:,} tokens",
                f"{held:,} evaluation examples left out" if held else "no evaluation example is among them",
            )
        )
    if "finetune" in found:
        tuned = found["finetune"].summary
        examples = tuned["examples"]
        dropped = ", ".join(f"{count:,} {why}" for why, count in examples["dropped"].items() if count)
        stages.append(
            TrainedOn(
                f"fine-tuning ({run.project.finetune.task})",
                f"{examples['train']:,} labelled examples of "
                + ", ".join(source.path for source in run.project.finetune.train),
                f"{tuned['steps']:,} steps, {tuned['tokens']:,} tokens",
                f"left out: {dropped}" if dropped else "",
            )
        )
        stages.append(TrainedOn("held out", f"{examples['test']:,} labelled examples", "never trained on"))
    return stages


def _headline(table: ScoreTable, metric: str) -> dict[str, str]:
    column = next(column for column in table.columns if column.name == metric)
    shown = {row.system: table.cell(row, column).value for row in table.rows}
    return {
        f"{column.title}{'' if row == table.main else f', {row}'}": shown[row]
        for row in (table.main, "from scratch")
        if row in shown
    }


def _text(summary: dict[str, Any]) -> TextStory:
    return TextStory(
        kept=summary["train"],
        held_out=summary["held_out"],
        characters=sum(summary["characters"].values()),
        dropped={**summary["dropped"], **summary["files_skipped"]},
        changed=summary["changed"],
        sources=[
            SourceStory(
                row["source"],
                row["kept"],
                sum(row["dropped"].values()),
                sum(row["characters"].values()),
                ", ".join(sorted(row["characters"], key=row["characters"].get, reverse=True)),
            )
            for row in summary["sources"]
        ],
    )


def _curves(folder: Path, title: str) -> list[Curve]:
    lines = _lines(folder / "metrics.jsonl")
    steps = [line for line in lines if "loss" in line]
    if not steps:
        return []
    series = [Series("training", [line["step"] for line in steps], _smooth([line["loss"] for line in steps]))]
    looks = [line for line in lines if "evaluation" in line]
    if looks and all("loss" in look["evaluation"] for look in looks):
        series.append(
            Series(
                "held-out", [look["step"] for look in looks], [look["evaluation"]["loss"] for look in looks]
            )
        )
    return [Curve(f"Loss while {title}", series), *_parts(looks)]


def _time(path: Path) -> str:
    """Where a step's time went, the most first."""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = sorted(found["parts"].items(), key=lambda row: -row[1]["ms"])
    shares = ", ".join(f"{name} {100 * row['share']:.0f} %" for name, row in rows)
    return f"{found['step_ms']:,.1f} ms: {shares}"


def _parts(looks: list[dict[str, Any]]) -> list[Curve]:
    """Held-out losses by language and by source, where there are several."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for look in looks:
        for kind, losses in parts_of(look["evaluation"])[1].items():
            for name, loss in losses.items():
                found.setdefault(kind, {}).setdefault(name, []).append((look["step"], loss))
    return [
        Curve(
            f"Held-out loss by {kind}",
            [Series(name, [s for s, _ in line], [x for _, x in line]) for name, line in lines.items()],
        )
        for kind, lines in found.items()
    ]


def _smooth(values: list[float], share: float = 0.02) -> list[float]:
    """A running mean over a fiftieth of the curve, so that its course is seen and not its noise."""
    width = max(1, round(len(values) * share))
    return [
        sum(values[max(0, i - width + 1) : i + 1]) / (i + 1 - max(0, i - width + 1))
        for i in range(len(values))
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
