"""What every test shares: where real data is, and quiet, seeded, single-threaded torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)  # toys are fastest so, and a busy machine does not slow them down

# The machine may be slow and shared: no deadline, and the same examples on every run.
settings.register_profile(
    "liju", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("liju")

DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


@pytest.fixture
def data() -> Path:
    """The folder of real data sets, which a clone may not have."""
    if not DATA.exists():
        pytest.skip(f"no real data at {DATA} (set LIJU_DATA)")
    return DATA


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
