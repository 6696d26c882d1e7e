"""Server-sent events: the data of each, from bytes that are cut anywhere."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

__all__ = ["event_data"]


def event_data(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""The `data` of each event (WHATWG HTML, 9.2.6). Only CR and LF end a line: U+2028 within JSON does not.

    An event that the end of the stream cuts off is dropped, as the standard says.

    >>> list(event_data([b": hello\n\nda", b"ta: a\r\ndata: b\r\n\r", b"\ndata:c\n\ndata: torn"]))
    ['a\nb', 'c']
    """
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    data: list[str] = []
    rest = ""
    for chunk in chunks:
        rest += decode(chunk)
        # A CR at the end may be half of a CRLF: it waits for the next chunk.
        whole = rest[:-1] if rest.endswith("\r") else rest
        lines = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rest = lines.pop() + rest[len(whole) :]
        for line in lines:
            if not line:
                if data:
                    yield "\n".join(data)
                data = []
            elif line.startswith("data"):
                name, _, value = line.partition(":")
                if name == "data":
                    data.append(value.removeprefix(" "))
