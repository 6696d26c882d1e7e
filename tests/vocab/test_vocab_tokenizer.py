"""Tokenizers against Hugging Face's own, and the laws: nothing is lost, no text becomes a special token."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models

from liju.config import Vocab
from liju.errors import TokenizerError
from liju.vocab import SENTINELS, Tokenizer, train

os.environ.setdefault("HF_HUB_OFFLINE", "1")
DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))

TEXTS = [
    "The cat sat on the mat, and the other cats sat on the mats.",
    "例句是给人学习的句子，也是给语言模型学习的句子。学习语言，学习模型。",
    "def train(model): return model.train()  # 训练模型 2024",
] * 5
MIXED = [
    "Hello, world! Don't stop.",
    "我们在北京大学学习 Python 3.11，喜欢 AI。",
    "🙂👩‍👩‍👧 emoji 与 中文混排 café ÀÉÎ",
    "for i in range(10):\n\tprint(f'{i:>3}')  # \u3000全角",
    "   leading and trailing   \n\n",
    "1234567890 3.14 ½ ①",
    "",
]
NAMES = ["[MASK]", "[CLS] [SEP]", "</s>", "<s>", "a<pad>b", "<extra_id_0>", "<unk>[UNK]", "<|endoftext|>"]


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, str], Tokenizer]:
    return {
        (kind, family): train(TEXTS, Vocab(kind=kind, size=420), family)
        for kind in ("bpe", "wordpiece", "unigram")
        for family in ("encoder", "decoder", "encdec")
    }


def test_special_tokens_have_their_places(made):
    for (kind, family), tokenizer in made.items():
        assert tokenizer.pad == 0
        if family == "encoder":
            assert [tokenizer.pad, tokenizer.unk, tokenizer.cls, tokenizer.sep, tokenizer.mask] == [
                0,
                1,
                2,
                3,
                4,
            ]
            assert tokenizer.bos is None and tokenizer.sentinels == []
        if family == "decoder":
            assert [tokenizer.pad, tokenizer.bos, tokenizer.eos] == [0, 1, 2]
            assert (tokenizer.unk is None) == (kind == "bpe")
        if family == "encdec":
            assert [tokenizer.pad, tokenizer.eos, tokenizer.unk] == [0, 1, 2]
            top = tokenizer.size - 1
            assert tokenizer.sentinels == [top - n for n in range(SENTINELS)]
            assert tokenizer.tokens(tokenizer.sentinels[:2]) == ["<extra_id_0>", "<extra_id_1>"]
        every = [i for text in [*TEXTS, *MIXED] for i in tokenizer.encode(text)]
        assert max(every) < tokenizer.size == len(tokenizer)


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
@settings(max_examples=150, deadline=None)
@given(text=st.text())
@example("a\u0301\u200d\U0001f469\u2028\x00\ufeff  \r\n")
@example("</s>[MASK]<extra_id_3>")
def test_bytes_give_the_text_back(made, family, text):
    tokenizer = made["bpe", family]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert "".join(tokenizer.tokens(ids)) == text or "\\x" in "".join(tokenizer.tokens(ids))


@settings(max_examples=80, deadline=None)
@given(text=st.text())
def test_unigram_gives_the_text_back(made, text):
    tokenizer = made["unigram", "encdec"]
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("▁", " ")


def test_half_a_surrogate_pair_is_a_replacement_character(made):
    tokenizer = made["bpe", "decoder"]
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"


@pytest.mark.parametrize("text", NAMES)
def test_text_never_becomes_a_special_token(made, text):
    for (kind, _), tokenizer in made.items():
        special = set(tokenizer._special) - {tokenizer.unk}
        for around in (text, f"好{text}", f"x {text} y", text * 2):
            assert not special.intersection(tokenizer.encode(around))
            if kind != "wordpiece":
                assert tokenizer.decode(tokenizer.encode(around)) == around


def test_a_vocabulary_that_reads_its_special_tokens_is_guarded(tmp_path):
    # As in T5: a Unigram model without a cut at punctuation finds "</s>" among its own pieces.
    from tokenizers import AddedToken, decoders, models
    from tokenizers import Tokenizer as Backend

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in "</s>ab")]
    backend = Backend(models.Unigram(pieces, unk_id=2))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("<pad>", "</s>", "<unk>")])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    ids = tokenizer.encode("a</s>b</s>")
    assert tokenizer.eos == 1 and 1 not in ids
    assert tokenizer.decode(ids) == "a</s>b</s>"


def test_pairs_have_types(made):
    tokenizer = made["wordpiece", "encoder"]
    cls, sep = tokenizer.cls, tokenizer.sep
    assert tokenizer.pair([7, 8]) == ([cls, 7, 8, sep], [0, 0, 0, 0])
    assert tokenizer.pair([7], [8, 9, 10]) == ([cls, 7, sep, 8, 9, 10, sep], [0, 0, 0, 1, 1, 1, 1])
    assert tokenizer.pair([], []) == ([cls, sep, sep], [0, 0, 1])
    with pytest.raises(TokenizerError, match=r"no \[CLS\]"):
        made["bpe", "decoder"].pair([7])


def test_chinese_is_read_without_spaces(made):
    tokenizer = made["wordpiece", "encoder"]
    assert tokenizer.decode(tokenizer.encode("学习语言，cat 学习")) == "学习语言，cat 学习"
    assert tokenizer.tokens(tokenizer.encode("学习模型")) == ["学", "习", "模", "型"]


def test_scores_that_are_read_back_with_another_last_digit_change_no_fingerprint(tmp_path):
    """The scores of SentencePiece are of single precision; `tokenizers` reads some of them back not quite."""
    scores = [(f"{i}", float(np.float32(-i / 7))) for i in range(1, 500)]
    tokenizer = Tokenizer(Backend(models.Unigram([("<unk>", 0.0), *scores], unk_id=0)), {"unk": "<unk>"})
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.backend.to_str() != tokenizer.backend.to_str()  # else this test is for nothing
    assert again.fingerprint == tokenizer.fingerprint
    scores[7] = ("8", scores[7][1] - 1e-6)
    other = Tokenizer(Backend(models.Unigram([("<unk>", 0.0), *scores], unk_id=0)), {"unk": "<unk>"})
    assert other.fingerprint != tokenizer.fingerprint


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_saved_folder_is_the_same_for_transformers(made, tmp_path, kind, family):
    from transformers import AutoTokenizer

    tokenizer = made[kind, family]
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint and again.roles == tokenizer.roles
    assert again.sentinels == tokenizer.sentinels and len(theirs) == tokenizer.size
    for a, b in zip(MIXED, [*MIXED[1:-1], "x", "y"], strict=True):
        ours = [tokenizer.encode(a), tokenizer.encode(b)]
        assert ours == again.encode_batch([a, b])
        if family == "encoder":
            both = theirs(a, b)
            assert (both["input_ids"], both["token_type_ids"]) == tokenizer.pair(*ours)
            one = theirs(a)
            assert (one["input_ids"], one["token_type_ids"]) == tokenizer.pair(ours[0])
        elif family == "decoder":
            assert theirs(a)["input_ids"] == [tokenizer.bos, *ours[0]]
        else:
            assert theirs(a)["input_ids"] == [*ours[0], tokenizer.eos]
    for role, token in tokenizer.roles.items():
        assert getattr(theirs, f"{role}_token") == token
        assert getattr(theirs, f"{role}_token_id") == getattr(tokenizer, role)


def _unpack(tmp_path: Path, **files: str) -> Path:
    for name, source in files.items():
        path = DATA / source
        if not path.is_file():
            pytest.skip(f"{path} is not here")
        (tmp_path / name.replace("_", ".")).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_gpt2_token_for_token(tmp_path):
    folder = _unpack(tmp_path, vocab_json="gpt2-bpe/encoder.json.gz", merges_txt="gpt2-bpe/vocab.bpe.gz")
    from transformers import GPT2Tokenizer

    theirs = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    ours = Tokenizer.load(folder)
    assert ours.size == 50257 and ours.eos == ours.bos == 50256
    for text in [*MIXED, *TEXTS[:3]]:
        assert ours.encode(text) == theirs(text)["input_ids"], text
        assert ours.decode(ours.encode(text)) == text
    assert 50256 not in ours.encode("<|endoftext|>")
    as_decoder = train([], Vocab(path=str(folder)), "decoder")
    assert as_decoder.pad == as_decoder.eos == 50256
    with pytest.raises(TokenizerError, match="that are not there: pad, cls, sep, mask"):
        train([], Vocab(path=str(folder)), "encoder")


BERT = [("bert-base-chinese", 21128), ("bert-base-uncased", 30522)]


@pytest.mark.parametrize(("name", "size"), BERT)
def test_bert_token_for_token(tmp_path, name, size):
    folder = _unpack(tmp_path, vocab_txt=f"bert-vocab/{name}.vocab.txt.gz")
    from transformers import BertTokenizer

    theirs = BertTokenizer(str(folder / "vocab.txt"))
    ours = Tokenizer.load(folder / "vocab.txt")
    assert ours.size == size and ours.tokens([ours.cls, ours.mask]) == ["[CLS]", "[MASK]"]
    for a, b in zip([*MIXED, *TEXTS[:3]], ["x", *MIXED[:-1], "y", *TEXTS[:2]], strict=True):
        both = theirs(a, b)
        assert ours.pair(ours.encode(a), ours.encode(b)) == (both["input_ids"], both["token_type_ids"]), (
            a,
            b,
        )
    assert ours.mask not in ours.encode("Paris is [MASK].")
    assert train([], Vocab(path=str(folder), size=size), "encoder").size == size
    with pytest.raises(TokenizerError, match=f"{size} tokens, and 8192 were asked for"):
        train([], Vocab(path=str(folder), size=8192), "encoder")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real vocabularies with transformers' tokenizer of the same files."""
    transformers = pytest.importorskip("transformers")

    @cache
    def get(name):
        folder = tmp_path_factory.mktemp("real")
        if name == "gpt2":
            _unpack(folder, vocab_json="gpt2-bpe/encoder.json.gz", merges_txt="gpt2-bpe/vocab.bpe.gz")
            theirs = transformers.GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        else:
            _unpack(folder, vocab_txt=f"bert-vocab/{name}.vocab.txt.gz")
            theirs = transformers.BertTokenizer(str(folder / "vocab.txt"))
        return Tokenizer.load(folder), theirs, folder

    return get


