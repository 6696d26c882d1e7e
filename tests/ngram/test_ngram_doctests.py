"""Every example in a docstring of the folder runs."""

import doctest
import importlib
import pkgutil

import pytest

from liju import ngram

MODULES = [module.name for module in pkgutil.iter_modules(ngram.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(f"liju.ngram.{name}")
    names = {"np": __import__("numpy")} | vars(module)
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(f"liju.ngram.{name}") for name in MODULES]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) > 15
