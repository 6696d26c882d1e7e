"""Training: the same text gives the same file, memory is bounded, too little text is said."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.config import Vocab
from liju.errors import TokenizerError
from liju.vocab import train
from liju.vocab.train import sample
from liju.vocab.unigram import unigram
from liju.vocab.words import COUNTING, CUT, BoundedCounter

TEXTS = [
    f"{a}{b}的{c}，The {x} {y} sat {n} times."
    for n, (a, b, c, x, y) in enumerate(
        (a, b, c, x, y)
        for a in "红黄蓝绿"
        for b in "花草树木"
        for c in ["故事", "学习", "语言模型"]
        for x in ["red", "yellow"]
        for y in ["flower", "grass", "tree"]
    )
]

# Chinese without a clause twice: 3 MB a million characters.
CHINESE = """
import random, sys
from liju.config import Vocab
from liju.vocab import train

def clauses(thousands):
    draw = random.Random(5)
    weights = [1 / (n + 5) for n in range(3000)]
    letters = [chr(0x4E00 + n) for n in range(3000)]
    for _ in range(thousands):
        yield "".join(draw.choices(letters, weights, k=1000))

sys.modules["liju.vocab.train"].BoundedCounter.__init__.__defaults__ = (20_000,)
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 1024
before = peak()
tokenizer = train(clauses(int(sys.argv[1])), Vocab(kind=sys.argv[2], size=4000), "encdec")
print(peak() - before, tokenizer.report.distinct_words)
"""


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_the_same_text_gives_the_same_bytes_in_another_process(tmp_path, kind):
    code = (
        "import sys; from liju.config import Vocab; from liju.vocab import train;"
        "texts = open(sys.argv[1], encoding='utf-8').read().splitlines();"
        "train(texts, Vocab(kind=sys.argv[2], size=450), 'encdec').save(sys.argv[3])"
    )
    (tmp_path / "texts").write_text("\n".join(TEXTS), encoding="utf-8")
    files = []
    for run in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, tmp_path / "texts", kind, tmp_path / run], check=True)
        files.append((tmp_path / run / "tokenizer.json").read_bytes())
    train(TEXTS, Vocab(kind=kind, size=450), "encdec").save(tmp_path / "c")
    assert files[0] == files[1] == (tmp_path / "c" / "tokenizer.json").read_bytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_memory_does_not_follow_the_length_of_chinese(kind):
    peaks = []
    for thousands in (100, 700):
        done = subprocess.run(
            [sys.executable, "-c", CHINESE, str(thousands), kind], check=True, capture_output=True, text=True
        )
        megabytes, words = map(float, done.stdout.split())
        assert words <= 20_000
        peaks.append(megabytes)
    # Seven times the text, 150,000 windows more that occur once. What grows is the sample itself.
    assert peaks[1] - peaks[0] < 45, peaks


def test_a_run_of_han_is_never_one_word():
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    def cut(pattern: str, text: str) -> list[str]:
        return [word for word, _ in Split(Regex(pattern), "isolated").pre_tokenize_str(text)]

    assert cut(COUNTING, "我们都喜欢iPhone手机 12.5") == [
        "我们都喜",
        "欢",
        "iPhone",
        "手机",
        " ",
        "1",
        "2",
        ".",
        "5",
    ]
    assert cut(CUT, "我们都喜欢iPhone手机") == ["我们都喜欢", "iPhone", "手机"]
    assert cut(CUT, "I'm नमस्ते दुनिया  x") == ["I", "'m", " नमस्ते", " दुनिया", " ", " x"]
    tokenizer = train(["北京大学学生会主席团" * 3] * 50, Vocab(size=400), "decoder")
    words = tokenizer.tokens(range(3, tokenizer.size))
    assert "北京大学" in words and max(map(len, (word for word in words if "\\x" not in word))) == 4
    # No edge of a window shows: the tokens of a word do not depend on what stands before it.
    assert tokenizer.tokens(tokenizer.encode("很北京大学"))[-1] == "北京大学"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=6), max_size=9), max_size=9), st.integers(3, 9))
def test_halving_loses_no_character(batches, limit):
    counter = BoundedCounter(limit)
    for batch in batches:
        counter.add(batch)
        assert len(counter.counts) <= limit
    text = "".join(word for batch in batches for word in batch)
    counted = "".join(word * times for word, times in counter.counts.items())
    assert sorted(counted) == sorted(text)


def test_the_sample_is_even_and_bounded():
    held, passed = sample((f"{'ab'[n % 2]}{n:07d}" for n in range(20000)), limit=16000)
    assert passed == 160000 and 8000 * 0.8 < sum(map(len, held)) <= 16000
    places = [int(text[1:]) for text in held]
    assert places == sorted(places)
    for quarter in range(4):
        share = sum(quarter * 5000 <= place < (quarter + 1) * 5000 for place in places) / len(places)
        assert 0.2 < share < 0.3
    # Sources that take turns stay balanced, as every second text would not be.
    assert 0.45 < sum(text[0] == "a" for text in held) / len(held) < 0.55
    assert sample(["好" * 100], limit=30)[0] == ["好" * 100]  # never nothing
    book, _ = sample(["x" * 1_000_000], limit=300_000)
    assert 100_000 < sum(map(len, book)) <= 300_000
    report = train(TEXTS * 20, Vocab(size=400, sample_megabytes=0.01), "decoder").report
    assert report.bytes_used <= 10_000 < report.bytes_read


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_too_little_text_gives_a_smaller_vocabulary_and_says_so(kind):
    tokenizer = train(["短文 short text"] * 2, Vocab(kind=kind, size=5000), "encdec")
    assert tokenizer.size == tokenizer.report.size < 500
    assert tokenizer.report.requested == 5000
    (warning,) = tokenizer.report.warnings
    assert f"only {tokenizer.size} of the 5000" in warning
    assert tokenizer.sentinels[0] == tokenizer.size - 1
    full = train(TEXTS, Vocab(kind=kind, size=370), "encdec")
    assert kind == "wordpiece" or (full.size == 370 and full.report.warnings == [])


def test_half_a_surrogate_pair_does_not_stop_training():
    assert train(["a\ud800b"] * 3 + TEXTS, Vocab(size=300), "decoder").size == 300


def test_no_text_and_no_room_are_errors():
    for texts in ([], ["", "  \n"]):
        with pytest.raises(TokenizerError, match="no text"):
            train(texts, Vocab(size=300), "decoder")
    with pytest.raises(TokenizerError, match="300 leaves no room beside 103 special tokens and 256 bytes"):
        train(TEXTS, Vocab(size=300), "encdec")
    with pytest.raises(TokenizerError, match="unknown family"):
        train(TEXTS, Vocab(size=300), "encodr")


def test_lowercase_is_part_of_the_file(tmp_path):
    tokenizer = train(TEXTS, Vocab(size=400, lowercase=True), "decoder")
    assert tokenizer.encode("THE Flower") == tokenizer.encode("the flower")
    assert tokenizer.decode(tokenizer.encode("THE Flower")) == "the flower"


def test_unigram_prefers_the_likelier_segmentation():
    pieces = dict(unigram([("学习", 30), ("学生", 10), ("习", 5), ("生", 5)], size=5))
    assert set(pieces) == {"学", "习", "生", "学习", "学生"}
    assert pieces["学习"] > pieces["学生"] > pieces["学"]
    assert unigram([], size=5) == []
