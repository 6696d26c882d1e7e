"""What is wrong with a tokenizer's files is said in one line that names the file and the line or the key."""

from __future__ import annotations

import json

import pytest
import vocab_folders as folders
from vocab_folders import write

from liju.errors import TokenizerError
from liju.vocab import Tokenizer


def refused(path, message):
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(path)
    assert "\n" not in caught.value.message and caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


@pytest.fixture
def fast(tmp_path):
    """A tokenizer.json, and a way to change it."""
    folder = tmp_path / "fast"
    Tokenizer.load(folders.gpt2(tmp_path / "gpt2")).save(folder)
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())

    def changed(*keys, to):
        said = json.loads(json.dumps(whole))
        place = said
        for key in keys[:-1]:
            place = place[key]
        if to is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = to
        path.write_text(json.dumps(said, ensure_ascii=False))
        return path

    changed.path, changed.whole = path, whole
    return changed


class TestTokenizerJson:
    def test_cut_off(self, fast):
        text = fast.path.read_text()
        for size in (1, len(text) // 3, len(text) // 2, len(text) - 3):
            fast.path.write_text(text[:size])
            line = text[:size].count("\n") + 1
            refused(fast.path.parent, rf"tokenizer\.json:{line}: cut off")

    def test_not_json(self, fast):
        fast.path.write_text("{'a': 1}")
        refused(fast.path.parent, r"tokenizer\.json:1: not JSON")
        fast.path.write_bytes(b"\xff\xfe{}")
        refused(fast.path.parent, r"tokenizer\.json: not UTF-8 \(byte 0\)")

    def test_not_a_tokenizer(self, fast):
        fast.path.write_text('{"hidden_size": 7}')
        refused(fast.path.parent, r"tokenizer\.json: not a tokenizer: no key model")
        refused(fast("model", "vocab", to={}), r"model\.vocab: nothing in it")

    def test_an_unknown_type_of_model(self, fast):
        error = refused(fast("model", "type", to="Wordpiece"), r"tokenizer\.json: model\.type: 'Wordpiece'")
        assert error.hint == "did you mean WordPiece?"
        assert "one of BPE" in refused(fast("model", "type", to="CTC"), r"model\.type: 'CTC'").hint

    def test_an_unknown_part(self, fast):
        error = refused(fast("pre_tokenizer", to={"type": "Magic"}), r"tokenizer\.json: not a tokenizer")
        assert error.hint == "look at its key pre_tokenizer, type 'Magic'"

    def test_a_merge_of_an_unknown_token(self, fast):
        merges = [*fast.whole["model"]["merges"][:7], ["t", "qq"]]
        path = fast("model", "merges", to=merges)
        refused(path, r"tokenizer\.json: model\.merges\[7\]: 't qq' needs 'qq', which model\.vocab has not")
        refused(fast("model", "merges", to=[["a"]]), r"model\.merges\[0\]: \['a'\]")

    def test_an_id_twice_or_none(self, fast):
        vocab = fast.whole["model"]["vocab"]
        path = fast("model", "vocab", to={**vocab, "one more": 9})
        refused(path, r"model\.vocab: .* and 'one more' have the same id 9")
        refused(fast("model", "vocab", to={**vocab, "x": -1}), r"model\.vocab: 'x' has the id -1")
        refused(fast("model", "vocab", to={**vocab, "x": "3"}), r"model\.vocab: 'x' has the id '3'")

    def test_an_added_token_at_another_id(self, fast):
        added = [{**fast.whole["added_tokens"][0], "content": "<new>", "id": 999}]
        refused(fast("added_tokens", to=added), r"added_tokens\[0\]: '<new>' has the id 999, and 420")

    def test_a_frame_outside_the_vocabulary(self, fast):
        frame = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [50256], "tokens": ["<s>"]}},
        }
        size = len(fast.whole["model"]["vocab"])
        path = fast("post_processor", to=frame)
        refused(path, rf"post_processor: '<s>' has the id 50256, the vocabulary has {size}")


