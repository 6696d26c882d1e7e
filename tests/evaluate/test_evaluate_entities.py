"""Entities and their F1 against seqeval, lenient and strict, in every scheme."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.evaluate import entities, entity_scores, scheme_of

LETTERS = {"BIO": "BIO", "BIOES": "BIOES", "BMES": "BMESO", "BILOU": "BILOU"}
# What seqeval knows: for BMES, the same tags in the letters of BIOES.
SEQEVAL = {"BIO": "IOB2", "BIOES": "IOBES", "BMES": "IOBES", "BILOU": "BILOU"}


def tags_of(scheme):
    letters = LETTERS[scheme]
    tag = st.sampled_from([f"{x}-{kind}" for x in letters if x != "O" for kind in ("PER", "LOC.NAM")] + ["O"])
    return st.integers(1, 7).flatmap(lambda n: st.lists(tag, min_size=n, max_size=n))


def sentences(scheme):
    tags = tags_of(scheme)
    pair = tags.flatmap(
        lambda one: st.tuples(
            st.just(one), st.lists(tags.map(lambda t: t[0]), min_size=len(one), max_size=len(one))
        )
    )
    return st.lists(pair, min_size=1, max_size=5)


def theirs(tags, scheme):
    return [[("I" + tag[1:]) if scheme == "BMES" and tag[0] == "M" else tag for tag in one] for one in tags]


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("scheme", list(LETTERS))
def test_scores_are_seqevals(scheme, strict):
    from seqeval import scheme as schemes
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient
    from seqeval.metrics.v1 import precision_recall_fscore_support as by_scheme

    if scheme == "BILOU" and not strict:
        pytest.skip("seqeval's lenient mode does not know L and U")

    def oracle(expected, answers, average):
        both = theirs(expected, scheme), theirs(answers, scheme)
        if strict:
            return by_scheme(*both, average=average, scheme=getattr(schemes, SEQEVAL[scheme]))
        return lenient(*both, average=average)

    @given(sentences(scheme))
    def same(pairs):
        expected, answers = [list(one) for one, _ in pairs], [list(other) for _, other in pairs]
        ours = entity_scores(answers, expected, scheme, strict)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both = [oracle(expected, answers, average) for average in ("micro", "macro")]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(both[0][:3], abs=1e-12)
        if ours.types:  # the mean of no types is NaN there
            assert ours.macro_f1 == pytest.approx(both[1][2], abs=1e-12)

    same()


def test_lenient_repairs_what_strict_refuses():
    torn = ["I-PER", "I-LOC", "O", "E-LOC"]
    assert entities(torn, "BIOES") == [("PER", 0, 1), ("LOC", 1, 2), ("LOC", 3, 4)]
    assert entities(torn, "BIOES", strict=True) == []
    assert entities(["B-A", "B-A", "I-A"], "BIO", strict=True) == [("A", 0, 1), ("A", 1, 3)]
    # In BIOES an entity must say where it ends.
    assert entities(["B-A", "I-A", "O"], "BIOES", strict=True) == []
    assert entities(["B-A", "I-A", "O"], "BIOES") == [("A", 0, 2)]


def test_the_scheme_is_read_off_all_sentences():
    assert scheme_of([["O"], ["B-A", "I-A"]]) == "BIO"
    assert scheme_of([["O"], ["B-A", "E-A"]]) == "BIOES"
    assert scheme_of([["B-A", "M-A", "E-A", "S-B"]]) == "BMES"
    assert scheme_of([["U-A", "L-A"]]) == "BILOU"
    with pytest.raises(DataError, match="begin with B, M, U are of no scheme"):
        scheme_of([["B-A", "M-A", "U-A"]])


def test_sentences_do_not_run_into_each_other():
    scores = entity_scores([["B-A"], ["I-A"]], [["B-A"], ["I-A"]])
    assert scores.types[0].support == 2


def test_a_type_may_have_a_hyphen_and_a_tag_no_type():
    assert entities(["B-A-B", "I-A-B", "B-A"]) == [("A-B", 0, 2), ("A", 2, 3)]
    assert entities(["B", "I", "O"]) == [("_", 0, 2)]


def test_nothing_found_and_nothing_there():
    scores = entity_scores([["O", "O"]], [["O", "O"]])
    assert (scores.precision, scores.recall, scores.f1, scores.macro_f1, scores.types) == (0, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("answers", "expected", "message"),
    [
        ([["O"], ["O"]], [["O"], ["O", "O"]], "sentence 2: 1 tags answered for 2"),
        ([["O"]], [["O"], ["O"]], "1 answers for 2"),
        ([["B-A", "PER"]], [["B-A", "O"]], "begin with B, O, P are of no scheme"),
        ([["B-A", "B-"]], [["B-A", "O"]], "sentence 1: tag 2 is 'B-'"),
        ([["B-A", "O-A"]], [["B-A", "O"]], "sentence 1: tag 2 is 'O-A'"),
        ([["B-A", "BA"]], [["B-A", "O"]], "sentence 1: tag 2 is 'BA'"),
    ],
)
def test_bad_tags_are_named_by_sentence_and_place(answers, expected, message):
    with pytest.raises(DataError, match=message):
        entity_scores(answers, expected)
    with pytest.raises(DataError, match="'B-PER' is one text"):
        entities("B-PER")
