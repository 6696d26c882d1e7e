"""SentencePiece models read by ours give the pieces that SentencePiece itself gives."""

import io
import unicodedata
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocab_folders import MIXED, write

from liju.errors import TokenizerError
from liju.vocab import Tokenizer

TEXTS = [
    *MIXED,
    "가각 \u1100\u1161\u11ab ｶﾞｷﾞ か\u3099 ㌔ ～ 〜 Å K",
    "，\u064b ．\u0301 … \r\n\r\n\u00adsoft\u200b zero\ufeff \x01\x7f",
    "▁ ▁▁a ▁",
    "<sep> a<sep>b <sep><sep>例句①x",
    "क्षि กำ ि مرحبًا",
    "</s> a</s>b <s><unk> <pad>",
]
CORPUS = [
    "The fox runs over the hill. The dog sleeps under a tree, and the sun is high.",
    "今天我们学习语言模型。例句是最好的老师。",
    "Every step is shown by example; every example runs.",
    "天气很好，大家都去公园散步。狐狸跑过小山。",
    "x = y[3] + 1  # a comment </b>",
] * 20
LIKE_LLAMA = {
    **{"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True},
    "split_digits": True,
}
OPTIONS = {
    "plain": {},
    "bytes": {"byte_fallback": True},
    "like llama": LIKE_LLAMA,
    "own symbols": {"user_defined_symbols": ["<sep>", "例句", "①", "<sep><sep>"]},
    "own symbols like llama": {**LIKE_LLAMA, "user_defined_symbols": ["<sep>", "例句"]},
    "pad": {"pad_id": 3},
    "identity": {"normalization_rule_name": "identity"},
    "nfkc": {"normalization_rule_name": "nfkc"},
    "lower": {"normalization_rule_name": "nmt_nfkc_cf"},
    "no dummy": {"add_dummy_prefix": False},
    "like t5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
}


def trained(kind, corpus=CORPUS, **options):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    options.setdefault("vocab_size", 390)
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=out,
        model_type=kind,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue()), out.getvalue()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")

    @cache
    def get(kind, name):
        oracle, raw = trained(kind, **OPTIONS[name])
        path = folder / f"{kind} {name}.model"
        path.write_bytes(raw)
        return oracle, Tokenizer.load(path), path

    return get


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("name", OPTIONS)
def test_token_for_token(models, tmp_path, kind, name):
    oracle, ours, _ = models(kind, name)
    assert ours.size == oracle.get_piece_size()
    for text in TEXTS:
        assert ours.encode(text) == oracle.encode(text), text
        assert ours.encode_with_ends(text)[0] == oracle.encode(text), text
    for role in ("bos", "eos", "unk", "pad"):
        theirs = getattr(oracle, f"{role}_id")()
        assert getattr(ours, role) == (None if theirs < 0 else theirs)
    for text in TEXTS:
        ids = oracle.encode(text)
        # It writes <unk> as " ⁇ ", and we not at all; it takes any ▁ at the start for its own.
        if oracle.unk_id() not in ids and "▁" not in text:
            assert ours.decode(ids) == oracle.decode(ids)
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


# Letters of many kinds beside any at all; special tokens whole and in parts.
FRAGMENTS = [
    *(
        "a",
        "the ",
        " fox",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "</s>",
        "<s>",
        "<unk>",
        "<",
        "/",
        "s",
        ">",
        "<sep>",
        "▁",
    ),
    *("例", "句", "例句", "学习", "。", "，", "Ａ", "①", "½", "ﬁ", "é", "ｶﾞ", "が", "㌔", "~", "～"),
    *("한", "\u1112\u1161\u11ab", "👩\u200d💻", "👍🏽", "🇨🇳", "ש", "مر", "क", "ก", "กำ"),
    *("\u200b", "\u00a0", "\u3000", "\u2028", "\x01", "\ufeff"),
]
PARTS = st.one_of(st.sampled_from(FRAGMENTS), st.characters(exclude_categories=["Cs", "Cn"]))


