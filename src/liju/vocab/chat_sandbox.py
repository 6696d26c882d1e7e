"""Chat templates are programs of somebody else's: Jinja in a sandbox, with what transformers gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from liju.errors import MissingExtra, RequestError

__all__ = ["compiled"]


@lru_cache(32)
def compiled(source: str, opens: str = "", closes: str = "") -> Callable[..., str]:
    """A template as a function of its variables. What stands in `{% generation %}` (an answer, for
    transformers' masks) is put between `opens` and `closes`.

    Raises MissingExtra without Jinja2, RequestError where the source is no template.

    >>> compiled("{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}")(
    ...     messages=[{"role": "user", "content": "Hello"}])
    'user: Hello'
    >>> compiled("{% generation %}Hi{% endgeneration %}.", "[", "]")()
    '[Hi].'
    """
    try:
        from jinja2 import TemplateError, nodes
        from jinja2.exceptions import SecurityError
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from jinja2.utils import Namespace
    except ImportError:
        raise MissingExtra("jinja2", extra="chat") from None

    class Generation(Extension):
        """The tag {% generation %} ... {% endgeneration %}."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja names it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

        def _marked(self, caller: Callable[[], str]) -> str:
            return opens + caller() + closes

    class Plain(Namespace):
        """No names that begin with an underscore: they reach into Python."""

        def __init__(*args: Any, **values: Any) -> None:
            self, rest = args[0], args[1:]
            found = dict(*rest, **values)
            for name in found:
                Plain._check(name)
            Namespace.__init__(self, found)

        def __setitem__(self, name: str, value: Any) -> None:
            Plain._check(name)
            Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check(name: Any) -> None:
            if str(name).startswith("_"):
                raise SecurityError(f"a name that begins with an underscore: {name!r}")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now, "namespace": Plain}
    try:
        return environment.from_string(source).render
    except TemplateError as error:
        raise RequestError(f"the chat template cannot be read: {error}") from None


def _refuse(message: str) -> None:
    raise ValueError(message)


def _now(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(form)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **rest: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **rest)
