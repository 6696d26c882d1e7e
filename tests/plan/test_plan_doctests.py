"""Every example in a docstring of the folder runs."""

import doctest
import importlib
import pkgutil

import pytest

from liju import plan

MODULES = [module.name for module in pkgutil.iter_modules(plan.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(f"liju.plan.{name}"))
    assert tried and not failed
