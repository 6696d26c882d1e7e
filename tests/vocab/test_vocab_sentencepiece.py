"""SentencePiece models read by ours give the pieces that SentencePiece itself gives."""

import io

import pytest

from liju.errors import TokenizerError
from liju.vocab import Tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog, twice.",
    "  two  spaces   and a tab\tinside ",
    "今天天气很好，我们去公园散步吧。",
    "混合 mixed 文字 with emoji 😀👍🏽 and code: x = y[3] += 1;",
    "café naïve ﬁne Ａ１ ½ ①",
    "שלום עולם مرحبا",
    "e\u0301 combining, ZWJ 👩\u200d💻",
    "",
    " ",
    "a",
]
CORPUS = [
    "The fox runs over the hill. The dog sleeps under a tree, and the sun is high.",
    "今天我们学习语言模型。例句是最好的老师。",
    "Every step is shown by example; every example runs.",
    "天气很好，大家都去公园散步。狐狸跑过小山。",
    "x = y[3] + 1  # a comment",
] * 20


def trained(kind, **options):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=out,
        model_type=kind,
        vocab_size=390,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue()), out.getvalue()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byte_fallback": True},
        {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True},
        {"user_defined_symbols": ["<sep>", "例句"]},
        {"pad_id": 3},
    ],
    ids=["plain", "bytes", "like llama", "own symbols", "pad"],
)
def test_token_for_token(tmp_path, kind, options):
    oracle, raw = trained(kind, **options)
    path = tmp_path / "spiece.model"
    path.write_bytes(raw)
    ours = Tokenizer.load(tmp_path)
    assert ours.size == oracle.get_piece_size()
    assert [ours.encode(text) for text in TEXTS] == [oracle.encode(text) for text in TEXTS]
    assert (ours.bos, ours.eos, ours.unk) == (oracle.bos_id(), oracle.eos_id(), oracle.unk_id())
    for ids in map(oracle.encode, TEXTS):
        if oracle.unk_id() not in ids:  # which it writes as " ⁇ ", and we not at all
            assert ours.decode(ids) == oracle.decode(ids)
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").encode(TEXTS[3]) == ours.encode(TEXTS[3])


def test_the_real_model_of_stories260k(data):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    path = data / "stories260k" / "tok512.model"
    oracle, ours = sentencepiece.SentencePieceProcessor(model_file=str(path)), Tokenizer.load(path)
    texts = [*TEXTS, "Once upon a time, there was a little girl named Lily."]
    assert [ours.encode(text) for text in texts] == [oracle.encode(text) for text in texts]


def test_a_torn_file_is_named(tmp_path):
    _, raw = trained("unigram")
    path = tmp_path / "spiece.model"
    path.write_bytes(raw[: len(raw) // 3])
    with pytest.raises(TokenizerError, match=r"spiece.model: torn"):
        Tokenizer.load(path)
    path.write_bytes(b"")
    with pytest.raises(TokenizerError, match=r"spiece.model: no pieces"):
        Tokenizer.load(path)


def test_a_model_of_words_is_refused(tmp_path):
    _, raw = trained("word")
    (tmp_path / "spiece.model").write_bytes(raw)
    with pytest.raises(TokenizerError, match=r"model_type: word"):
        Tokenizer.load(tmp_path)
