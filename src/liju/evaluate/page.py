"""The HTML of the report: one function a section. Everything that came from data passes through `escape`."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from liju.evaluate.markup import cut, most, pairs, pieces, rows
from liju.evaluate.page_scores import examples_section, mistakes_section, scores_section, slices_section
from liju.evaluate.plot import STYLE, line_plot

if TYPE_CHECKING:
    from liju.evaluate.report import Report

__all__ = ["SECTIONS", "page"]

# The page may load nothing at all: the browser itself refuses what a mistake here would let in.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


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


def _run(report: Report) -> str:
    html = pairs(report.facts.items())
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
            html += "<div>" + rows(["dropped because", "documents"], most(story.dropped)) + "</div>"
        if story.changed:
            html += "<div>" + rows(["changed", "documents"], most(story.changed)) + "</div>"
        html += "</div>"
    if story.sources:
        html += "<h3>Sources</h3>" + rows(
            ["source", "language", "kept", "dropped", "characters", "licence"],
            [(s.name, s.language, s.kept, s.dropped, s.characters, s.licence) for s in story.sources],
        )
    return html


def _vocab(report: Report) -> str:
    from liju.evaluate.report import Piece

    story = report.vocab
    if story is None:
        return ""
    items: list[tuple[str, object]] = [("kind", story.kind), ("tokens", story.size)]
    if story.characters_per_token is not None:
        items.append(("characters per token", round(story.characters_per_token, 2)))
    html = pairs(items)
    if story.cut:
        html += "<h3>Texts cut into tokens</h3>" + "".join(pieces(map(Piece, cut)) for cut in story.cut)
    if story.tokens:
        html += "<h3>Some of the tokens</h3>" + pieces(map(Piece, story.tokens))
    return html


def _model(report: Report) -> str:
    return pairs(report.model.items())


def _trained_on(report: Report) -> str:
    if not report.trained_on:
        return ""
    lines = [(one.stage, one.what, one.amount, one.note) for one in report.trained_on]
    return rows(["stage", "trained on", "how much", "note"], lines)


def _inspected(report: Report) -> str:
    return "".join(
        f"<h3>{escape(one.title)}</h3>"
        + (f"<p>{escape(one.note)}</p>" if one.note else "")
        + (rows(list(one.columns), [list(row) for row in one.rows]) if one.rows else "")
        for one in report.inspected
    )


def _curves(report: Report) -> str:
    plots = [line_plot(curve.series, curve.title, curve.x_label, curve.y_label) for curve in report.curves]
    return f"<div class=plots>{''.join(f'<figure>{plot}</figure>' for plot in plots)}</div>" if plots else ""


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
        prompt = f"<b>{cut(one.prompt)}</b>" if one.prompt else ""
        items += f"<li>{step}<blockquote>{prompt}{cut(one.text)}</blockquote></li>"
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
    return html + pairs(report.provenance.items())


def _next(report: Report) -> str:
    if not report.next_commands:
        return ""
    return f"<pre><code>{escape(chr(10).join(report.next_commands))}</code></pre>"


SECTIONS: list[tuple[str, str, Callable[[Report], str]]] = [
    ("What was run", "run", _run),
    ("Text", "text", _text),
    ("Vocabulary", "vocabulary", _vocab),
    ("Model", "model", _model),
    ("Trained on", "trained-on", _trained_on),
    ("Labelled examples", "labelled", _inspected),
    ("Curves", "curves", _curves),
    ("Scores", "scores", scores_section),
    ("Slices", "slices", slices_section),
    ("The worst mistakes", "mistakes", mistakes_section),
    ("Right and wrong", "examples", examples_section),
    ("As the model sees it", "seen", _seen),
    ("What it writes", "generated", _generated),
    ("Laws and provenance", "laws", _laws),
    ("Next", "next", _next),
]
