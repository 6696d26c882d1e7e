"""The HTML of the report: one function a section. Everything that came from data passes through `escape`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from liju.evaluate.plot import STYLE, Bar, bar_chart, confusion_plot, line_plot

if TYPE_CHECKING:
    from liju.evaluate.report import Example, Piece, Report

__all__ = ["page", "pieces", "rows"]

# The page may load nothing at all: the browser itself refuses what a mistake here would let in.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# A report is read by people: a very long text is cut, and says so.
LONGEST = 600


def page(report: Report) -> str:
    """The whole page.

    >>> from liju.evaluate.report import Report
    >>> page(Report("first", next_commands=["liju serve runs/first"])).count("<section")
    1
    """
    parts = [(name, key, make(report)) for name, key, make in SECTIONS]
    parts = [(name, key, html) for name, key, html in parts if html]
    links = "".join(f'<a href="#{key}">{name}</a>' for name, key, _ in parts)
    body = "".join(f'<section id="{key}"><h2>{name}</h2>{html}</section>' for name, key, html in parts)
    cards = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in report.headline.items()
    )
    style = files("liju.evaluate").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(report.title)} · liju</title><style>{style}{STYLE}</style></head><body>"
        f"<header><p class=brand>liju 例句</p><h1>{escape(report.title)}</h1>"
        + (f"<p class=lead>{escape(report.lead)}</p>" if report.lead else "")
        + (f"<dl class=cards>{cards}</dl>" if cards else "")
        + (f'<nav aria-label="Sections">{links}</nav>' if len(parts) > 1 else "")
        + f"</header><main>{body}</main></body></html>\n"
    )


def rows(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; numbers are set to the right.

    >>> "<td>too short</td><td class=number>1,200</td>" in rows(["why", "documents"], [("too short", 1200)])
    True
    """
    lines = [list(line) for line in lines]
    numeric = [
        bool(lines) and all(isinstance(line[at], int | float) for line in lines) for at in range(len(heads))
    ]
    kind = [" class=number" if flag else "" for flag in numeric]
    head = "".join(f"<th scope=col{kind[at]}>{escape(name)}</th>" for at, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind[at]}>{_value(value)}</td>" for at, value in enumerate(line)) + "</tr>"
        for line in lines
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def pieces(tokens: Iterable[Piece]) -> str:
    """Tokens side by side; masks, special tokens and token types can be told apart without colour.

    >>> from liju.evaluate.report import Piece
    >>> pieces([Piece("[MASK]", "mask", target="猫")])
    '<p class=pieces><span class="piece mask">[MASK]<i>猫</i></span></p>'
    """
    out = []
    for token in tokens:
        kind = " ".join(filter(None, ["piece", token.kind, f"type{token.type}" if token.type else ""]))
        target = f"<i>{escape(_visible(token.target))}</i>" if token.target else ""
        out.append(f'<span class="{escape(kind)}">{escape(_visible(token.text))}{target}</span>')
    return f"<p class=pieces>{''.join(out)}</p>"


def _visible(token: str) -> str:
    """White space as something that can be seen."""
    return token.replace(" ", "·").replace("\n", "↵").replace("\t", "→") or "∅"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(f"{value:,.4g}" if isinstance(value, float) else str(value))


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return escape(text)
    return f"{escape(text[:LONGEST])}<span class=cut>… {len(text) - LONGEST:,} more characters</span>"


def _pairs(items: Iterable[tuple[str, object]]) -> str:
    lines = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{_value(value)}</dd></div>" for name, value in items
    )
    return f"<dl class=pairs>{lines}</dl>" if lines else ""


def _run(report: Report) -> str:
    html = _pairs(report.facts.items())
    if report.config:
        html += (
            "<details><summary>The resolved project file</summary>"
            f"<pre><code>{escape(report.config)}</code></pre></details>"
        )
    return html


def _text(report: Report) -> str:
    story = report.text
    if story is None:
        return ""
    read = story.kept + story.held_out + sum(story.dropped.values())
    html = (
        f"<p>{read:,} documents were read. {story.kept:,} are trained on, {story.held_out:,} are held out, "
        f"{sum(story.dropped.values()):,} were dropped."
        + (f" {story.characters:,} characters are left." if story.characters else "")
        + "</p>"
    )
    if story.dropped or story.changed:
        html += "<div class=columns>"
        if story.dropped:
            html += "<div>" + rows(["dropped because", "documents"], _most(story.dropped)) + "</div>"
        if story.changed:
            html += "<div>" + rows(["changed", "documents"], _most(story.changed)) + "</div>"
        html += "</div>"
    if story.sources:
        html += "<h3>Sources</h3>" + rows(
            ["source", "language", "kept", "dropped", "characters", "licence"],
            [(s.name, s.language, s.kept, s.dropped, s.characters, s.licence) for s in story.sources],
        )
    return html


