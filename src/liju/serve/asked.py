"""What a request asks: its JSON read, checked field by field, and every mistake told by name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from liju.errors import RequestError, did_you_mean

__all__ = ["Asked", "Loaded", "Problem", "accepted_options", "read_asked", "read_json", "takes_pairs"]


class Loaded(Protocol):
    """What can be served: a task, answers, and a description of itself.

    `describe()` may say `pairs: True` when every text needs a second one, and `options`: a mapping from the
    name of each option of `predict` to its default. Without it the options are the named parameters of
    `predict`; one named `pairs` makes second texts possible.
    """

    task: str

    def predict(self, texts: list[str], **options: Any) -> list[dict[str, Any]]: ...

    def describe(self) -> dict[str, Any]: ...


class Problem(RequestError):
    """A request that cannot be answered: `status` of HTTP, and the `field` that is wrong."""

    def __init__(self, status: int, message: str, hint: str = "", field: str = ""):
        super().__init__(message, hint)
        self.status = status
        self.field = field


@dataclass(frozen=True)
class Asked:
    """The texts, their pairs where the task has them, and options for `predict`."""

    texts: list[str]
    pairs: list[str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def accepted_options(loaded: Loaded) -> dict[str, Any]:
    """The options of `predict` and their defaults (None: unknown).

    >>> class Writer:
    ...     def describe(self): return {}
    ...     def predict(self, texts, *, max_new_tokens=64, **rest): ...
    >>> accepted_options(Writer())
    {'max_new_tokens': 64}
    """
    told = loaded.describe().get("options")
    if isinstance(told, Mapping):
        return dict(told)
    if told is not None:
        return dict.fromkeys(told)
    found = {}
    for parameter in list(inspect.signature(loaded.predict).parameters.values())[1:]:
        named = parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if named and parameter.name != "pairs":
            found[parameter.name] = None if parameter.default is parameter.empty else parameter.default
    return found


def takes_pairs(loaded: Loaded) -> bool | None:
    """Whether texts come with a second text: True (always), False (never), None (as the caller likes)."""
    if "pairs" in loaded.describe():
        return bool(loaded.describe()["pairs"])
    return None if "pairs" in inspect.signature(loaded.predict).parameters else False


def read_asked(
    body: bytes,
    *,
    max_characters: int,
    max_texts: int,
    pairs: bool | None = False,
    options: Mapping[str, Any] | None = None,
) -> Asked:
    """The request in `body`: {"text": "..."} or {"texts": ["...", ...]}, "pair" or "pairs", and "options".

    `pairs` is what `takes_pairs` says, `options` what `accepted_options` says. Raises Problem: 400 for what
    is not JSON, 422 for a field that is missing, misspelt or of the wrong type, 413 for too much.

    >>> read_asked('{"text": "例句"}'.encode(), max_characters=10, max_texts=2)
    Asked(texts=['例句'], pairs=None, options={})
    >>> read_asked(b'{"txet": "a"}', max_characters=10, max_texts=2)
    Traceback (most recent call last):
        ...
    liju.serve.asked.Problem: unknown field 'txet'
    """
    known = dict(options or {})
    asked = read_json(body)
    if not isinstance(asked, dict):
        raise Problem(422, f"the body is {_kind(asked)}, not an object", 'send {"text": "..."}')
    fields = ["text", "texts", "pair", "pairs", "options"]
    for name in asked:
        if name not in fields:
            hint = did_you_mean(name, fields) or f"known: {', '.join(fields)}"
            if name in known:
                hint = f'options go into an object: {{"options": {{"{name}": ...}}}}'
            raise Problem(422, f"unknown field {name!r}", hint, name)
    if "text" in asked and "texts" in asked:
        raise Problem(422, "both 'text' and 'texts'", "send one of them", "texts")
    if "text" not in asked and "texts" not in asked:
        raise Problem(422, "no 'text'", 'send {"text": "..."} or {"texts": ["...", "..."]}', "text")
    one = "text" in asked
    texts = [_string(asked["text"], "text")] if one else _strings(asked["texts"], "texts")
    if not texts:
        raise Problem(422, "'texts' is empty", "send at least one text", "texts")
    second = _pairs(asked, one, len(texts), pairs)
    if len(texts) > max_texts:
        message = f"{len(texts)} texts; at most {max_texts} in one request"
        raise Problem(413, message, "send several requests", "texts")
    characters = sum(map(len, texts)) + sum(map(len, second or []))
    if characters > max_characters:
        hint = f"at most {max_characters} in one request ([serve] max_characters)"
        raise Problem(413, f"{characters} characters are too many", hint, "text" if one else "texts")
    return Asked(texts, second, _options(asked.get("options", {}), known))


def read_json(body: bytes, hint: str = 'send JSON: curl -d \'{"text": "..."}\'') -> Any:
    """The JSON of a body. Raises Problem (400) that says where it is none.

    >>> read_json(b'{"text": "a"}')
    {'text': 'a'}
    """
    if not body.strip():
        raise Problem(400, "the body is empty", hint)
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8 at byte {error.start}", hint) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem(400, f"the body is not JSON: {error.msg} at {where}", hint) from None
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON that can be read", hint) from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Problem(422, f"{name!r} is {_kind(value)}, not a string", field=name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        message = f"{name!r} is not valid Unicode: half of a surrogate pair at character {error.start}"
        raise Problem(422, message, field=name) from None
    return value


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, list):
        hint = f"{name[:-1]!r} takes one string" if isinstance(value, str) else ""
        raise Problem(422, f"{name!r} is {_kind(value)}, not a list of strings", hint, name)
    return [_string(item, f"{name}[{at}]") for at, item in enumerate(value)]


def _pairs(asked: dict[str, Any], one: bool, number: int, wanted: bool | None) -> list[str] | None:
    name, other = ("pair", "pairs") if one else ("pairs", "pair")
    if other in asked:
        texts = "text" if one else "texts"
        raise Problem(422, f"{other!r} does not go with {texts!r}", f"use {name!r}", other)
    if name not in asked:
        if wanted:
            raise Problem(422, f"no {name!r}: this model reads two texts", "send the second text too", name)
        return None
    if wanted is False:
        raise Problem(422, f"{name!r}: this model reads one text", "leave it out", name)
    second = [_string(asked[name], name)] if one else _strings(asked[name], name)
    if len(second) != number:
        raise Problem(422, f"{len(second)} pairs for {number} texts", "send one for each text", name)
    return second


def _options(value: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(422, f"'options' is {_kind(value)}, not an object", field="options")
    for name, given in value.items():
        place = f"options.{name}"
        if name not in known:
            hint = did_you_mean(name, known)
            hint = hint or (f"known: {', '.join(known)}" if known else "this model has no options")
            raise Problem(422, f"unknown option {name!r}", hint, place)
        default = known[name]
        if isinstance(default, bool):
            fits = isinstance(given, bool)
        elif isinstance(default, int):
            fits = isinstance(given, int) and not isinstance(given, bool)
        elif isinstance(default, float):
            fits = isinstance(given, int | float) and not isinstance(given, bool)
        else:
            fits = not isinstance(default, str) or isinstance(given, str)
        if not fits:
            raise Problem(
                422,
                f"{place!r} is {_kind(given)}",
                f"its default is {default!r}: send a value of that kind",
                place,
            )
    return value
