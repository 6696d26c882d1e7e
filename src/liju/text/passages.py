"""A file to passages of raw text: every format, one generator, problems among the passages in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from liju.errors import DataError, MissingExtra
from liju.text.catalogue import entries
from liju.text.conll import running, sentences
from liju.text.docstrings import docstrings
from liju.text.encoding import Damaged, Encoding, detect, text_chunks
from liju.text.pieces import LIMIT, bounded_lines, pieces
from liju.text.records import RECORD, bad_bytes, invalid, records, whole_lines
from liju.text.report import Problem
from liju.text.sources import File
from liju.text.spans import bio, spans_of
from liju.text.squad import LARGEST, Question, questions
from liju.text.tables import TABLES, table_records
from liju.text.tagged import untag, words_of

__all__ = ["Passage", "asked", "pairs", "passages"]


@dataclass(frozen=True, slots=True)
class Passage:
    """Raw text and where it starts. `cut` is set where it is a part of a longer text."""

    text: str
    line: int = 0
    part: int = 0
    language: str = ""
    encoding: str = "utf-8"
    cut: bool = False
    words: tuple[list[str], list[str], list[str]] | None = None  # of tagged text: words, tags, compounds'


Items = Iterator[Passage | Problem]
_UTF8 = Encoding("utf-8")
# A module without a docstring, a catalogue without a translation: nothing is wrong with it.
_MAY_BE_EMPTY = ("python", "gettext")


def passages(file: File, field: str = "text", limit: int = LIMIT) -> Items:
    """The passages of a file, each at most `limit` characters, and a Problem for whatever could not be read.

    `field` is the column of jsonl, csv and tsv that holds the text. At most a record or a passage is held.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.txt"
    >>> _ = path.write_bytes(b"fine\\nnot \\xff UTF-8\\n")
    >>> for item in passages(File(str(path), "two.txt", "lines")):
    ...     print(item.text if isinstance(item, Passage) else item)
    fine
    two.txt:2: bytes that are not UTF-8 (the first at byte 9)
    """
    empty = True
    try:
        if file.format in TABLES:
            for row in table_records(file, [field]):
                empty = False
                yield from [row] if isinstance(row, Problem) else _cut(row[1][field], row[0], _UTF8, limit)
            if empty:
                yield Problem(file.name, "", "no text in it", "empty file", fatal=True)
            return
        encoding = detect(file.path, html=file.format == "html")
        if encoding.problem == "empty file" and file.format in _MAY_BE_EMPTY:
            return
        if encoding.problem:
            reason = encoding.problem.split(" (")[0] if " file" in encoding.problem else "unreadable"
            yield Problem(file.name, "", encoding.problem, reason, fatal=True)
            return
        for item in _READERS[file.format](file, encoding, field, limit):
            empty = False
            yield item
    except Damaged as error:
        yield Problem(file.name, "", str(error), "damaged", fatal=True)
    except OSError as error:
        yield Problem(file.name, "", error.strerror or str(error), "unreadable", fatal=True)
    else:
        if empty and file.format not in _MAY_BE_EMPTY:
            yield Problem(file.name, "", "no text in it", "empty file", fatal=True)


def pairs(file: File, encoding: Encoding) -> Iterator[tuple[int, str, str] | Problem]:
    """(line, source, target) of a gettext catalogue, or of a file of lines with its file of translations."""
    if file.format == "gettext":
        for entry in _entries(file, encoding):
            if isinstance(entry, Problem):
                yield entry
            elif entry.source:
                yield entry.line, entry.source, entry.target
        return
    other = detect(file.target)
    if other.problem:
        yield Problem(file.target, "", other.problem, "unreadable", fatal=True)
        return
    left = whole_lines(text_chunks(file.path, encoding))
    right = whole_lines(text_chunks(file.target, other))
    number = 0
    while True:
        one, two = next(left, None), next(right, None)
        if one is None and two is None:
            return
        if one is None or two is None:
            what = f"{number} lines, and its target {file.target} has {'fewer' if two is None else 'more'}"
            yield Problem(file.name, str(number + 1), what, "uneven pair", fatal=True)
            return
        number = one[0]
        source, target = one[1], two[1]
        if source is None or target is None:
            yield Problem(file.name, str(number), f"a line of more than {RECORD} characters", "too long")
        elif invalid(source) or invalid(target):
            yield bad_bytes(file, encoding if invalid(source) else other, number)
        elif not source.strip() and not target.strip():
            continue
        elif not source.strip() or not target.strip():
            side = "source" if not source.strip() else "target"
            yield Problem(file.name, str(number), f"no {side} text", "bad row")
        else:
            yield number, source, target


def _text(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    parts = enumerate(pieces(text_chunks(file.path, encoding), limit))
    yield from _passages(file, encoding, ((line if part else 0, part, text) for part, (line, text) in parts))


def _passages(file: File, encoding: Encoding, parts: Iterable[tuple[int, int, str]]) -> Items:
    """Passages of (line, part, text), each held until the next tells whether it is only a part."""
    held: tuple[int, int, str] | None = None
    for following in chain(parts, [None]):
        if held is not None:
            line, part, text = held
            if invalid(text):
                yield bad_bytes(file, encoding, max(line, 1))
            elif text.strip():
                cut = part > 0 or bool(following and following[1])
                yield Passage(text, line, part, "", encoding.name, cut)
        held = following


def _lines(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    if file.target:
        for pair in pairs(file, encoding):
            if isinstance(pair, Problem):
                yield pair
            else:
                yield Passage(pair[1], pair[0], 0, file.language, encoding.name)
                yield Passage(pair[2], pair[0], 1, "?", encoding.name)
        return
    yield from _passages(file, encoding, bounded_lines(text_chunks(file.path, encoding), limit))


def _tagged(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    for item in _lines(file, encoding, field, limit):
        if isinstance(item, Passage):
            found = untag(item.text), item.line, item.part, "", encoding.name, item.cut, words_of(item.text)
            item = Passage(*found)
        yield item


def _conll(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    for item in sentences(whole_lines(text_chunks(file.path, encoding))):
        text = running(item.words)
        if item.wrong:
            yield Problem(file.name, str(item.line), item.wrong, "bad row")
        elif invalid(text):
            yield bad_bytes(file, encoding, item.line)
        else:
            yield Passage(text, item.line, 0, "", encoding.name, False, (item.words, item.tags, []))


def _spans(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    for item in records(file, encoding, ["text"]):
        if isinstance(item, Problem):
            yield item
            continue
        number, values = item
        try:
            words, tags = bio(values["text"], spans_of(values))
        except ValueError as error:
            yield Problem(file.name, str(number), str(error), "bad spans")
            continue
        if words:
            yield Passage(values["text"], number, 0, "", encoding.name, False, (words, tags, []))
        else:
            yield Problem(file.name, str(number), "nothing in 'text'", "bad row")


def _records(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    for item in records(file, encoding, [field]):
        if isinstance(item, Problem):
            yield item
        else:
            yield from _cut(item[1][field], item[0], encoding, limit)


def _html(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    try:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree
    except ImportError:
        raise MissingExtra("resiliparse", "text") from None
    page = _whole(file, encoding)
    if isinstance(page, Problem):
        yield page
        return
    tree = HTMLTree.parse(page)
    text = extract_plain_text(tree, main_content=True) or extract_plain_text(tree)
    yield from _cut(text, 0, encoding, limit)


def _gettext(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    language = file.language
    for entry in _entries(file, encoding):
        if isinstance(entry, Problem):
            yield entry
        elif entry.source:
            yield Passage(entry.source, entry.line, 0, "?", encoding.name)
            yield Passage(entry.target, entry.line, 1, language or "?", encoding.name)


def _entries(file: File, encoding: Encoding):
    def lines() -> Iterator[tuple[int, str]]:
        for number, line in whole_lines(text_chunks(file.path, encoding)):
            if line is not None:
                yield number, line

    try:
        for entry in entries(lines()):
            if invalid(entry.source) or invalid(entry.target):
                yield bad_bytes(file, encoding, entry.line)
            else:
                yield entry
    except ValueError as error:
        line, _, what = str(error).partition(": ")
        yield Problem(file.name, line, what, "bad catalogue", fatal=True)


def _python(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    source = _whole(file, encoding)
    if isinstance(source, Problem):
        yield source
        return
    try:
        found = list(docstrings(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = str(getattr(error, "lineno", "") or "")
        yield Problem(file.name, line, f"not Python: {error}", "not python", fatal=True)
        return
    for line, text in found:
        if invalid(text):
            yield Problem(file.name, str(line), "half of a surrogate pair", "bad row")
        else:
            yield from _cut(text, line, encoding, limit)


def asked(file: File, encoding: Encoding) -> Iterator[Question | Problem]:
    """The questions of a SQuAD file, each bad one as a Problem."""
    text = _whole(file, encoding, LARGEST)
    if isinstance(text, Problem):
        yield text
        return
    try:
        for question in questions(text):
            if question.wrong:
                yield Problem(file.name, question.place, question.wrong, "bad question")
            elif any(map(invalid, question.values.values())):
                yield Problem(file.name, question.place, "half of a surrogate pair", "bad question")
            else:
                yield question
    except DataError as error:
        yield Problem(file.name, "", error.message, "not SQuAD", fatal=True)


def _squad(file: File, encoding: Encoding, field: str, limit: int) -> Items:
    """Each paragraph once, by its number."""
    seen, number = "", 0
    for question in asked(file, encoding):
        if isinstance(question, Problem):
            yield question
        elif question.values["context"] != seen:
            seen, number = question.values["context"], number + 1
            yield from _cut(seen, number, encoding, limit)


def _whole(file: File, encoding: Encoding, most: int = RECORD) -> str | Problem:
    """A file that only makes sense as a whole."""
    parts, length = [], 0
    for chunk in text_chunks(file.path, encoding):
        parts.append(chunk)
        length += len(chunk)
        if length > most:
            return Problem(file.name, "", f"more than {most} characters", "too long", fatal=True)
    text = "".join(parts)
    if invalid(text):
        what = f"byte {encoding.bad} is not {encoding.name.removesuffix('-sig').upper()}"
        return Problem(file.name, "", what, "invalid bytes", fatal=True)
    return text


def _cut(text: str, line: int, encoding: Encoding, limit: int) -> Items:
    for part, (_, piece) in enumerate(pieces([text], limit)):
        yield Passage(piece, line, part, "", encoding.name, len(text) > limit)


_READERS: dict[str, Callable[[File, Encoding, str, int], Items]] = {
    "text": _text,
    "lines": _lines,
    "tagged": _tagged,
    "conll": _conll,
    "spans": _spans,
    "jsonl": _records,
    "csv": _records,
    "tsv": _records,
    "html": _html,
    "gettext": _gettext,
    "python": _python,
    "squad": _squad,
}


def stop(problem: Problem, skip: str = "set text.errors = 'skip'") -> DataError:
    """The error that a problem is when errors = "stop". `skip`: how to leave such rows out, for the hint.

    >>> stop(Problem("a.csv", "3", "1 column where the header has 2", "bad row")).message
    'a.csv:3: 1 column where the header has 2'
    """
    hints = {
        "invalid bytes": "convert the file to UTF-8 (iconv -f ENCODING -t UTF-8)",
        "binary file": "leave it out of the sources",
        "empty file": "leave it out of the sources",
        "missing column": "set [text] field or [finetune.fields] to the column's name, or columns = [...] of "
        "the source where there is no header",
        "not jsonl": "jq -c '.[]' FILE writes one object a line",
        "damaged": "fetch or compress the file again",
        "uneven pair": "a line and its translation have the same number: where there is none, an empty line",
    }
    return DataError(str(problem), hint=hints.get(problem.reason, f"mend it, or {skip}"))
