"""A `Source` of the project file to the files that it means."""

from __future__ import annotations

import glob
import importlib.util
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from liju.config import Source
from liju.errors import DataError, did_you_mean
from liju.text.encoding import Damaged, detect, strip_compression, text_chunks
from liju.text.squad import is_squad

__all__ = ["File", "format_of", "resolve"]

_ENDINGS = {
    "text": ".txt .text .md .markdown .rst",
    "jsonl": ".jsonl .ndjson .json",
    "csv": ".csv",
    "tsv": ".tsv .tab",
    "html": ".html .htm .xhtml",
    "gettext": ".po",
    "python": ".py",
    "conll": ".conll .bio .bmes",
    "parquet": ".parquet .pq",
}
_FORMATS = {ending: name for name, endings in _ENDINGS.items() for ending in endings.split()}
_PLAIN = ("text", "lines", "tagged")


@dataclass(frozen=True, slots=True)
class File:
    """One file to read. `name` is how reports call it, the same on every machine; `target` its translation.

    `format` is empty for a file in a folder whose ending says nothing: it is left alone.
    """

    path: str
    name: str
    format: str
    source: int = 0
    language: str = ""
    licence: str = ""
    label: str = ""
    target: str = ""
    columns: tuple[str, ...] = ()
    size: int = 0


def format_of(name: str) -> str:
    """The format that a file name's ending means, or nothing.

    >>> format_of("a/b.JSONL.gz"), format_of("notes.md"), format_of("Makefile")
    ('jsonl', 'text', '')
    """
    return _FORMATS.get(os.path.splitext(strip_compression(name)[0])[1].lower(), "")


def resolve(source: Source, base: Path = Path("."), number: int = 0) -> list[File]:
    """The files of `source`, sorted by name. Relative paths start at `base`, the folder of the project file.

    A folder is searched for files with a known ending; hidden ones are left out. A pattern may use *, ?,
    [a-z] and **. `package:NAME/inside` is a file, folder or pattern in an installed package, which is not
    imported.

    Raises DataError where nothing is found: a missing source is never an empty one.

    >>> [file.name for file in resolve(Source(path="package:pydoc_data/topics.py"))]
    ['package:pydoc_data/topics.py']
    """
    if source.format == "datasets":
        spelled = _spelled_out(source.path)
        folder = os.path.normpath(os.path.join(base, spelled.partition(":")[0]))
        path = (
            os.path.abspath(folder) + "".join(spelled.partition(":")[1:])
            if os.path.isdir(folder)
            else spelled
        )
        how = (number, source.language, source.licence, source.label)
        return [File(path, source.path, "datasets", *how)]
    if source.path.startswith("package:"):
        found = _in_package(source.path)
    else:
        spelled = _spelled_out(source.path)
        path = os.path.normpath(os.path.join(base, spelled))
        named = source.path.partition("/")[0] if source.path.startswith("$") else ""
        root = _spelled_out(named) if named else base
        found = [
            (each, _name(each, root, named, os.path.isabs(spelled) and not named), listed)
            for each, listed in _expand(path, source.path)
        ]
    if not found:
        raise DataError(f"{source.path}: no file matches", hint=_nearby(source, base))
    targets = [""] * len(found)
    if source.target:
        targets = [
            file.path
            for file in resolve(source.model_copy(update={"path": source.target, "target": ""}), base)
        ]
        if len(targets) != len(found):
            raise DataError(
                f"{source.path}: {len(found)} files, but {len(targets)} in its target {source.target}",
                hint="each file needs the file of its translations",
            )
    files = []
    for (path, name, listed), target in zip(sorted(found, key=lambda item: item[1]), targets, strict=True):
        kind = _kind(source, name, listed, bool(target))
        if kind is None:
            continue
        if kind == "jsonl" and source.format == "auto":
            kind = _recognised(path)
        try:
            size = os.path.getsize(path)
        except OSError:
            size = 0  # reading it will say what is wrong
        files.append(
            File(
                os.path.abspath(path), name, kind, number, source.language, source.licence, source.label,
                target, tuple(source.columns), size,
            )
        )  # fmt: skip
    if not any(file.format for file in files):
        what = "of a known ending" if source.format == "auto" else f"of format {source.format!r}"
        raise DataError(
            f"{source.path}: no file {what} in it",
            hint=f"known endings: {' '.join(_FORMATS)}, and these with .gz or .zst; or name a format",
        )
    return files