def composed(text):
    """Without two combining marks in a row, or one on what is several letters: see `pieces_backend`."""
    last = ""
    for letter in unicodedata.normalize("NFD", text):
        mark = unicodedata.category(letter)[0] == "M" or letter in "ﾞﾟ"
        if mark and (not last or last in "ﾞﾟ" or unicodedata.normalize("NFKD", last) != last):
            return False
        if mark and unicodedata.category(last)[0] == "M":
            return False
        last = letter
    return True


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("name", ["plain", "bytes", "like llama", "own symbols", "own symbols like llama"])
@settings(max_examples=120)
@given(parts=st.lists(PARTS, max_size=7))
def test_any_text(models, kind, name, parts):
    oracle, ours, _ = models(kind, name)
    text = "".join(parts)
    if "llama" in name or composed(text):
        assert ours.encode(text) == oracle.encode(text)
    special = {ours.bos, ours.eos}
    assert not special & {*ours.encode(text)}
    if name == "like llama":
        assert ours.decode(ours.encode(text)) == text.replace("▁", " ")


def test_the_charsmap_is_the_models_own(models):
    """Every character and composition that Unicode knows, against SentencePiece."""
    oracle, ours, _ = models("unigram", "no dummy")
    letters = [chr(i) for i in range(0x30000) if unicodedata.category(chr(i)) not in ("Cs", "Cn", "Co")]
    pairs = [unicodedata.normalize("NFD", letter) for letter in letters]
    changed = [text for text in {*letters, *pairs} if unicodedata.normalize("NFKC", text) != text]
    assert len(changed) > 15_000
    theirs = [oracle.normalize(f"a{text}b") for text in changed]
    normal = ours.backend.normalizer.normalize_str
    wrong = [text for text, said in zip(changed, theirs, strict=True) if normal(f"a{text}b") != said]
    # Marks that Unicode takes for one and its composition for another, in scripts of few computers.
    assert len(wrong) < 0.001 * len(changed), wrong


