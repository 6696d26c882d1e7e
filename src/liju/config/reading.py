"""From a file and overrides to a Project, or to every mistake at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from liju.config.lines import Keys, key_lines
from liju.config.rules import Problem, combinations, without_effect
from liju.config.sections import Project, Source, is_section
from liju.errors import ConfigError, did_you_mean

__all__ = ["Check", "Follow", "parse", "read"]

# What a later step finds wrong with a project whose every value is fine alone.
Check = Callable[[Project], Iterable[Problem]]
# What a later step knows of the keys that a file leaves out: from the file's tables to more of them.
Follow = Callable[[dict[str, Any]], dict[str, Any]]

COMMAND_LINE = 0  # the "line" of an override


def read(
    path: str | Path,
    overrides: Sequence[str] = (),
    checks: Iterable[Check] = (),
    follow: Follow | None = None,
) -> Project:
    """The project file at `path`, with `section.key=value` overrides, which always win.

    `checks` add problems of later steps (a model's sizes) to the same report. `follow` fills in keys that
    nobody gave (of a preset).
    Raises ConfigError with every problem, each with file and line.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "liju.toml"
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file", hint="liju new DIR writes one that runs as it is"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return parse(text, overrides, checks, name=str(path), follow=follow)


def parse(
    text: str,
    overrides: Sequence[str] = (),
    checks: Iterable[Check] = (),
    name: str = "liju.toml",
    follow: Follow | None = None,
) -> Project:
    """The same as `read`, from a string.

    >>> parse('name = "a"', ["pretrain.steps=7", "name=b"]).pretrain.steps
    7
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        where = f"{name}:{found[1] if found else len(text.splitlines()) or 1}"
        problem = (where, f"not TOML: {error}", "")
        raise ConfigError(f"{where}: not TOML: {error}", problems=[problem]) from None
    lines = key_lines(text)
    problems = list(_override(tree, overrides, lines))
    tree = tree if follow is None else follow(tree)
    project, wrong = None, set[str]()
    for _ in range(8):  # without what is wrong the rest can still be checked
        try:
            project = Project.model_validate(tree)
            break
        except ValidationError as error:
            for detail in error.errors():
                problem, suggested = _problem(detail)
                problems.append(problem)
                wrong |= {problem[0], suggested}
                _remove(tree, detail["loc"])
    while project is not None and (idle := _made_idle(project, lines)):
        for keys in idle:
            _remove(tree, keys)
            lines[keys] = COMMAND_LINE  # as if it were taken away there
        project = Project.model_validate(tree)
    if project is not None:
        for problem, about in combinations(project):
            if not any(_touches(key, wrong) for key in (problem[0], *about)):
                problems.append(problem)
        for check in checks:
            problems += [problem for problem in check(project) if not _touches(problem[0], wrong)]
    if problems or project is None:
        raise _report(problems, lines, name)
    return project


def _made_idle(project: Project, lines: dict[Keys, int]) -> list[Keys]:
    """Keys of the file that an override leaves without effect: to try `finetune.optimizer=adamw` takes one
    override, not another one for the rate of the optimizer that the file had."""
    found = []
    for (key, *_), about in without_effect(project):
        by_override = any(lines.get(tuple(other.split("."))) == COMMAND_LINE for other in about)
        keys = tuple(key.split("."))
        if by_override and lines.get(keys) != COMMAND_LINE and key != "finetune.trainable":
            found.append(keys)
    return found


def _override(tree: dict[str, Any], overrides: Sequence[str], lines: dict[Keys, int]) -> Iterator[Problem]:
    for override in overrides:
        key, equals, value = override.partition("=")
        key = key.strip()
        keys = tuple(part.strip() for part in key.split("."))
        for size in range(1, len(keys)):
            lines.setdefault(keys[:size], COMMAND_LINE)
        lines[keys] = COMMAND_LINE
        if not equals or not all(keys):
            yield key, "an override is section.key=value", ""
            continue
        branch: Any = tree
        for part in keys[:-1]:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                yield key, f"{part!r} is not a section", "an override replaces a whole value: key=value"
                break
        else:
            branch[keys[-1]] = _value(value, keys)
            for below in [other for other in lines if other[: len(keys)] == keys]:
                lines[below] = COMMAND_LINE


def _value(text: str, keys: Keys) -> Any:
    """A TOML value, or the text itself where it is not one or a text is wanted: `name=first` needs no quotes.

    >>> _value("7", ("pretrain", "steps")), _value("7", ("name",)), _value('"7"', ("name",))
    (7, '7', '7')
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    section: Any = Project
    for part in keys[:-1]:
        section = getattr(section.model_fields.get(part), "annotation", None)
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return value
    field = section.model_fields.get(keys[-1])
    wants_text = field is not None and (field.annotation is str or isinstance(_first(field), str))
    return text if wants_text and not isinstance(value, str) else value


def _first(field: Any) -> Any:
    """The first of the values that a field allows, where they are listed."""
    return next(iter(get_args(field.annotation)), None)


def _remove(tree: dict[str, Any], place: Sequence[str | int]) -> None:
    """Take away a wrong value; of a list, the whole list, so that its other items keep their numbers."""
    branch: Any = tree
    for i, part in enumerate(place):
        last = i == len(place) - 1 or not isinstance(branch.get(part), dict)
        if last:
            branch.pop(part, None)
            return
        branch = branch[part]


def _touches(key: str, wrong: Iterable[str]) -> bool:
    """Whether a key is wrong itself, or a part of it, or it is a part of what is wrong."""
    return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in wrong)