def _recognised(path: str) -> str:
    """The format of a .json file: questions on paragraphs, or objects, one a line or all in an array."""
    if not strip_compression(path)[0].lower().endswith(".json"):
        return "jsonl"
    try:
        encoding = detect(path)
        head = "" if encoding.problem else next(text_chunks(path, encoding, 1 << 16), "")
    except (Damaged, OSError):
        return "jsonl"  # reading it will say what is wrong
    return "squad" if is_squad(head) else "jsonl"


def _spelled_out(path: str) -> str:
    """`~` and `$NAME` replaced. Raises DataError for a variable that is not set."""
    if path.startswith("$"):
        name = path[1:].partition("/")[0].strip("{}")
        if not os.environ.get(name):
            raise DataError(f"{path}: the environment has no {name}", hint=f"{name}=/the/folder liju ...")
    return os.path.expanduser(os.path.expandvars(path))


def _name(path: str, root: str | Path, named: str, whole: bool) -> str:
    """What a report calls a file: its path from the project file, or from a variable's folder."""
    return Path(path).as_posix() if whole else (Path(named) / os.path.relpath(path, root)).as_posix()


def _kind(source: Source, name: str, listed: bool, has_target: bool) -> str | None:
    """The format of one file; "" to leave it alone and count it, None to leave it out."""
    by_ending = format_of(name)
    if source.format == "auto":
        if has_target:
            return "lines"
        return by_ending or ("" if listed else "text")
    if not listed or by_ending == source.format:
        return source.format
    # A folder read with a format: plain text may have any unknown ending, the others must have their own.
    if source.format in _PLAIN and by_ending in ("text", ""):
        return source.format
    if source.format == "squad" and strip_compression(name)[0].lower().endswith(".json"):
        return "squad"
    return None


def _expand(path: str, spelled: str) -> list[tuple[str, bool]]:
    """(path, whether it was found by listing a folder) of every file that a path or a pattern means."""
    if os.path.isdir(path):
        return [(each, True) for each in _walk(path)]
    if os.path.exists(path):
        return [(path, False)]
    if glob.has_magic(spelled):
        return [(each, False) for each in glob.iglob(path, recursive=True) if os.path.isfile(each)]
    return []


def _walk(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: {error.strerror}", hint="let this user read the folder")

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in names:
            if not name.startswith("."):
                yield os.path.join(root, name)


def _in_package(spelled: str) -> list[tuple[str, str, bool]]:
    """What `package:NAME/inside` means, as (path, name, listed)."""
    name, _, inside = spelled.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        raise DataError(f"{spelled}: no package {name!r} is installed", hint=f"pip install {name or 'NAME'}")
    roots = [str(root) for root in spec.submodule_search_locations or []]
    if not roots:
        # A module of one file. The standard library's own may be frozen, without an origin.
        origin = spec.origin if spec.has_location else None
        origin = origin or os.path.join(sysconfig.get_path("stdlib"), f"{name}.py")
        return [(origin, f"package:{name}.py", False)] if not inside and os.path.isfile(origin) else []
    found = []
    for root in roots:
        path = os.path.join(root, inside) if inside else root
        for each, listed in _expand(os.path.normpath(path), inside):
            found.append((each, f"package:{name}/{Path(os.path.relpath(each, root)).as_posix()}", listed))
    return found


def _nearby(source: Source, base: Path) -> str:
    """What is there instead of what was asked for."""
    spelled = source.path.removeprefix("package:")
    if source.path.startswith("package:"):
        name, _, inside = spelled.partition("/")
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        roots = list(spec.submodule_search_locations or []) if spec else []
        path = Path(roots[0]) / inside if roots else Path(name)
    else:
        path = Path(os.path.join(base, _spelled_out(spelled)))
    if glob.has_magic(str(path)):
        return "a pattern matches files: *, ?, [a-z], and ** for folders at any depth"
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    there = sorted(each.name for each in parent.iterdir() if not each.name.startswith("."))[:200]
    missing = path.relative_to(parent).parts[0] if path != parent else path.name
    return did_you_mean(missing, there) or f"{parent} has {', '.join(there[:8]) or 'nothing'}"
