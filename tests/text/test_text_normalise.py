"""Normalisation, duplicates, the split and the guess of the language."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.text import fingerprint, guess_language, held_out, normalise
from liju.text.dedupe import first_of_each


@pytest.mark.parametrize(
    ("raw", "clean", "changes"),
    [
        ("schÃ¶n â€“ gut", "schön – gut", ["repaired"]),
        ("good line\nbad lÃ­ne", "good line\nbad líne", ["repaired"]),
        ("ä¸­æ–‡", "中文", ["repaired"]),
        ("e\u0301", "é", ["nfc"]),
        ("a\u200bb\x00c\x1b[31md\x1b[0m", "abcd", ["controls"]),
        ("\ufeffword", "word", ["controls"]),
        ("one\r\ntwo\rthree  \n\n\n\nfour\n", "one\ntwo\nthree\n\nfour", ["spaces"]),
        ("\u3000\u3000段落。\n\u3000\u3000第二段。", "段落。\n第二段。", ["spaces"]),
        ("def f():\n    return  1", "def f():\n    return 1", ["spaces"]),
        ("naïve café – “quoted” ÂNGSTRÖM", "naïve café – “quoted” ÂNGSTRÖM", []),
        ("ＡＢＣ１２３", "ＡＢＣ１２３", []),
        ("👩\u200d💻 क\u094d\u200dष", "👩\u200d💻 क\u094d\u200dष", []),
    ],
)
def test_what_is_done_and_said(raw, clean, changes):
    assert normalise(raw) == (clean, changes)


def test_forms_and_switches():
    assert normalise("ＡＢＣ１２３", "nfkc") == ("ABC123", ["nfkc"])
    assert normalise("e\u0301", "none") == ("e\u0301", [])
    # This one becomes a space and an accent, and the space is tidied too.
    assert normalise("\u02d8x", "nfkc") == ("\u0306x", ["nfkc", "spaces"])
    assert normalise("schÃ¶n", mend=False) == ("schÃ¶n", [])


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40), st.sampled_from(["nfc", "nfkc", "none"]))
def test_normalising_twice_changes_nothing_more(text, form):
    once, _ = normalise(text, form, mend=False)
    assert normalise(once, form, mend=False) == (once, [])
    once.encode()


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_letters_and_digits_are_never_lost(text):
    kept = [character for character in normalise(text, "none", mend=False)[0] if character.isalnum()]
    assert kept == [character for character in text if character.isalnum()] or "\x1b" in text


def test_fingerprint_folds_case_and_spaces():
    assert fingerprint("The\n cat") == fingerprint("the cat") != fingerprint("thecat")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.tuples(st.integers(0, 3), st.integers(0, 9)))), st.randoms()
)
def test_kept_duplicate_does_not_depend_on_the_order(rows, random):
    def kept(rows):
        order = first_of_each([row[0] for row in rows], [row[1] for row in rows])
        return [rows[place] for place in order]

    shuffled = rows[:]
    random.shuffle(shuffled)
    assert (
        kept(rows)
        == kept(shuffled)
        == sorted({name: min(r for r in rows if r[0] == name) for name, _ in rows}.values())
    )


def test_held_out_share_and_seed():
    names = [str(number) for number in range(5000)]
    first = {name for name in names if held_out(name, 0.1)}
    second = {name for name in names if held_out(name, 0.1, seed=1)}
    assert 400 < len(first) < 600 and first != second
    # A larger share holds all that a smaller one does.
    assert first < {name for name in names if held_out(name, 0.2)}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("他在用 PyTorch 训练模型", "zh"),
        ("He said: 你好", "zh"),
        ("The word 例句 means an example sentence, which is what a model is fed.", "en"),
        ("Привет, мир", "other"),
        ("안녕하세요", "other"),
        ("", "other"),
    ],
)
def test_language(text, language):
    assert guess_language(text) == language