HARD = [
    *MIXED,
    "שלום עולם مرحبا بالعالم \u202eRTL\u202c",
    "e\u0301 n\u0303 क्षि กำ 각 \u1100\u1161\u11a8 ﬁ Ａ１ ｶﾞ",
    "\ta\r\nb \u00a0\u2028\u3000 \u200b\u200d \ufeff \x00\x7f",
    "if (a[i] != b->c) { return *p++; } // 注释 ＃",
    "I'LL they're 'tis it's ''s",
    "㐀 𠀀 龘 ㋿ 々〆ヶ",
    "x" * 300,
]
NAME = ["gpt2", "bert-base-chinese", "bert-base-uncased"]


@pytest.mark.parametrize("name", NAME)
@settings(max_examples=150)
@given(text=st.one_of(st.text(), st.lists(st.sampled_from(HARD), max_size=3).map(" ".join)))
@example(text=" ".join(HARD))
def test_real_vocabularies_on_any_text(real, name, text):
    ours, theirs, _ = real(name)
    # Without its special tokens: those are read from text there, and never here.
    ids = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert ours.encode(text) == ids
    if name == "gpt2":
        assert ours.decode(ids) == text


@pytest.mark.parametrize("name", NAME[1:])
def test_berts_slow_tokenizer_agrees(real, name):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    ours, _, folder = real(name)
    slow = BertTokenizerLegacy(str(folder / "vocab.txt"))
    for text in HARD:
        assert ours.encode(text) == slow(text, add_special_tokens=False)["input_ids"], text


