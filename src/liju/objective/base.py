"""What every objective and every task is to the training loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from liju.samples.batch import Sample

__all__ = ["Objective"]


class Objective(Protocol):
    """A source of samples that is a pure function: sample n depends on (fingerprint, seed, n) alone.

    Pre-training objectives and fine-tuning tasks both are this; the loop knows nothing else of them.
    """

    name: str
    fingerprint: str  # of the data and of every setting that changes a sample
    size: int  # samples in one pass over the data
    pad: int  # token that fills empty places
    weights: dict[str, float]  # how much each head's mean loss counts
    label_smoothing: float

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        """Tokens of samples `numbers`: an array [sample, 2], the encoder's side and the decoder's."""
        ...

    def sample(self, number: int) -> Sample:
        """Sample `number` of the endless sequence (number // size is the pass)."""
        ...
