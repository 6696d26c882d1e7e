"""A project as TOML with a comment on every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from liju.config.sections import Project, Source, is_section

__all__ = ["documented", "toml"]


def documented(project: Project, only: Iterable[str] = ()) -> str:
    """The project as TOML with a comment on every key: what `liju new` writes and `liju check` prints.

    >>> print(documented(Project(), only=["serve"]))
    # Step 7: answer over HTTP.
    [serve]
    host = "127.0.0.1"         # address to listen on
    port = 8000                # port; 0 takes a free one
    max_characters = 20000     # longest text accepted in one request
    """
    blocks = []
    sections = [name for name, field in Project.model_fields.items() if is_section(field)]
    for name in list(only) or ["", *sections]:
        section: BaseModel = getattr(project, name) if name else project
        rows = []
        if name:
            rows += [f"# {(type(section).__doc__ or '').strip()}", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            if is_section(field):
                continue
            comment = " ".join((field.description or "").split())
            rows.append(f"{key} = {toml(getattr(section, key))}".ljust(26) + f" # {comment}")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def toml(value: Any) -> str:
    """A value as TOML.

    >>> toml([Source(path="a.txt"), Source(path="b", format="lines")])
    '["a.txt", { path = "b", format = "lines" }]'
    """
    if isinstance(value, Source):
        given = value.model_dump(exclude_defaults=True)
        return toml(value.path) if list(given) == ["path"] else toml(given)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # TOML's strings are JSON's, but for the character 127
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        items = [toml(item) for item in value]
        if sum(map(len, items)) > 60:
            return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    return repr(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)
