"""Models that are made once, and a server for them."""

from __future__ import annotations

import pytest
from prompt_toys import make

from liju.config import Serve
from liju.prompt import LocalModel
from liju.serve import Server


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """A decoder."""
    return LocalModel(make(tmp_path_factory.mktemp("writer") / "writer"))


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    """An encoder-decoder."""
    return LocalModel(make(tmp_path_factory.mktemp("translator") / "translator", "encdec"))


@pytest.fixture(scope="session")
def server(writer):
    """The decoder behind a socket."""
    with Server(writer.loaded, Serve(port=0)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
