"""Law 9: every example in a docstring runs and gives what it shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import liju

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(liju.__path__, "liju.")
    if not name.startswith("liju._share") and name != "liju.__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name: str, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert found.failed == 0, f"{found.failed} of {found.attempted} examples in {name}"


def test_there_are_examples_in_every_folder():
    folders = {name.split(".")[1] for name in MODULES if name.count(".") > 1}
    finder = doctest.DocTestFinder(exclude_empty=True)
    shown = {
        name.split(".")[1]
        for name in MODULES
        if name.count(".") > 1 and any(test.examples for test in finder.find(importlib.import_module(name)))
    }
    assert shown >= folders - {"cli"}
