"""A page of the documentation as a story: its blocks are run from top to bottom, in one folder.

    ```python                 is run, in one namespace a page
    ```text                   right after it: what it must have printed
    ```console                "$ ..." is run, the lines after it are what it must print
    ```toml title="a/b.toml"  any block with a title is written to that file
    <!-- not run: why -->     right before a block: it is only shown
    <!-- after: a.md -->      the page goes on in the folder that the page a.md has left

Output is compared as doctest does it: "..." stands for anything, and white space does not matter.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from liju.cli import main

ROOT = Path(__file__).parents[2]
EN, ZH = ROOT / "docs" / "en", ROOT / "docs" / "zh"
PAGES = sorted(path.name for path in EN.glob("*.md"))
SHELL = {"cat", "cp", "curl", "echo", "ls", "mkdir", "printf", "rm"}
PORT = 8000  # as the pages write it; the story takes a free one

_FENCE = re.compile(r"^```(\w*)(.*)$")
_SKIP = re.compile(r"<!-- not run: (.+) -->")
_AFTER = re.compile(r"^<!-- after: (.+) -->$", re.M)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, what follows the language, and why it is not run."""

    kind: str
    code: str
    info: str = ""
    skipped: str = ""
    line: int = field(default=0, compare=False)

    @property
    def title(self) -> str:
        found = _TITLE.search(self.info)
        return found[1] if found else ""


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file."""
    found, open_at, kind, info, code, before = [], 0, "", "", [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if open_at and line == "```":
            skipped = _SKIP.search(before)
            found.append(Block(kind, "\n".join(code), info, skipped[1] if skipped else "", open_at))
            open_at, before = 0, "```"
        elif open_at:
            code.append(line)
        elif fence:
            open_at, kind, info, code = number, fence[1], fence[2].strip(), []
        elif line.strip():
            before = line
    return found


def text_only(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that is shown for it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0][:-1] + line.strip(), found[-1][1])
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(shown)) for command, shown in found]


class Story:
    """Runs the blocks of one page in the current folder."""

    def __init__(self, page: Path):
        self.page = page
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.servers: list[Any] = []
        self.threads: list[threading.Thread] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def run(self) -> None:
        torch.manual_seed(0)
        listed = blocks(self.page)
        try:
            for i, block in enumerate(listed):
                if block.skipped:
                    continue
                if block.title:
                    path = Path(block.title)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(block.code + "\n", encoding="utf-8")
                elif block.kind == "python":
                    following = listed[i + 1] if i + 1 < len(listed) else None
                    told = following is not None and following.kind == "text" and not following.title
                    self.python(block, following.code if told and following else None)
                elif block.kind == "console":
                    for command, shown in commands(block):
                        self.command(block, command, shown)
        finally:
            for server in self.servers:
                server.stop()
            for thread in self.threads:  # its last line is not the next page's
                thread.join(60)

    def python(self, block: Block, shown: str | None) -> None:
        place = f"{self.page.name}:{block.line}"
        code = compile("\n" * block.line + self._here(block.code), str(self.page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, self.names)
        if shown is not None:
            self._compare(place, shown, printed.getvalue())

    def command(self, block: Block, command: str, shown: str) -> None:
        place = f"{self.page.name}:{block.line}: $ {command}"
        words = shlex.split(self._here(command))
        wrong = shown.startswith("error:")
        if words[:2] == ["liju", "serve"] and not wrong:
            return self._compare(place, shown, self._serve(words[1:]))
        if words[0] == "liju":
            code, printed, told = self._liju(words[1:])
        elif words[0] in SHELL:
            done = subprocess.run(
                self._here(command), shell=True, capture_output=True, text=True, encoding="utf-8", timeout=60
            )
            code, printed, told = done.returncode, done.stdout, done.stderr
        else:
            raise AssertionError(f"{place}: the test cannot run {words[0]!r}; say why: <!-- not run: ... -->")
        assert code == (2 if wrong else 0), f"{place}: exit code {code}\n{printed}{told}"
        if shown:
            self._compare(place, shown, told if wrong else printed)

    def _liju(self, words: list[str]) -> tuple[int, str, str]:
        source = None
        if "<" in words:
            at = words.index("<")
            source = Path(words[at + 1]).read_text(encoding="utf-8")
            words = words[:at] + words[at + 2 :]
        printed, told = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(printed))
            stack.enter_context(contextlib.redirect_stderr(told))
            if source is not None:
                stack.enter_context(mock.patch.object(sys, "stdin", io.StringIO(source)))
            code = main(words)
        return code, printed.getvalue(), told.getvalue()

    def _serve(self, words: list[str]) -> str:
        """Serve in a thread until the page ends; what the command has said when it listens."""
        from liju.serve import Server

        told, made, story = io.StringIO(), Server.__init__, self

        def noted(server: Any, *args: Any, **options: Any) -> None:
            made(server, *args, **options)
            story.servers.append(server)

        if "--port" not in words:
            words = [*words, "--port", str(self.port)]
        with mock.patch.object(Server, "__init__", noted), contextlib.redirect_stderr(told):
            thread = threading.Thread(target=main, args=(words,), daemon=True)
            thread.start()
            self.threads.append(thread)
            deadline = time.monotonic() + 60
            while "stop it" not in told.getvalue() and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            while thread.is_alive() and not self.servers[-1]._uvicorn.started:
                time.sleep(0.01)
        return told.getvalue().replace(str(self.port), str(PORT))

    def _here(self, code: str) -> str:
        """The port of this story in the place of the page's."""
        return code.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.port}").replace(
            f"--port {PORT}", f"--port {self.port}"
        )

    def _compare(self, place: str, shown: str, printed: str) -> None:
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(shown + "\n", printed, flags)
        assert same, f"{place}\n--- the page shows\n{shown}\n--- it printed\n{printed}"


_LEFT: dict[str, Path] = {}


def tell(page: Path, folder: Path) -> None:
    """Run a page in `folder`, after the page that it goes on from; once, however many go on from it."""
    if page.name in _LEFT:
        return
    earlier = _AFTER.search(page.read_text(encoding="utf-8"))
    if earlier:
        left = page.parent / earlier[1]
        if earlier[1] not in _LEFT:
            tell(left, folder.with_name(f"{folder.name}-{left.stem}"))
        shutil.copytree(_LEFT[earlier[1]], folder, dirs_exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        Story(page).run()
    finally:
        os.chdir(before)
    _LEFT[page.name] = folder
