"""The page at `/`: write a text, see the answer. One file, no asset, no network but this server."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["POLICY", "page"]

# Nothing is loaded, and the only one that the script may speak to is this server.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def page() -> str:
    """The page as HTML, the same for every task: its script asks the server what it serves.

    >>> "<textarea" in page()
    True
    """
    return files("liju.serve").joinpath("page.html").read_text(encoding="utf-8")