KINDS = {
    "int": "a whole number is needed",
    "float": "a number is needed",
    "string": "a text in quotes is needed",
    "bool": "true or false is needed",
    "list": "a list is needed",
    "dict": "a table is needed",
    "model": "a section or table is needed",
}


def _problem(detail: Any) -> tuple[Problem, str]:
    """One pydantic error in our words, and the key that was perhaps meant."""
    keys = [str(part) for part in detail["loc"]]
    dotted, given, kind = ".".join(keys), detail.get("input"), detail["type"]
    if kind == "extra_forbidden":
        known = list(_section_of(keys[:-1]).model_fields)
        meant = did_you_mean(keys[-1], known)
        hint = meant or _elsewhere(keys) or f"known: {', '.join(known)}"
        suggested = ".".join([*keys[:-1], meant.split("'")[1]]) if meant else dotted
        return (dotted, "unknown key", hint), suggested
    shown = repr(given) if len(repr(given)) <= 60 else f"{repr(given)[:57]}..."
    hint = ""
    if kind.endswith("_type") and kind.removesuffix("_type") in KINDS:
        message = f"{KINDS[kind.removesuffix('_type')]}, not {shown}"
        if kind == "list_type" and isinstance(given, str):
            hint = f'write ["{given}"]'
        if kind == "int_type" and isinstance(given, float) and given.is_integer():
            hint = f"write {int(given)}"
    elif kind == "missing":
        message = "is missing"
    else:
        message = f"{detail['msg'][0].lower()}{detail['msg'][1:]}, not {shown}"
        if kind == "literal_error" and isinstance(given, str):
            hint = did_you_mean(given, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return (dotted, message, hint), dotted


def _section_of(keys: Sequence[str]) -> type[BaseModel]:
    section: Any = Project
    for part in keys:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field is not None and is_section(field) else Source
    return section


def _elsewhere(keys: Sequence[str]) -> str:
    """Where a key belongs that stands in the wrong section."""
    for name, field in Project.model_fields.items():
        if is_section(field) and keys[-1] in field.annotation.model_fields:  # type: ignore[union-attr]
            return f"it belongs to [{name}]"
        if name == keys[-1]:
            return "it belongs above the first section"
    return ""


def _report(problems: list[Problem], lines: dict[Keys, int], name: str) -> ConfigError:
    def line(dotted: str) -> int:
        keys = tuple(dotted.split("."))
        while keys and keys not in lines:
            keys = keys[:-1]
        return lines.get(keys, 1)

    rows = []
    for dotted, message, hint in sorted(problems, key=lambda problem: line(problem[0])):
        number = line(dotted)
        where = f"{name}:{number}" if number != COMMAND_LINE else "command line"
        rows.append((where, f"{dotted}: {message}", hint))
    text = "\n".join(f"{where}: {message}" + (f" ({hint})" if hint else "") for where, message, hint in rows)
    return ConfigError(text, problems=rows)
