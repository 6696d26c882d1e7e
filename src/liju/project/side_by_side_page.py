"""The page of models side by side: `report.html` of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from liju.errors import RequestError
from liju.evaluate import Example as Shown
from liju.evaluate import Report, Sliced, TrainedOn, confusion, write_report
from liju.project.measuring import calibration_of, metric_named, mistakes_of, shown, sliced
from liju.project.story_examples import left_out

if TYPE_CHECKING:
    from liju.project.side_by_side import Comparison, Pair, System

__all__ = ["write_comparison"]

LISTED = 100  # problems on the page


def write_comparison(path: Path, found: Comparison, data: str) -> Path:
    """Write the page and give back its path.

    Raises RequestError rather than overwrite a file that is no report of liju's.
    """
    if path.exists() and b"liju" not in path.read_bytes()[:20_000]:
        raise RequestError(f"{path}: something else is here", hint="--out another.html")
    names = [system.name for system in found.systems]
    says, mistakes = _differing(found)
    page = Report(
        title=" beside ".join(names),
        lead=f"{found.task} on {len(found.examples):,} examples of {data}. Nothing was trained for this."
        + (f" Note: {'; '.join(found.notes)}." if found.notes else ""),
        scores=found.table,
        scores_note=" ".join(_sentence(one) for one in found.pairs if one.metric == found.pairs[0].metric),
        slices=[
            Sliced(metric, all_of_them, parts, system.name if len(names) > 1 else "")
            for system in found.systems
            for metric, all_of_them, parts in sliced(system.measures, found.examples)
        ],
        mistakes=[Shown(**row) for row in mistakes],
        mistakes_note=says,
        trained_on=[one for system in found.systems for one in _trained_on(system)],
        inspected=left_out(
            {
                "dropped": found.left_out,
                "problems": found.problems[:LISTED],
                "problem_count": len(found.problems),
            }
        ),
        facts={
            "data": data,
            "examples": f"{len(found.examples):,}",
            "left out": ", ".join(f"{count:,} {why}" for why, count in found.left_out.items()) or "nothing",
        },
    )
    sure = {one.name: calibration_of(one.model._task, one.answers, found.examples) for one in found.systems}
    page.calibrations = {name: error for name, (error, _) in sure.items() if error is not None}
    page.calibration_note = next(iter(sure.values()))[1]
    labels = found.systems[0].model._task.describe().get("labels", [])
    if found.task == "classification" and len(labels) <= 30:
        want = [example["label"] for example in found.examples]
        page.confusions = {
            system.name: confusion([answer["label"] for answer in system.answers], want, labels)
            for system in found.systems
        }
    return write_report(path, page)


def _sentence(pair: Pair) -> str:
    metric = metric_named(pair.metric)
    low, difference, high = (
        f"{value * metric.scale:+.{metric.digits}f}" for value in (pair.low, pair.difference, pair.high)
    )
    return (
        f"{pair.second} beside {pair.first}: {difference} {metric.title} (95 % interval {low} to {high}; "
        f"p {pair.randomisation:.2g} by approximate randomisation, {pair.bootstrap:.2g} by paired bootstrap"
        + (f", {pair.right.p_value:.2g} by McNemar's test" if pair.right else "")
        + ")."
    )


def _differing(found: Comparison, most: int = 12) -> tuple[str, list[dict[str, Any]]]:
    """The worst mistakes of one system; of several, the examples on which they differ most."""
    first = found.systems[0]
    if len(found.systems) == 1 or not first.measures:
        return mistakes_of(first.model._task, first.answers, found.examples, first.measures, most)
    name = "chrf" if "chrf" in first.measures else next(iter(first.measures))
    each = [system.measures[name].each for system in found.systems]
    gaps = [max(row) - min(row) for row in zip(*each, strict=True)]
    # Of equal gaps first the one that somebody was surest of.
    sure = [
        max(float(system.answers[at].get("score") or 0) for system in found.systems)
        for at in range(len(gaps))
    ]
    order = sorted((at for at in range(len(gaps)) if gaps[at] > 0), key=lambda at: (-gaps[at], -sure[at]))
    rows_of = []
    for at in order[:most]:
        given = {
            system.name: str(system.answers[at].get("label", system.answers[at].get("text", "")))
            for system in found.systems
        }
        row = shown({}, found.examples[at], None)
        rows_of.append({**row, "answers": given})
    return f"The examples on which they differ most, by {metric_named(name).title}.", rows_of


def _trained_on(system: System) -> list[TrainedOn]:
    """What a bundle says about its training."""
    known = system.model.bundle.provenance
    sources = ", ".join(known.get("sources", [])) or "not told by this model folder"
    amount = f"{known['documents']:,} documents" if isinstance(known.get("documents"), int) else ""
    steps = known.get("steps", {})
    note = ", ".join(f"{name} {key}" for name, key in steps.items()) if isinstance(steps, dict) else ""
    return [TrainedOn(system.name, sources, amount, note)]
