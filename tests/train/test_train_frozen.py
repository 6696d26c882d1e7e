"""A change that moves the numbers of a training is seen: its losses are those that were frozen."""

import json

import pytest
from frozen_curves import FROZEN, OBJECTIVES, STEPS, curve, machine

# Of another CPU or torch, nats. Measured: 8e-7 at most between AVX-512, AVX2 and no vector units.
BOUND = 1e-3
KNOWN = json.loads(FROZEN.read_text())


@pytest.mark.parametrize("family", OBJECTIVES)
def test_losses_are_those_that_were_frozen(family):
    found, known = curve(family), KNOWN["curves"][family]
    assert len(found) == len(known) == STEPS
    if machine() == KNOWN["machine"]:
        assert found == known, "the numbers moved: if that is meant, python tests/train/frozen_curves.py"
    assert found == pytest.approx(known, abs=BOUND)


def test_the_curves_learn_and_a_small_change_is_seen():
    for known in KNOWN["curves"].values():
        assert sum(known[-5:]) / 5 < 0.95 * known[0]
    moved = curve("decoder", learning_rate=3.3e-3)
    assert moved != pytest.approx(KNOWN["curves"]["decoder"], abs=BOUND)