def _most(counts) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _vocab(report: Report) -> str:
    from liju.evaluate.report import Piece

    story = report.vocab
    if story is None:
        return ""
    items: list[tuple[str, object]] = [("kind", story.kind), ("tokens", story.size)]
    if story.characters_per_token is not None:
        items.append(("characters per token", round(story.characters_per_token, 2)))
    html = _pairs(items)
    if story.cut:
        html += "<h3>Texts cut into tokens</h3>" + "".join(pieces(map(Piece, cut)) for cut in story.cut)
    if story.tokens:
        html += "<h3>Some of the tokens</h3>" + pieces(map(Piece, story.tokens))
    return html


def _model(report: Report) -> str:
    return _pairs(report.model.items())


def _curves(report: Report) -> str:
    plots = [line_plot(curve.series, curve.title, curve.x_label, curve.y_label) for curve in report.curves]
    return f"<div class=plots>{''.join(f'<figure>{plot}</figure>' for plot in plots)}</div>" if plots else ""


def _scores(report: Report) -> str:
    table = report.scores
    if table is None:
        return ""
    html = f"<p>{escape(report.scores_note)}</p>" if report.scores_note else ""
    if table.compares:
        html += (
            f"<p class=small>Under each number: its difference to <b>{escape(table.main)}</b>. "
            "Bold: the best of its column. ±: deviation over seeds.</p>"
        )
    html += f"<div class=wide tabindex=0>{table.html()}</div><div class=plots>"
    if table.rows and table.metrics:
        metric = table.columns[0]
        bars = []
        for row in table.rows:
            own = table.spread(row.system, metric.name)
            if own is not None:
                bars.append(Bar(row.system, own.mean * metric.scale, own.deviation * metric.scale))
        html += f"<figure>{bar_chart(bars, metric.title, digits=metric.digits)}</figure>"
    if report.confusion is not None:
        table_of = report.confusion
        html += (
            f"<figure>{confusion_plot(table_of.labels, table_of.counts, 'expected and answered')}</figure>"
        )
    return html + "</div>"


def _example(example: Example, kind: str) -> str:
    text = _cut(example.text) + (f"<hr>{_cut(example.pair)}" if example.pair else "")
    score = f" <small>{100 * example.score:.0f} %</small>" if example.score is not None else ""
    answer = f"<span>answered <b>{_cut(example.answered)}</b>{score}</span>"
    if not example.right:
        answer += f"<span>expected <b>{_cut(example.expected)}</b></span>"
    return f'<li class="{kind}"><blockquote>{text}</blockquote><p class=answer>{answer}</p></li>'


def _examples(report: Report) -> str:
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


def _seen(report: Report) -> str:
    from liju.evaluate.report import Piece

    if not report.seen:
        return ""
    key = [
        Piece("special", "special"),
        Piece("hidden", "mask", target="target"),
        Piece("replaced", "changed", target="target"),
        Piece("second", type=1),
    ]
    return f"<div class=key>{pieces(key)}</div>" + "".join(
        f"<h3>{escape(one.caption)}</h3>{pieces(one.pieces)}" for one in report.seen
    )


def _generated(report: Report) -> str:
    items = ""
    for one in report.generated:
        step = f"<small>step {one.step:,}</small>" if one.step is not None else ""
        prompt = f"<b>{_cut(one.prompt)}</b>" if one.prompt else ""
        items += f"<li>{step}<blockquote>{prompt}{_cut(one.text)}</blockquote></li>"
    return f"<ul class=examples>{items}</ul>" if items else ""


def _laws(report: Report) -> str:
    words = {True: ("✓", "holds"), False: ("✗", "broken"), None: ("–", "not checked")}
    html = ""
    for law in report.laws:
        sign, word = words[law.holds]
        detail = f": {escape(law.detail)}" if law.detail else ""
        kind = word.replace(" ", "-")
        html += f'<li class="{kind}"><b>{sign} {escape(law.name)}</b> <span>{word}{detail}</span></li>'
    html = f"<ul class=laws>{html}</ul>" if html else ""
    return html + _pairs(report.provenance.items())


def _next(report: Report) -> str:
    if not report.next_commands:
        return ""
    return f"<pre><code>{escape(chr(10).join(report.next_commands))}</code></pre>"


SECTIONS: list[tuple[str, str, Callable[[Report], str]]] = [
    ("What was run", "run", _run),
    ("Text", "text", _text),
    ("Vocabulary", "vocabulary", _vocab),
    ("Model", "model", _model),
    ("Curves", "curves", _curves),
    ("Scores", "scores", _scores),
    ("Right and wrong", "examples", _examples),
    ("As the model sees it", "seen", _seen),
    ("What it writes", "generated", _generated),
    ("Laws and provenance", "laws", _laws),
    ("Next", "next", _next),
]