def test_t5s_sentinels_come_from_its_class(models, tmp_path):
    transformers = pytest.importorskip("transformers")
    oracle, _, path = models("unigram", "like t5")
    folder = write(tmp_path / "t5", config={"model_type": "t5"})
    (folder / "spiece.model").write_bytes(path.read_bytes())
    size = oracle.get_piece_size()
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    assert (ours.pad, ours.eos, ours.unk, ours.bos) == (0, 1, 2, None)
    assert ours.sentinels == [size + 99 - n for n in range(100)]
    ours.require("encdec", size + 100)
    for text in ("the fox", "今天天气很好", "a</s>b"):
        assert ours.encode(text) == oracle.encode(text)
    for text in ("the fox <extra_id_0> hill", "今天天气很好"):
        framed = [*oracle.encode(text.split(" <")[0]), *ours.sentinels[:1], *oracle.encode("hill"), 1]
        assert theirs(text)["input_ids"] == (framed if "<" in text else [*oracle.encode(text), 1])
    assert ours.backend.encode("the fox", "hill").ids == theirs("the fox", "hill")["input_ids"]
    ours.save(tmp_path / "ours")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert loaded("the fox", "hill")["input_ids"] == theirs("the fox", "hill")["input_ids"]
    assert loaded.convert_tokens_to_ids("<extra_id_0>") == ours.sentinels[0]
    for text in TEXTS:
        assert loaded(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == (
            ours.backend.encode(text, add_special_tokens=False).ids
        )
    again = Tokenizer.load(tmp_path / "ours")
    assert again.fingerprint == ours.fingerprint and again.sentinels == ours.sentinels
    fewer = write(tmp_path / "t5", tokenizer_config={"tokenizer_class": "T5Tokenizer", "extra_ids": 7})
    assert len(Tokenizer.load(fewer).sentinels) == 7


@pytest.mark.parametrize("ends", [False, True])
def test_llamas_model_with_tokens_beside_it(models, tmp_path, ends):
    transformers = pytest.importorskip("transformers")
    oracle, _, path = models("bpe", "like llama")
    size = oracle.get_piece_size()
    added = {str(size + i): {"content": name, "special": True} for i, name in enumerate(("<pad>", "<|end|>"))}
    folder = write(
        tmp_path / "llama",
        config={"model_type": "llama"},
        tokenizer_config={
            **{"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": ends},
            **{"added_tokens_decoder": added, "pad_token": "<pad>", "legacy": False, "eos_token": "</s>"},
            **{"bos_token": "<s>", "unk_token": "<unk>", "chat_template": "{{ messages }}"},
        },
    )
    (folder / "tokenizer.model").write_bytes(path.read_bytes())
    ours = Tokenizer.load(folder)
    assert (ours.bos, ours.eos, ours.unk, ours.pad, ours.size) == (1, 2, 0, size, size + 2)
    tail = [ours.eos] if ends else []
    for text in TEXTS:
        assert ours.encode(text) == oracle.encode(text)
        assert ours.backend.encode(text).ids[:1] == [ours.bos]
    assert ours.backend.encode("the fox").ids == [1, *oracle.encode("the fox"), *tail]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours.save(tmp_path / "ours")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    # Of two spaces at the start, LlamaTokenizer takes one for SentencePiece's own.
    for text in ("the fox", "今天 x = y[3]", "two  spaces "):
        assert theirs(text)["input_ids"] == loaded(text)["input_ids"] == [1, *oracle.encode(text), *tail]
        both = loaded(text, "hill", return_token_type_ids=True)
        pair = ours.backend.encode(text, "hill")
        assert (both["input_ids"], both["token_type_ids"]) == (pair.ids, pair.type_ids)
        assert theirs(text, "hill")["input_ids"] == pair.ids
    assert loaded.pad_token_id == size and loaded.chat_template == "{{ messages }}" == ours.chat_template
    assert Tokenizer.load(tmp_path / "ours").fingerprint == ours.fingerprint


def test_the_real_model_of_stories260k(data):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    path = data / "stories260k" / "tok512.model"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    oracle, ours = sentencepiece.SentencePieceProcessor(model_file=str(path)), Tokenizer.load(path)
    texts = [*TEXTS, "Once upon a time, there was a little girl named Lily."]
    assert [ours.encode(text) for text in texts] == [oracle.encode(text) for text in texts]
    assert ours.tokens(ours.encode("Once 🙂"))[-4:] == ["\\xf0", "\\x9f", "\\x99", "\\x82"]


def test_a_torn_file_is_named(tmp_path):
    _, raw = trained("unigram")
    path = tmp_path / "spiece.model"
    path.write_bytes(raw[: len(raw) // 3])
    with pytest.raises(TokenizerError, match=r"spiece.model: torn"):
        Tokenizer.load(path)
    path.write_bytes(b"")
    with pytest.raises(TokenizerError, match=r"spiece.model: no pieces"):
        Tokenizer.load(path)
    # Torn between two pieces: each of them is whole, and what is missing is what stands behind them.
    size = place = 0
    while raw[place] == 10 and size < 50:  # field 1, a message of less than 128 bytes
        place += 2 + raw[place + 1]
        size += 1
    path.write_bytes(raw[:place])
    with pytest.raises(TokenizerError, match=r"spiece.model: 50 pieces and no trainer_spec"):
        Tokenizer.load(path)


def test_a_torn_file_is_named_wherever_it_is_torn(tmp_path):
    _, raw = trained("bpe", **LIKE_LLAMA)
    path = tmp_path / "tokenizer.model"
    for size in range(0, len(raw) - 40, 97):
        path.write_bytes(raw[:size])
        with pytest.raises(TokenizerError, match=r"tokenizer\.model: "):
            Tokenizer.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "word"}, "trainer_spec.model_type: word"),
        ({"kind": "char"}, "trainer_spec.model_type: char"),
        ({"kind": "unigram", "treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix is set"),
    ],
)
def test_a_model_of_another_kind_is_refused(tmp_path, options, message):
    _, raw = trained(**options)
    (tmp_path / "spiece.model").write_bytes(raw)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert caught.value.hint


def test_a_piece_twice_is_named(tmp_path):
    _, raw = trained("unigram", vocab_size=90)
    (tmp_path / "spiece.model").write_bytes(raw[: 2 + raw[1]] + raw)
    with pytest.raises(TokenizerError, match="piece 1 '<unk>' is also piece 0"):
        Tokenizer.load(tmp_path)