@pytest.mark.parametrize("name", NAME)
def test_real_vocabularies_go_out(real, name, tmp_path):
    from transformers import AutoTokenizer

    ours, theirs, _ = real(name)
    ours.save(tmp_path)
    loaded, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint
    for a, b in zip(HARD, [*HARD[1:], "y"], strict=True):
        b = b or "y"
        assert loaded(a)["input_ids"] == theirs(a)["input_ids"] == again.backend.encode(a).ids
        assert loaded(a, b)["input_ids"] == theirs(a, b)["input_ids"]
        both = [tokens(a, b, return_token_type_ids=True)["token_type_ids"] for tokens in (loaded, theirs)]
        assert both[0] == both[1]


def test_files_that_are_no_tokenizer_are_named(tmp_path):
    with pytest.raises(TokenizerError, match="nothing: no such file"):
        Tokenizer.load(tmp_path / "nothing")
    with pytest.raises(TokenizerError, match="no tokenizer here"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="not a tokenizer"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\ncat\n")
    with pytest.raises(TokenizerError, match=r"no \[UNK\] line"):
        Tokenizer.load(tmp_path / "vocab.txt")
    (tmp_path / "special_tokens_map.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"special_tokens_map\.json: not JSON"):
        Tokenizer.load(tmp_path)


def test_declared_roles_win_over_usual_names(made, tmp_path):
    made["bpe", "decoder"].save(tmp_path)
    names = json.loads((tmp_path / "special_tokens_map.json").read_text())
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({**names, "eos_token": {"content": "<s>"}}))
    loaded = Tokenizer.load(tmp_path)
    assert loaded.eos == loaded.bos == 1
    with pytest.raises(TokenizerError, match="id 9999 is outside"):
        loaded.tokens([9999])
