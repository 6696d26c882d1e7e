"""Against NLTK, where its definitions are the same as ours; and where they are not, that this is seen."""

from __future__ import annotations

import numpy as np
import pytest

from liju.ngram import KneserNey

lm = pytest.importorskip("nltk.lm")
TEXTS = ["abcabdabe", "bcdabca", "aabbccdde", "cabcabdd"]
DISCOUNT = 0.4


def nltk_model(order: int):
    """NLTK's interpolated Kneser-Ney, with one <s> before and one </s> after each sentence, as ours."""
    from nltk.util import everygrams

    padded = [["<s>", *text, "</s>"] for text in TEXTS]
    model = lm.KneserNeyInterpolated(order, discount=DISCOUNT)
    model.fit((everygrams(row, max_len=order) for row in padded), sorted({w for row in padded for w in row}))
    return model


def ours(order: int, discount: float = DISCOUNT) -> KneserNey:
    # NLTK has one discount, and neither discount nor a floor for single words.
    return KneserNey(order, discounts=[(0, 0, 0), *[(discount,) * 3] * (order - 1)]).fit(TEXTS)


@pytest.mark.parametrize("order", [2, 3])
def test_interpolated_kneser_ney_is_nltks(order):
    theirs, model = nltk_model(order), ours(order)
    letters = [chr(word) for word in model.words.seen] + ["</s>"]
    # Histories of full length without <s>: of shorter ones NLTK asks how often <s> follows something.
    histories = {text[i : i + order - 1] for text in TEXTS for i in range(len(text) - order + 2)}
    assert len(histories) > 4
    for history in sorted(histories):
        expected = [theirs.score(word, list(history)) for word in letters]
        found = model.distribution(history, start=False)
        np.testing.assert_allclose(found[:-1], expected, rtol=0, atol=1e-12)
        assert found[-1] == 0  # the unknown word: no floor here


def test_another_discount_is_noticed():
    """The test of the test."""
    theirs, wrong = nltk_model(3), ours(3, DISCOUNT + 0.01)
    assert abs(theirs.score("c", ["a", "b"]) - wrong.distribution("ab", start=False)[2]) > 1e-4
