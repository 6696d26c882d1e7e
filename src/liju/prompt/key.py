"""The key of a server: in the environment, in the header of a request that goes out, and nowhere else.

It is read when a request is sent. No attribute, no variable of a frame, no message and no log holds it; it
goes to no other machine unencrypted.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from liju.errors import RequestError

__all__ = ["Key", "Trouble", "check_address", "is_here"]


class Trouble(Exception):
    """One try has failed; `wait` is what the server says of when to come again."""

    def __init__(
        self,
        what: str,
        *,
        again: bool = True,
        status: int | None = None,
        request_id: str = "",
        wait: float | None = None,
    ):
        super().__init__(what)
        self.what, self.again, self.status = what, again, status
        self.request_id, self.wait = request_id, wait


class Key:
    """The key in the environment variable `name` (None: no key is sent), for a server that is `here`, on this
    machine, or not.

    >>> os.environ["A_KEY"] = "sk-123"
    >>> Key("A_KEY", here=True).hide("no such key: sk-123")
    'no such key: [key]'
    """

    def __init__(self, name: str | None, here: bool):
        self.name, self.here = name, here

    @property
    def there(self) -> bool:
        """The environment holds a key."""
        return bool(self.name and os.environ.get(self.name, "").strip())

    def hide(self, text: str) -> str:
        """A text from elsewhere without the key: servers like to repeat it."""
        return text.replace(os.environ[self.name].strip(), "[key]") if self.name and self.there else text

    def hide_bytes(self, body: bytes) -> bytes:
        """The same for a body."""
        return (
            body.replace(os.environ[self.name].strip().encode(), b"[key]")
            if self.name and self.there
            else body
        )

    def hint(self) -> str:
        """What to do when the server refuses."""
        if self.name is None:
            return "this server wants a key: say in which environment variable it is, api_key_env"
        more = "; the one there is refused" if self.there else ""
        return f"put the key into the environment variable {self.name}{more}"

    def auth(self) -> Any:
        """What httpx asks for each request. Raises Trouble for a key that may not go out."""
        import httpx

        key = self

        class Bearer(httpx.Auth):
            def auth_flow(self, request: Any) -> Iterator[Any]:
                if key.name and key.there:
                    if not re.fullmatch(r"[!-~]+", os.environ[key.name].strip()):
                        # An HTTP library would repeat it in its complaint.
                        what = f"what {key.name} holds is no key: it has spaces or odd characters"
                        raise Trouble(what, again=False)
                    if not key.here and request.url.scheme != "https":
                        what = f"the key of {key.name} would go over the network unencrypted"
                        raise Trouble(what, again=False)
                    request.headers["Authorization"] = f"Bearer {os.environ[key.name].strip()}"
                yield request

        return Bearer()


def check_address(base_url: str) -> str:
    """The host of an address. Secrets do not belong into one: it stands in messages and logs.

    >>> check_address("http://127.0.0.1:8000/v1")
    '127.0.0.1'
    """
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        hint = "e.g. https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
        raise RequestError("the address of the server is not http(s)://host/...", hint)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RequestError(
            "the address of the server holds a user, a password or a query",
            hint="put the key into an environment variable and name it: api_key_env",
        )
    return host


def is_here(host: str) -> bool:
    """Whether a host is this machine.

    >>> is_here("localhost"), is_here("::1"), is_here("example.org")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
