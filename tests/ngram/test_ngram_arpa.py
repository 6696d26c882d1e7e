"""ARPA files: out and in again, as KenLM writes them, and every way they can be wrong."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.ngram import BackoffModel, KneserNey, Lexicon, read_arpa, write_arpa

# What KenLM's lmplz -o 3 --discount_fallback made of these sentences (commit 4cb443e).
KENLM = Path(__file__).with_name("kenlm_toy.arpa")
SENTENCES = """\
the cat sat on the mat
the dog sat on the log
a cat saw the dog on the mat

the dog saw a cat
春 眠 不 觉 晓
处 处 闻 啼 鸟
the cat sat
"""

texts = st.lists(st.lists(st.integers(0, 4), max_size=9), min_size=1, max_size=9)


def toy() -> tuple[KneserNey, Lexicon]:
    rows = [line.split() for line in SENTENCES.splitlines()]
    lexicon = Lexicon.of(rows)
    return KneserNey(3).fit([lexicon.ids(row) for row in rows]), lexicon


def test_estimates_are_kenlms():
    ours, lexicon = toy()
    theirs = read_arpa(KENLM)
    assert sorted(theirs.lexicon) == lexicon.words
    for sentence in ("the cat sat on a dog", "cow 春 眠 the", "", "鸟 sat log", "the dog saw the dog saw"):
        words = sentence.split()
        expected = theirs.logprob(theirs.lexicon.ids(words))
        np.testing.assert_allclose(ours.logprob(lexicon.ids(words)), expected, rtol=0, atol=1e-6)


def test_every_run_is_kenlms(tmp_path):
    """Not only what a few sentences ask: each listed probability and weight."""
    model, lexicon = toy()
    write_arpa(model, tmp_path / "ours.arpa", lexicon)

    def listed(path):
        found = {}
        for line in path.read_text().splitlines():
            fields = line.split("\t")
            if len(fields) > 1 and fields[1] != "<s>":
                found[fields[1]] = (float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0)
        return found

    ours, theirs = listed(tmp_path / "ours.arpa"), listed(KENLM)
    assert ours.keys() == theirs.keys() and len(ours) == 20 + 33 + 32
    for run, numbers in theirs.items():
        assert ours[run] == pytest.approx(numbers, abs=1e-6), run


@settings(max_examples=40, deadline=None)
@given(texts, st.lists(st.integers(0, 6), max_size=7), st.integers(1, 4), st.booleans())
def test_backoff_form_has_the_same_probabilities(training, query, order, closed):
    model = KneserNey(order, vocabulary=7 if closed else None).fit(training)
    same = BackoffModel.of(model)
    np.testing.assert_allclose(same.logprob(query), model.logprob(query), rtol=0, atol=1e-9)
    for start in (True, False):
        np.testing.assert_allclose(
            same.distribution(query, start), model.distribution(query, start), rtol=0, atol=1e-12
        )


@settings(max_examples=40, deadline=None)
@given(texts, st.lists(st.integers(0, 6), max_size=7), st.integers(1, 4), st.booleans())
def test_read_is_written(tmp_path_factory, training, query, order, closed):
    path = tmp_path_factory.mktemp("arpa") / "model.arpa"
    model = KneserNey(order, vocabulary=7 if closed else None).fit(training)
    same = BackoffModel.of(model)
    write_arpa(model, path)
    again = read_arpa(path, ids=int)
    np.testing.assert_array_equal(again.logprob(query), same.logprob(query))  # to the last bit
    write_arpa(again, path.with_name("again.arpa"))
    assert path.read_bytes() == path.with_name("again.arpa").read_bytes()
    by_word = read_arpa(path)
    known = [word for word in query if str(word) in by_word.lexicon]
    np.testing.assert_array_equal(by_word.logprob(by_word.lexicon.ids(map(str, known))), same.logprob(known))


def test_compressed_is_the_same_and_repeats(tmp_path):
    model, lexicon = toy()
    for name in ("a.arpa", "a.arpa.gz", "b.arpa.gz"):
        write_arpa(model, tmp_path / name, lexicon)
    assert gzip.decompress((tmp_path / "a.arpa.gz").read_bytes()) == (tmp_path / "a.arpa").read_bytes()
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()
    ids = read_arpa(tmp_path / "a.arpa.gz").lexicon.ids(["the", "cow"])
    np.testing.assert_array_equal(*(read_arpa(tmp_path / n).logprob(ids) for n in ("a.arpa", "b.arpa.gz")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.arpa", "a.arpa.gz", "b.arpa.gz"]
    write_arpa(model, tmp_path / "short.arpa", lexicon, digits=6)
    short = read_arpa(tmp_path / "short.arpa")
    np.testing.assert_allclose(short.logprob(ids), model.logprob(lexicon.ids(["the", "cow"])), atol=1e-4)
    assert (tmp_path / "short.arpa").stat().st_size < (tmp_path / "a.arpa").stat().st_size


def test_a_closed_vocabulary_stays_closed(tmp_path):
    model = KneserNey(2, vocabulary=5).fit([[1, 2], [2, 1, 4]])
    write_arpa(model, tmp_path / "closed.arpa", names=list("vwxyz"))
    again = read_arpa(tmp_path / "closed.arpa")
    assert "<unk>" not in (tmp_path / "closed.arpa").read_text() and again.lexicon.words == list("vwxyz")
    assert again.distribution([1]).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(DataError, match="outside the vocabulary of 5"):
        again.logprob([7])


def test_the_end_of_a_tokenizer_is_the_end(tmp_path):
    model = KneserNey(3, vocabulary=5, end=0).fit([[1, 2, 3], [2, 3, 4]])
    write_arpa(model, tmp_path / "end.arpa")
    again = read_arpa(tmp_path / "end.arpa")
    ids = again.lexicon.ids(["2", "3"])
    np.testing.assert_allclose(again.logprob(ids), model.logprob([2, 3]), atol=1e-12)
    assert "0" not in again.lexicon


def test_names_that_a_file_cannot_hold(tmp_path):
    model = KneserNey(2).fit(["a b", "ab"])
    path = tmp_path / "x.arpa"
    with pytest.raises(DataError, match=r"' ' \(id 32\)") as error:
        write_arpa(model, path, names=chr)
    assert "▁" in error.value.hint and not path.exists()
    write_arpa(model, path, names=lambda id: {" ": "▁"}.get(chr(id), chr(id)))
    assert "▁ b" in path.read_text()
    # Not ASCII, so no separator to KenLM or to us.
    write_arpa(model, path, names=lambda id: {" ": "\u3000", "a": "\xa0"}.get(chr(id), chr(id)))
    assert set(read_arpa(path).lexicon) == {"\u3000", "\xa0", "b"}
    for names, words in (
        (lambda id: "<s>", "meaning of its own"),
        (lambda id: "same", "two ids have the name 'same'"),
        (lambda id: "", "cannot stand"),
        (["only", "three", "names"], "3 names for ids up to 98"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            write_arpa(model, path, names=names)
    with pytest.raises(DataError, match="has no id"):
        read_arpa(path, ids=int)


def test_what_other_programs_write_is_read(tmp_path):
    path = tmp_path / "srilm.arpa"
    text = KENLM.read_text().replace("0\t<s>\t", "-99\t<s>\t").replace("\n", "\r\n")
    text = text.replace("\t", " ").replace("<unk>", "<UNK>").replace("ngram 1=21", "ngram  1 = 21")
    path.write_text("a remark\n" + text, newline="")
    ids = read_arpa(path).lexicon.ids(["the", "cow", "sat"])
    np.testing.assert_array_equal(read_arpa(path).logprob(ids), read_arpa(KENLM).logprob(ids))
    assert "<UNK>" not in read_arpa(path).lexicon


def line_of(text: str, start: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start))


WRONG = [
    # what to replace, by what, what is said, at the line that begins with
    ("ngram 2=33", "ngram 2=34", "33 2-grams before this line, and \\data\\ says 34", "\\3-grams:"),
    ("ngram 2=33", "ngram 2=x", "'ngram 2=x' is not 'ngram N=COUNT'", "ngram 2=x"),
    ("ngram 2=33", "ngram 4=33", "the count of 4-grams where that of 2-grams is due", "ngram 4"),
    ("\\2-grams:", "\\3-grams:", "'\\\\3-grams:' where \\2-grams: is due", "\\3-grams:"),
    ("\\end\\", "\\4-grams:", "'\\\\4-grams:' where \\end\\ is due", "\\4-grams:"),
    ("-1.3945203\tcat", "-1.39x\tcat", "'-1.39x' is not a number", "-1.39x"),
    ("-1.3945203\tcat", "nan\tcat", "NaN is no logarithm", "nan"),
    ("-1.3945203\tcat", "1.5\tcat", "the probability 10^1.5 is above one", "1.5\tcat"),
    (
        "cat\t-0.30103",
        "cat\tcat\t-0.30103",
        "a number, 1 words and perhaps a number",
        "-1.3945203\tcat",
    ),
    ("-0.9202469\tthe cat", "-0.9202469\tcat", "'-0.30103' is not among the 1-grams", "-0.9202469"),
    ("\tcat\t", "\tthe\t", "the 1-gram 'the' is listed twice", "-1.3945203\tthe"),
    ("\tsaw the\t", "\ton the\t", "the 2-gram 'on the' is listed twice", "-0.5742459\ton the"),
    ("\ton the\t", "\tin the\t", "'in' is not among the 1-grams", "-0.28690034"),
    ("\ton the\t", "\tmat on\t", "the history 'on the' of 'on the mat' is not among the 2-grams", None),
    ("<s>", "<t>", "there is no <s> among the 1-grams", "\\2-grams:"),
]


@pytest.mark.parametrize("old, new, said, line", WRONG, ids=[wrong[2] for wrong in WRONG])
def test_a_malformed_file_is_named_with_its_line(tmp_path, old, new, said, line):
    text = KENLM.read_text()
    assert old in text
    text = text.replace(old, new) if old == "<s>" else text.replace(old, new, 1)
    path = tmp_path / "wrong.arpa"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_arpa(path)
    assert said in error.value.message
    found = re.fullmatch(r".*wrong\.arpa:(\d+): .*", error.value.message)
    assert found
    if line:
        assert int(found[1]) == line_of(text, line)


def test_a_torn_file_says_so(tmp_path):
    whole = KENLM.read_bytes()
    for name, data in {
        "half.arpa": whole[: len(whole) // 2],
        "head.arpa": b"ngram 1=3\n",
        "no.arpa": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{name}:\d+: the file ends before") as error:
            read_arpa(tmp_path / name)
        assert "torn" in error.value.hint
    packed = gzip.compress(whole)
    (tmp_path / "torn.arpa.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "plain.arpa.gz").write_bytes(whole)
    for name in ("torn.arpa.gz", "plain.arpa.gz"):
        with pytest.raises(DataError, match="cannot be read on from here"):
            read_arpa(tmp_path / name)
    (tmp_path / "latin.arpa").write_bytes(whole.replace("春".encode(), b"\xe9"))
    with pytest.raises(DataError, match=r"latin\.arpa:\d+: .* is not UTF-8"):
        read_arpa(tmp_path / "latin.arpa")
    with pytest.raises(DataError, match="no such file"):
        read_arpa(tmp_path / "none.arpa")


def test_the_same_word_twice_in_a_lexicon():
    with pytest.raises(DataError, match="'b' is listed twice"):
        Lexicon(["a", "b", "c", "b"])
