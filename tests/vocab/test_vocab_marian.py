"""Marian's three files against transformers' MarianTokenizer."""

import json
import warnings

import pytest
from test_vocab_sentencepiece import CORPUS, trained
from vocab_folders import MIXED, write

from liju.errors import TokenizerError
from liju.vocab import Tokenizer

TEXTS = [text for text in MIXED if text.strip()]


def marian(folder, **settings):
    """Two small models of other pieces, one table of ids, in which the pieces of one side are in another
    order than in its model, and some are missing."""
    _, source = trained("unigram", corpus=CORPUS[0::5] * 5 + CORPUS[2::5] * 5, vocab_size=120)
    _, target = trained("unigram", corpus=CORPUS[1::5] * 5 + CORPUS[3::5] * 5, vocab_size=140)
    write(folder)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    pieces = []
    for raw in (source, target):
        sentencepiece = pytest.importorskip("sentencepiece")
        model = sentencepiece.SentencePieceProcessor(model_proto=raw)
        pieces += [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
    left_out = {pieces[17], pieces[-5]}
    names = ["</s>", "<unk>", ">>zho<<", *sorted(set(pieces) - left_out), "<pad>"]
    return write(
        folder,
        vocab={name: i for i, name in enumerate(names)},
        config={"model_type": "marian"},
        tokenizer_config={
            **{"tokenizer_class": "MarianTokenizer", "source_lang": "eng", "target_lang": "zho"},
            **{"separate_vocabs": False, "model_max_length": 512, **settings},
        },
    )


def theirs_of(folder):
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends sacremoses, which it does not use here
        return transformers.AutoTokenizer.from_pretrained(folder)


def same(ours, theirs):
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert [*ours.encode(text), ours.eos] == ids, text
        other = theirs(text_target=text)["input_ids"]
        assert [*ours.target.encode(text), ours.eos] == other, text
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True), text
        assert ours.decode(other) == theirs.decode(other, skip_special_tokens=True), text
    assert (ours.eos, ours.unk, ours.pad) == (theirs.eos_token_id, theirs.unk_token_id, theirs.pad_token_id)
    assert ours.size == len(theirs)


def test_both_sides_token_for_token_in_and_out(tmp_path):
    folder = marian(tmp_path / "theirs")
    ours = Tokenizer.load(folder)
    same(ours, theirs_of(folder))
    assert ours.encode(TEXTS[0]) != ours.target.encode(TEXTS[0])
    # A piece of the other side only is known by its text; one of neither is not.
    assert ours.tokens(ours.encode("今"))[-1] == "今" and ours.unk in ours.encode("Ж")
    ours.save(tmp_path / "ours")
    for name in ("source.spm", "target.spm", "vocab.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (folder / name).read_bytes()
    again = Tokenizer.load(tmp_path / "ours")
    assert again.fingerprint == ours.fingerprint != ours.target.fingerprint
    same(again, theirs_of(tmp_path / "ours"))
    assert ours.target.target.fingerprint == ours.fingerprint


def test_the_language_to_translate_into_is_a_first_token(tmp_path):
    folder = marian(tmp_path)
    ours, theirs = Tokenizer.load(folder), theirs_of(folder)
    for text in (">>zho<< the fox", ">>zho<<the fox", ">>nob<< the fox", "the >>zho<< fox", ">>"):
        assert [*ours.encode(text), ours.eos] == theirs(text)["input_ids"], text
        ids, ends = ours.encode_with_ends(text)
        assert ids == ours.encode(text) and ends[-1] == len(text)
    assert ours.encode(">>zho<< the fox")[0] == 2


def test_special_tokens_are_not_read_from_text(tmp_path):
    ours = Tokenizer.load(marian(tmp_path))
    for side in (ours, ours.target):
        for text in ("</s>", "a</s>b <pad>", "<unk>"):
            assert not {side.eos, side.pad} & {*side.encode(text)}
    assert ours.tokens([ours.eos, 2]) == ["</s>", ">>zho<<"]
    with pytest.raises(TokenizerError, match="id 9999 is outside the vocabulary"):
        ours.decode([9999])


def test_files_that_do_not_fit_are_named(tmp_path):
    folder = marian(tmp_path)
    vocab = json.loads((folder / "vocab.json").read_text())
    write(folder, vocab={name: i for name, i in vocab.items() if name != "<pad>"})
    with pytest.raises(TokenizerError, match=r"vocab\.json: no '<pad>'"):
        Tokenizer.load(folder)
    write(folder, vocab={"</s>": 0, "<unk>": 1, "<pad>": 2, "other": 3})
    with pytest.raises(TokenizerError, match=r"source\.spm: none of its pieces is in vocab\.json"):
        Tokenizer.load(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(TokenizerError, match=r"vocab\.json: no such file"):
        Tokenizer.load(folder)
    folder = marian(tmp_path / "two", separate_vocabs=True)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: separate_vocabs is true"):
        Tokenizer.load(folder)
