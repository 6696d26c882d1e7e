"""The report's sections about how well it went: scores, slices, the worst mistakes, right and wrong."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from liju.evaluate.columns import METRICS, Metric
from liju.evaluate.markup import cut, rows
from liju.evaluate.plot import Bar, bar_chart, calibration_plot, confusion_plot, whisker

if TYPE_CHECKING:
    from liju.evaluate.report import Example, Report, Sliced
    from liju.evaluate.slices import Slice

__all__ = ["examples_section", "mistakes_section", "scores_section", "slices_section"]


def scores_section(report: Report) -> str:
    """The table of systems, bars, the confusion matrix, each label, calibration."""
    table = report.scores
    if table is None:
        return ""
    html = f"<p>{escape(report.scores_note)}</p>" if report.scores_note else ""
    says = []
    if table.compares:
        says.append(f"Under each number: its difference to <b>{escape(table.main)}</b>.")
        says.append("Bold: the best of its column. ±: deviation over seeds.")
    apart = [escape(row.system) for row in table.rows if row.apart]
    if apart:
        says.append(f"On other examples, and so compared with none: <b>{', '.join(apart)}</b>.")
    if table.confidence is not None:
        says.append(f"“a to b”: {100 * table.confidence:g} % interval over examples (bootstrap).")
    if any(row.p_values for row in table.rows):
        says.append("p: how often chance alone makes such a difference.")
    html += f"<p class=small>{' '.join(says)}</p>" if says else ""
    html += f"<div class=wide tabindex=0>{table.html()}</div><div class=plots>"
    if table.rows and table.metrics:
        html += f"<figure>{_bars(report)}</figure>"
    tables = {"": report.confusion} if report.confusion is not None else {}
    for name, found in (tables | dict(report.confusions)).items():
        title = f"expected and answered{f', {name}' if name else ''}"
        html += f"<figure>{confusion_plot(found.labels, found.counts, title)}"
        often = [f"{right} as {got} ({count:,})" for right, got, count in found.commonest(5)]
        html += f"<figcaption>Commonest mistakes: {escape(', '.join(often))}</figcaption>" if often else ""
        html += "</figure>"
    sure = {"": report.calibration} if report.calibration is not None else {}
    for name, one in (sure | dict(report.calibrations)).items():
        title = f"calibration error {100 * one.error:.1f} %{f', {name}' if name else ''}"
        note = escape(report.calibration_note)
        html += f"<figure>{calibration_plot(one.bins, title)}"
        html += (f"<figcaption>{note}</figcaption>" if note else "") + "</figure>"
    html += "</div>"
    if report.labels:
        lines = [
            (
                score.label,
                *(f"{100 * share:.1f}" for share in (score.precision, score.recall, score.f1)),
                score.support,
            )
            for score in report.labels
        ]
        heads = ["label", "precision %", "recall %", "F1 %", "expected"]
        html += "<h3>Each label</h3>" + rows(heads, lines, right=(1, 2, 3))
    return html


def _bars(report: Report) -> str:
    table = report.scores
    assert table is not None
    metric, bars = table.columns[0], []
    for row in table.rows:
        own = table.spread(row.system, metric.name)
        if own is not None:
            interval = row.intervals.get(metric.name)
            ends = (interval.low * metric.scale, interval.high * metric.scale) if interval else ()
            bars.append(Bar(row.system, own.mean * metric.scale, own.deviation * metric.scale, *ends))
    return bar_chart(bars, metric.title, digits=metric.digits)


def slices_section(report: Report) -> str:
    """The metric on parts of the test set; systems that were cut alike stand side by side."""
    html = ""
    if report.slices:
        html += (
            "<p class=small>The bar is the interval of the slice, the line the whole test set. A slice whose "
            "interval leaves the line out differs; of twenty, one does so by chance.</p>"
        )
    groups: list[list[Sliced]] = []
    for one in report.slices:
        if groups and _cuts(groups[-1][0]) == _cuts(one):
            groups[-1].append(one)
        else:
            groups.append([one])
    return html + "".join(_slices(group) for group in groups)


def _cuts(one: Sliced) -> tuple:
    return (one.metric, *((part.by, part.name) for part in one.parts))


def _slices(group: list[Sliced]) -> str:
    metric = METRICS.get(group[0].metric) or Metric(group[0].metric, group[0].metric)
    ends = [
        end
        for one in group
        for part in (one.whole, *one.parts)
        for end in (part.value, *((part.interval.low, part.interval.high) if part.interval else ()))
        if end == end
    ]
    reach = (min(ends, default=0.0), max(ends, default=1.0))
    heads = "".join(
        f"<th class=number scope=col colspan=2>{escape(one.system or metric.title)}</th>" for one in group
    )
    title = f"<caption>{escape(metric.title)}</caption>" if group[0].system else ""
    body = ""
    by = ""
    for at, part in enumerate(group[0].parts):
        if part.by != by:
            by = part.by
            whole = "".join(_slice(one.whole, one, metric, reach, seen=by) for one in group)
            first = f"<th scope=row><b>by {escape(by)}</b></th><td class=number>{group[0].whole.count:,}</td>"
            body += f"<tr class=group>{first}{whole}</tr>"
        cells = "".join(_slice(one.parts[at], one, metric, reach) for one in group)
        name = f"<th scope=row>{cut(part.name) or '(none)'}</th><td class=number>{part.count:,}</td>"
        body += f"<tr>{name}{cells}</tr>"
    head = f"<tr><th scope=col>slice</th><th class=number scope=col>examples</th>{heads}</tr>"
    return (
        f"<div class=wide tabindex=0><table class=slices>{title}<thead>{head}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _slice(part: Slice, one: Sliced, metric: Metric, reach: tuple[float, float], seen: str = "") -> str:
    def shown(value: float) -> str:
        return f"{value * metric.scale:.{metric.digits}f}" if value == value else "–"

    low, high = (part.interval.low, part.interval.high) if part.interval else (float("nan"), float("nan"))
    between = f"<span class=interval>{shown(low)} to {shown(high)}</span>" if part.interval else ""
    differs = part.interval is not None and not low <= one.whole.value <= high
    says = f"{part.name or 'all'}: {shown(part.value)}"
    kind = "number differs" if differs and not seen else "number"
    picture = whisker(part.value, low, high, reach, one.whole.value, says)
    return f'<td class="{kind}">{shown(part.value)}{between}</td><td class=picture>{picture}</td>'


def mistakes_section(report: Report) -> str:
    """The worst mistakes, the worst first."""
    if not report.mistakes:
        return ""
    note = f"<p class=small>{escape(report.mistakes_note)}</p>" if report.mistakes_note else ""
    return note + f"<ul class=examples>{''.join(_example(one, 'wrong') for one in report.mistakes)}</ul>"


def _example(example: Example, kind: str) -> str:
    text = cut(example.text) + (f"<hr>{cut(example.pair)}" if example.pair else "")
    score = f" <small>{100 * example.score:.0f} %</small>" if example.score is not None else ""
    answer = "".join(
        f"<span>{cut(name)} <b>{cut(given)}</b></span>" for name, given in example.answers.items()
    )
    answer = answer or f"<span>answered <b>{cut(example.answered)}</b>{score}</span>"
    if not example.right:
        answer += f"<span>expected <b>{cut(example.expected)}</b></span>"
    aside = "".join(f"<small>{escape(part)}</small>" for part in (example.note, example.place) if part)
    return f'<li class="{kind}"><blockquote>{text}</blockquote><p class=answer>{answer}{aside}</p></li>'


def examples_section(report: Report) -> str:
    """Wrong, right, and neither."""
    groups: list[tuple[str, list[Example]]] = [
        ("Wrong", [example for example in report.examples if example.right is False]),
        ("Right", [example for example in report.examples if example.right]),
        ("Answers", [example for example in report.examples if example.right is None]),
    ]
    html = ""
    for name, group in groups:
        if not group:
            continue
        items = "".join(_example(example, name.lower()) for example in group)
        html += (f"<h3>{name}</h3>" if name != "Answers" else "") + f"<ul class=examples>{items}</ul>"
    return html
