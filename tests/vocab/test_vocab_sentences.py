"""Sentences: pieces that are the text, cut where a reader would cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.config import Vocab
from liju.vocab import sentences, train

alphabet = st.sampled_from("aZ 好　。！？.!?…\"'”“」\n\t1,，)")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet, max_size=40)))
def test_pieces_are_the_text(text):
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert all(piece.strip() for piece in pieces) or not text.strip()


@pytest.mark.parametrize(
    "pieces",
    [
        ["你好。", "我是小明！", "你呢？"],
        ["“你好。”", "他说：“走吧！”", "他们走了。"],
        ["真的吗？！", "是的……大概吧。"],
        ["价格是3.5元。", "Python 3.11发布了。"],
        ["It works.", " Really?", " Yes!", ' "Good," he said.'],
        ["Mr. Smith and Dr. J. K. Lee met at 5 p.m. on Jan. 3, e.g. in the U.S. Army.", " They left."],
        ["He saw I.", " Then he left... and came back.", " See?"],
        ["第一行标题", "\n第二行没有句号", "\n\n第三段。"],
        ["A Title", "\n\nA line that was wrapped at a width of more than sixty characters\nContinues here."],
        ["好吗?", "好!", " 行."],
        [" \n 只有一句。  \n"],
        ["没有标点的一句话"],
    ],
)
def test_cuts_where_a_reader_would(pieces):
    assert sentences("".join(pieces)) == pieces


def test_empty_and_very_long():
    assert sentences("") == []
    assert sentences("  \n ") == ["  \n "]
    assert sentences("长" * 100_000 + "。完。") == ["长" * 100_000 + "。", "完。"]


WORDS = ["The cat", " sat", "学习语言", "，", " model", "3.5", "iPhone"]
ENDS = ["。", "！", "？", ". ", "! ", "?\n", "。\n\n", "...  "]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def tokenizer():
    return train(["".join(WORDS) + end for end in ENDS] * 9, Vocab(size=380), "decoder")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), st.sampled_from(ENDS)), max_size=5
    )
)
def test_tokens_of_the_pieces_are_the_tokens_of_the_whole(tokenizer, parts):
    text = "".join("".join(words) + end for words, end in parts)
    whole = tokenizer.encode(text)
    assert [i for ids in tokenizer.encode_batch(sentences(text)) for i in ids] == whole
