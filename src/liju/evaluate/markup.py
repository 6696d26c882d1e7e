"""What the report's sections are made of. Everything that came from data passes through `escape`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liju.evaluate.report import Piece

__all__ = ["cut", "most", "pairs", "pieces", "rows"]

# A report is read by people: a very long text is cut, and says so.
LONGEST = 600


def rows(heads: Sequence[str], lines: Iterable[Sequence[object]], right: Sequence[int] = ()) -> str:
    """A table; numbers, and the columns `right`, are set to the right.

    >>> "<td>too short</td><td class=number>1,200</td>" in rows(["why", "documents"], [("too short", 1200)])
    True
    """
    lines = [list(line) for line in lines]
    numeric = [
        at in right or (bool(lines) and all(isinstance(line[at], int | float) for line in lines))
        for at in range(len(heads))
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


def cut(text: str) -> str:
    """The text, or its beginning and how much is left out."""
    if len(text) <= LONGEST:
        return escape(text)
    return f"{escape(text[:LONGEST])}<span class=cut>… {len(text) - LONGEST:,} more characters</span>"


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Names and values side by side."""
    lines = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{_value(value)}</dd></div>" for name, value in items
    )
    return f"<dl class=pairs>{lines}</dl>" if lines else ""


def most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The counts, the largest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
