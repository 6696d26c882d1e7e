"""The prose in Python source: docstrings and long string literals."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator

__all__ = ["docstrings"]

_WORDS = re.compile(r"[^\W\d_]{2,}")
# A literal that is no docstring counts as prose from this many characters and words on.
_LONG, _MANY = 200, 25


def docstrings(source: bytes | str) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring, and of every long string literal that is mostly words, in order.

    Raises SyntaxError and ValueError for what is not Python.

    >>> list(docstrings('def f():\\n    \"\"\"Add one.\\n\\n    Slowly.\\n    \"\"\"'))
    [(2, 'Add one.\\n\\nSlowly.')]
    """
    with warnings.catch_warnings():
        # An invalid escape in somebody's file is not our user's concern.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    documented = set()
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            literal = first.value if isinstance(first, ast.Expr) else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                documented.add(id(literal))
                found.append((literal.lineno, inspect.cleandoc(literal.value)))
    inside = {
        id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) >= _LONG:
            if id(node) in documented or id(node) in inside:
                continue
            words = _WORDS.findall(node.value)
            if len(words) >= _MANY and sum(map(len, words)) >= 0.5 * len(node.value):
                found.append((node.lineno, inspect.cleandoc(node.value)))
    yield from sorted(found, key=lambda item: item[0])
