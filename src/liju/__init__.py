"""liju (例句): your own text to a served language model, in any Transformer family.

>>> import liju
>>> liju.__version__
'0.1.0'
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# OpenMP's threads spin while they wait for one another. With anything else on the machine that made training
# five to ten times slower (LOG.md, 2026-11-24); without any spinning a small network on an idle machine is
# 1.4 times slower. A thousand turns, a few microseconds, lose little in both. It must be said before torch is
# imported, and what the user says wins.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
__all__ = ["LijuError", "__version__", "load", "run"]

if TYPE_CHECKING:
    from liju.errors import LijuError
    from liju.finetune.loaded import load
    from liju.project import run

# Where each public name lives. It is imported at first use, so that `liju --help` does not load torch.
_HOME = {"load": "liju.finetune.loaded", "run": "liju.project", "LijuError": "liju.errors"}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'liju' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
