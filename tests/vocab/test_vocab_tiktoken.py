"""Files of ranks against tiktoken itself, and llama2.c's file against the model that it was made of."""

import base64
import gzip
import json
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocab_folders import MIXED, byte_level, write

from liju.errors import TokenizerError
from liju.vocab import Tokenizer
from liju.vocab.bytes import BYTES

# llama3/llama/tokenizer.py
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [*MIXED, "1234567 12", "We'Ll  \n\n  x\r\n\r\ny", "\u00a0a\u2028b", "  leading", "¿qué?'s"]


def ranks_of(vocab):
    return {bytes(BYTES[letter] for letter in word): rank for word, rank in vocab.items()}


def save(path, ranks):
    lines = [b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items()]
    path.write_bytes(b"".join(lines))
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    ranks = ranks_of(byte_level()[0])
    oracle = tiktoken.Encoding("toy", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    path = save(tmp_path_factory.mktemp("t") / "tokenizer.model", ranks)
    return oracle, Tokenizer.load(path)


def test_token_for_token(pair, tmp_path):
    oracle, ours = pair
    assert [ours.encode(text) for text in TEXTS] == [oracle.encode_ordinary(text) for text in TEXTS]
    assert [ours.decode(ours.encode(text)) for text in TEXTS] == TEXTS
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


@settings(max_examples=200)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn"])))
def test_any_text(pair, text):
    oracle, ours = pair
    assert ours.encode(text) == oracle.encode_ordinary(text)
    assert ours.decode(ours.encode(text)) == text


def test_gpt2_by_its_ranks(data, tmp_path):
    """The real vocabulary in both forms: ranks, and vocab.json with merges.txt."""
    path = data / "gpt2-bpe" / "encoder.json.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    vocab = json.loads(gzip.decompress(path.read_bytes()))
    end = vocab.pop("<|endoftext|>")
    (tmp_path / "m").mkdir()
    merges = gzip.decompress((data / "gpt2-bpe" / "vocab.bpe.gz").read_bytes())
    (tmp_path / "m" / "merges.txt").write_bytes(merges)
    write(tmp_path / "m", vocab={**vocab, "<|endoftext|>": end})
    ranks = Tokenizer.load(save(tmp_path / "r50k_base.tiktoken", ranks_of(vocab)))
    merged = Tokenizer.load(tmp_path / "m")
    assert ranks.size == merged.size == 50257 and ranks.eos == merged.eos == end
    assert [ranks.encode(text) for text in TEXTS] == [merged.encode(text) for text in TEXTS]


def test_the_special_tokens_of_llama3(tmp_path):
    ranks = {bytes([i]): i for i in range(256)}
    ranks |= {b"%c%c%c" % (n >> 16, n >> 8 & 255, n & 255): n for n in range(256, 128_000)}
    ours = Tokenizer.load(save(tmp_path / "tokenizer.model", ranks))
    names = ours.tokens([128_000, 128_001, 128_006, 128_009, 128_255])
    assert names[:2] == ["<|begin_of_text|>", "<|end_of_text|>"]
    assert names[2:] == ["<|start_header_id|>", "<|eot_id|>", "<|reserved_special_token_250|>"]
    assert (ours.size, ours.bos, ours.eos) == (128_256, 128_000, 128_001)
    assert ours.backend.encode("a").ids == [128_000, 97]
    assert ours.bos not in ours.encode("<|begin_of_text|>")


def test_declared_tokens_win(tmp_path):
    ranks = ranks_of(byte_level()[0])
    size = len(ranks)
    save(tmp_path / "tokenizer.model", ranks)
    named = {str(size): {"content": "<|x|>", "special": True}}
    write(tmp_path, tokenizer_config={"added_tokens_decoder": named, "eos_token": "<|x|>"})
    ours = Tokenizer.load(tmp_path)
    assert ours.eos == size and ours.size == size + 1


def test_a_wrong_file_is_named(tmp_path):
    ranks = ranks_of(byte_level()[0])
    path = save(tmp_path / "tokenizer.model", ranks)
    lines = path.read_bytes().split(b"\n")
    for wrong, message in (
        ([*lines[:7], b"QQ= 7", *lines[8:]], r"tokenizer\.model:8: not a token in base64"),
        ([*lines[:7], lines[6], *lines[8:]], r"tokenizer\.model:8: .* is there twice"),
        (
            [*lines[:7], lines[7].split()[0] + b" 6", *lines[8:]],
            r"tokenizer\.model:8: the rank 6 is there twice",
        ),
        (lines[:100], r"tokenizer\.model: no token for the byte \d+"),
        ([*lines[:300], *lines[301:]], r"tokenizer\.model: \d+ ranks up to \d+"),
    ):
        path.write_bytes(b"\n".join(wrong))
        with pytest.raises(TokenizerError, match=message):
            Tokenizer.load(path)
    with pytest.raises(TokenizerError, match="does not say how text is cut") as caught:
        Tokenizer.load(save(tmp_path / "own.tiktoken", ranks))
    assert "Llama 3" in caught.value.hint


class TestLlama2c:
    def test_it_is_the_model_that_it_was_made_of(self, data, tmp_path):
        folder = data / "stories260k"
        if not (folder / "tok512.bin").is_file():
            pytest.skip(f"{folder}/tok512.bin is not here")
        model, ours = Tokenizer.load(folder / "tok512.model"), Tokenizer.load(folder / "tok512.bin")
        # The model's settings, which the other file has not, drop spaces.
        texts = [re.sub(" +", " ", text).strip(" ") for text in TEXTS]
        assert [ours.encode(text) for text in texts] == [model.encode(text) for text in texts]
        assert (ours.bos, ours.eos, ours.unk, ours.size) == (1, 2, 0, 512)
        assert ours.backend.encode("Once").ids == model.backend.encode("Once").ids
        assert all(ours.decode(ours.encode(text)) == text for text in TEXTS)
        (tmp_path / "tokenizer.bin").write_bytes((folder / "tok512.bin").read_bytes())
        assert Tokenizer.load(tmp_path).fingerprint == ours.fingerprint
        ours.save(tmp_path / "saved")
        assert Tokenizer.load(tmp_path / "saved").fingerprint == ours.fingerprint

    @pytest.mark.parametrize("keep", [0, 3, 9, 700, -1])
    def test_a_torn_file_is_named(self, keep, tmp_path):
        texts = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % i for i in range(256))]
        texts += [b" a", b" ab", b" ", b"a", b"b"]
        raw = struct.pack("<i", 6) + b"".join(
            struct.pack("<fi", -float(i), len(text)) + text for i, text in enumerate(texts)
        )
        path = tmp_path / "tokenizer.bin"
        path.write_bytes(raw)
        assert Tokenizer.load(path).tokens(Tokenizer.load(path).encode("ab")) == [" ab"]
        path.write_bytes(raw[:keep])
        with pytest.raises(TokenizerError, match=r"tokenizer\.bin: torn, or not of llama2\.c"):
            Tokenizer.load(path)
