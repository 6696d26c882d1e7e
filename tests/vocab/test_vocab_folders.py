"""What others' folders hold comes in token for token, and goes out so that transformers loads the same."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
import vocab_folders as folders
from vocab_folders import MIXED

from liju.vocab import Tokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

KINDS = ["gpt2", "opt", "bart", "qwen2", "gpt", "bert", "fast"]
ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


def theirs_of(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def same(ours, theirs):
    """Tokens, frames and special tokens."""
    for a, b in zip(MIXED, [*MIXED[1:], "x"], strict=True):
        assert ours.encode(a) == theirs(a, add_special_tokens=False)["input_ids"], a
        assert ours.backend.encode(a).ids == theirs(a, truncation=False)["input_ids"], a
        b = b or "y"  # transformers takes an empty second text for none
        both = theirs(a, b, return_token_type_ids=True, truncation=False)
        pair = ours.backend.encode(a, b)
        assert (pair.ids, pair.type_ids) == (both["input_ids"], both["token_type_ids"]), a
        if ours.cls is not None:
            assert ours.pair(ours.encode(a), ours.encode(b)) == (both["input_ids"], both["token_type_ids"])
            assert ours.pair(ours.encode(a))[0] == theirs(a, truncation=False)["input_ids"]
    for role, token in ours.roles.items():
        name = getattr(theirs, f"{role}_token")
        if name is not None:
            assert (name, getattr(theirs, f"{role}_token_id")) == (token, getattr(ours, role))
    assert len(theirs) == ours.size


@pytest.mark.parametrize("kind", KINDS)
def test_in_and_out_token_for_token(kind, tmp_path):
    source = getattr(folders, kind)(tmp_path / "theirs")
    ours = Tokenizer.load(source)
    same(ours, theirs_of(source))
    ours.save(tmp_path / "ours")
    again = Tokenizer.load(tmp_path / "ours")
    assert again.fingerprint == ours.fingerprint and again.roles == ours.roles
    assert [again.encode(text) for text in MIXED] == [ours.encode(text) for text in MIXED]
    # Beside the model's config.json, as in a bundle, and without it.
    same(again, theirs_of(tmp_path / "ours"))
    (tmp_path / "ours" / "config.json").write_bytes((source / "config.json").read_bytes())
    same(again, theirs_of(tmp_path / "ours"))
    said, kept = (
        json.loads((folder / "tokenizer_config.json").read_text()) for folder in (source, tmp_path / "ours")
    )
    assert kept["tokenizer_class"] == said["tokenizer_class"]
    assert {key: kept[key] for key in said if key != "chat_template"}.items() >= {
        key: value for key, value in said.items() if key != "chat_template" and value is not None
    }.items()
    again.save(tmp_path / "third")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / "third" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_becomes_a_special_token(kind, tmp_path):
    ours = Tokenizer.load(getattr(folders, kind)(tmp_path))
    special = {*ours._special} - {ours.unk}
    for name in ours._special.values():
        for text in (name, f"a{name}b", f" {name} {name}"):
            assert not special.intersection(ours.encode(text)), text


SWITCHES = [
    {"do_lower_case": True},
    {"do_lower_case": False},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": True, "tokenize_chinese_chars": False},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_the_switches_of_bert(switches, tmp_path):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    source = folders.bert(tmp_path / "theirs", **switches)
    ours = Tokenizer.load(source)
    same(ours, theirs_of(source))
    slow = BertTokenizerLegacy(str(source / "vocab.txt"), **switches)
    for text in MIXED:
        # The slow one composes letters and marks first, the fast one does not.
        composed = unicodedata.normalize("NFC", text)
        assert ours.encode(composed) == slow(composed, add_special_tokens=False)["input_ids"], text
    ours.save(tmp_path / "ours")
    same(Tokenizer.load(tmp_path / "ours"), theirs_of(tmp_path / "ours"))


def test_each_switch_of_bert_changes_tokens(tmp_path):
    found = set()
    for number, switches in enumerate(SWITCHES):
        ours = Tokenizer.load(folders.bert(tmp_path / str(number), **switches))
        found.add(str([ours.encode(text) for text in MIXED]))
    assert len(found) == len(SWITCHES)


def test_a_vocabulary_with_capitals_is_cased_where_nothing_is_said(tmp_path):
    source = folders.bert(tmp_path / "theirs")
    (source / "tokenizer_config.json").unlink()
    ours = Tokenizer.load(source)
    assert ours.tokens(ours.encode("Fox fox")) == ["Fox", "fox"]
    ours.save(tmp_path / "ours")
    assert Tokenizer.load(tmp_path / "ours").encode("Fox") == ours.encode("Fox")
    assert theirs_of(tmp_path / "ours")("Fox fox", add_special_tokens=False)["input_ids"] == ours.encode(
        "Fox fox"
    )


def test_opt_begins_a_text_with_its_end_token(tmp_path):
    ours = Tokenizer.load(folders.opt(tmp_path))
    assert ours.bos == ours.eos == ours.unk == 2 and ours.pad == 1
    assert ours.backend.encode("a").ids[0] == 2
    # Its config.json alone is enough.
    (tmp_path / "special_tokens_map.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    assert Tokenizer.load(tmp_path).fingerprint == ours.fingerprint


def test_bart_has_two_separators_and_one_type(tmp_path):
    ours = Tokenizer.load(folders.bart(tmp_path))
    assert ours.pair([7], [8]) == ([0, 7, 2, 2, 8, 2], [0] * 6)
    ours.save(tmp_path / "ours")
    # BART's forward pass takes no token types.
    settings = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]


def test_a_template_with_types_is_followed(tmp_path):
    ours = Tokenizer.load(folders.fast(tmp_path))
    cls, sep = ours.cls, ours.sep
    assert ours.pair([7], [8]) == ([cls, 7, sep, sep, 8, sep], [0, 0, 0, 0, 1, 1])
    assert len(ours.encode("fox " * 50)) > 40  # the truncation and the padding of the file are not ours
    assert ours.tokens(ours.encode("<think>")) == ["<think>"]  # added and not special: read from text


class TestChatTemplate:
    def test_of_its_own_file(self, tmp_path):
        ours = Tokenizer.load(folders.fast(tmp_path / "theirs"))
        assert ours.chat_template == "{{ messages[0].content }}\n"
        ours.save(tmp_path / "ours")
        assert Tokenizer.load(tmp_path / "ours").chat_template == ours.chat_template
        assert theirs_of(tmp_path / "ours").chat_template == theirs_of(tmp_path / "theirs").chat_template

    def test_of_the_settings(self, tmp_path):
        source = folders.qwen2(tmp_path / "theirs")
        ours = Tokenizer.load(source)
        assert ours.chat_template.startswith("{% for m in messages %}<|im_start|>")
        ours.save(tmp_path / "ours")
        theirs = theirs_of(tmp_path / "ours")
        assert theirs.chat_template == ours.chat_template == Tokenizer.load(tmp_path / "ours").chat_template
        said = [{"role": "user", "content": "the fox"}]
        ids = theirs.apply_chat_template(said, tokenize=True, return_dict=False)
        assert ids == [ours.size - 2, *ours.encode("the fox"), ours.size - 1]

    def test_of_several(self, tmp_path):
        source = folders.gpt2(tmp_path / "theirs")
        path = source / "tokenizer_config.json"
        several = [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": several}))
        ours = Tokenizer.load(source)
        assert ours.chat_template == "D"
        ours.save(tmp_path / "ours")
        assert Tokenizer.load(tmp_path / "ours").chat_template == "D"

    def test_none(self, tmp_path):
        ours = Tokenizer.load(folders.gpt2(tmp_path / "theirs"))
        assert ours.chat_template is None
        ours.save(tmp_path / "ours")
        assert not (tmp_path / "ours" / "chat_template.jinja").exists()


def test_tokens_added_beside_the_vocabulary(tmp_path):
    source = folders.gpt2(tmp_path)
    size = Tokenizer.load(source).size
    folders.write(source, added_tokens={"<|b|>": size + 1, "<|a|>": size})
    ours = Tokenizer.load(source)
    assert ours.size == size + 2 == len(theirs_of(source))
    assert ours.encode("x<|a|>") == theirs_of(source)("x<|a|>")["input_ids"]
    assert ours.encode("<|b|>") == [size + 1]


def test_a_class_in_a_file_that_is_not_copied_is_not_named(tmp_path):
    source = folders.fast(tmp_path / "theirs")
    path = source / "tokenizer_config.json"
    theirs = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **theirs}))
    Tokenizer.load(source).save(tmp_path / "ours")
    settings = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast" and "auto_map" not in settings