class TestMerges:
    def test_a_merge_of_an_unknown_token(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        path = folder / "merges.txt"
        lines = path.read_text().split("\n")
        path.write_text("\n".join([*lines[:4], "t qq", *lines[4:]]))
        refused(folder, r"merges\.txt:5: the merge 't qq' needs 'qq', which vocab\.json has not")
        path.write_text("\n".join([*lines[:4], "t", *lines[4:]]))
        refused(folder, r"merges\.txt:5: not two tokens: 't'")
        path.write_bytes(b"#version: 0.2\n\xff a\n")
        refused(folder, r"merges\.txt: not UTF-8 \(byte 14\)")

    def test_a_missing_file(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        (folder / "merges.txt").unlink()
        error = refused(folder, r"merges\.txt: no such file")
        assert "their merges are in merges.txt" in error.hint

    def test_a_wrong_vocabulary(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        path = folder / "vocab.json"
        text = path.read_text()
        path.write_text(text[: len(text) // 2])
        refused(folder, r"vocab\.json: not JSON")
        for wrong, message in (
            ("[1]", "not an object of tokens and ids"),
            ('{"a": 0, "b": 1, "a": 2}', "'a' is there twice"),
            ('{"a": 0, "b": 0}', "'a' and 'b' have the same id 0"),
            ('{"a": 0, "b": true}', "'b' has the id True"),
            ('{"a": 0.5}', "'a' has the id 0.5"),
        ):
            path.write_text(wrong)
            refused(folder, rf"vocab\.json: {message}")


class TestVocabTxt:
    def test_a_token_twice(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_text("[PAD]\n[UNK]\nthe\ncat\nthe\n")
        refused(path, r"vocab\.txt:5: 'the' is also line 3")
        path.write_text("[PAD]\n[UNK]\n\nthe\n\ncat\n")
        refused(path, r"vocab\.txt:5: '' is also line 3")

    def test_no_unk(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_text("[PAD]\nthe\n")
        refused(path, r"vocab\.txt: no \[UNK\] line")
        write(tmp_path, tokenizer_config={"unk_token": "<unk>"})
        refused(path, r"vocab\.txt: no <unk> line")
        path.write_text("<unk>\nthe\n")
        assert Tokenizer.load(path).unk == 0

    def test_bytes_that_are_no_text(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_bytes("[UNK]\n例句\n".encode("gbk"))
        refused(path, r"vocab\.txt: not UTF-8 \(byte 6\)")


class TestBesideTheVocabulary:
    def test_added_tokens_with_a_gap_or_in_the_way(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        size = Tokenizer.load(folder).size
        write(folder, added_tokens={"<|x|>": size + 3})
        message = (
            rf"added_tokens\.json: the added token '<\|x\|>' has the id {size + 3}, here the next is {size}"
        )
        with pytest.raises(TokenizerError, match=message):
            Tokenizer.load(folder)
        write(folder, added_tokens={"<|x|>": 7})
        with pytest.raises(TokenizerError, match=r"'<\|x\|>' has the id 7, which is .* in the vocabulary"):
            Tokenizer.load(folder)
        write(folder, added_tokens={"<|x|>": "7"})
        with pytest.raises(TokenizerError, match=r"added_tokens\.json: '<\|x\|>' is '7'"):
            Tokenizer.load(folder)

    def test_added_tokens_that_are_none(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        write(folder, tokenizer_config={"added_tokens_decoder": {"last": {"content": "x"}}})
        with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: added_tokens_decoder: 'last' is"):
            Tokenizer.load(folder)

    def test_a_settings_file_cut_off(self, tmp_path):
        folder = folders.gpt2(tmp_path)
        path = folder / "tokenizer_config.json"
        path.write_text(path.read_text()[:-9])
        with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: not JSON") as caught:
            Tokenizer.load(folder)
        assert caught.value.hint == "it ends too early: copy it again"
