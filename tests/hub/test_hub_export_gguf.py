"""GGUF: llama.cpp loads the file, cuts text into the same tokens, and writes the same words."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from hub_export_toys import DECODERS, ENCODERS, SIZES, stories, tokenizer, toy
from tokenizers import Regex, pre_tokenizers

from liju.config import Vocab
from liju.errors import ExportError
from liju.generate import generate
from liju.hub import Bundle, export, save_bundle
from liju.hub.engines import gguf, gguf_check, gguf_shapes
from liju.hub.engines.gguf_check import PROBES, RARE_PROBES
from liju.hub.engines.gguf_tokenizer import CUTS, vocabulary
from liju.model import TransformerConfig
from liju.vocab import Tokenizer, train

FIGURES = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2, "q8_0": 5e-2}
SHAPES = [name for name in DECODERS if name.startswith(("llama", "qwen", "gpt2"))]


@pytest.mark.parametrize("name", SHAPES)
def test_llama_cpp_answers_as_the_model_does(name, build, tmp_path):
    report = export(toy(build, DECODERS[name]), "gguf", tmp_path / "out")
    figures = {check.name: check for check in report.checks}
    assert set(figures) == {"tensors", "texts", "logits", "greedy"}
    assert figures["tensors"].figure == 0
    # GELU is a table of 16-bit numbers there; without it, both agree as two libraries of float32 do
    assert figures["logits"].bound == (2e-3 if name.startswith("gpt2") else 1e-5)
    assert figures["greedy"].details["tokens"] > 30


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "q8_0"])
def test_real_weights_write_the_same_story(dtype, data, tmp_path):
    bundle = stories(data / "stories260k")
    [ours] = generate(bundle.model, [[1]], eos=2, max_new_tokens=24)
    assert bundle.tokenizer.decode(ours).startswith("Once upon a time, there was a little girl named Lily")
    report = export(bundle, "gguf", tmp_path / "out", dtype=dtype)
    figures = {check.name: check for check in report.checks}
    assert set(figures) == {"tensors", "texts", "rare texts", "logits", "greedy"}
    equal = figures["greedy"].details["equal"]
    assert equal == 5 if dtype != "q8_0" else equal >= 3
    assert (
        figures["logits"].figure < {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2, "q8_0": 5e-2}[dtype]
    )
    kinds = report.details["kinds"]
    assert set(kinds) >= {"F32"} and (dtype == "float32" or kinds["F32"] == 11)


@pytest.mark.parametrize("name", ["bert, pre-training", "bert, label", "bert, no pooler", "bert, words"])
def test_an_encoder_gives_its_vectors_or_its_labels(name, build, tmp_path):
    config, heads = ENCODERS[name]
    bundle = toy(build, config, heads, labels=[f"l{i}" for i in range(heads.get("label", 0))])
    report = export(bundle, "gguf", tmp_path / "out")
    figures = {check.name: check for check in report.checks}
    assert set(figures) == {"tensors", "texts", "rare texts", "outputs"}
    fields = GGUFReader(tmp_path / "out" / "model-float32.gguf").fields
    assert fields["bert.pooling_type"].contents() == (4 if "label" in heads else 1)
    if "label" in heads:
        assert fields["bert.classifier.output_labels"].contents() == bundle.labels
        assert "outputs of the label head" in figures["outputs"].what and not report.left_out
    else:
        assert any("words" in left for left in report.left_out)


def test_pairs_of_texts_are_refused(build, tmp_path):
    config, heads = ENCODERS["bert, label"]
    with pytest.raises(ExportError, match="every token the first type"):
        export(toy(build, config, heads, pairs=True), "gguf", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_metadata_is_read_back(build, tmp_path):
    config = DECODERS["qwen3"].replace(rope_theta=12345.0)
    bundle = toy(build, config)
    save_bundle(tmp_path / "b", bundle.model, bundle.tokenizer)
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    path = tmp_path / "b" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    export(tmp_path / "b", "gguf", tmp_path / "out")
    fields = GGUFReader(tmp_path / "out" / "model-float32.gguf").fields
    found = {name: field.contents() for name, field in fields.items()}
    assert found["general.architecture"] == "qwen3" and found["general.name"] == "b"
    assert found["qwen3.rope.freq_base"] == 12345.0
    assert found["qwen3.attention.layer_norm_rms_epsilon"] == pytest.approx(config.norm_eps)
    assert (found["qwen3.attention.head_count"], found["qwen3.attention.head_count_kv"]) == (4, 1)
    assert found["qwen3.attention.key_length"] == found["qwen3.rope.dimension_count"] == 10
    assert found["qwen3.context_length"] == config.max_length
    assert found["tokenizer.chat_template"] == template
    tokens = bundle.tokenizer
    assert found["tokenizer.ggml.add_bos_token"] is True
    assert (found["tokenizer.ggml.bos_token_id"], found["tokenizer.ggml.eos_token_id"]) == (
        tokens.bos,
        tokens.eos,
    )


def test_rows_that_do_not_turn_as_llama_cpp_turns_them_are_refused(build, tmp_path, monkeypatch):
    """Negative control: the permutation of W_q and W_k."""
    monkeypatch.setattr(gguf_shapes, "_interleaved", lambda weight, heads: weight)
    with pytest.raises(ExportError, match="logits"):
        export(toy(build, DECODERS["llama"]), "gguf", tmp_path / "out")
    export(toy(build, DECODERS["qwen2"]), "gguf", tmp_path / "out")  # turns halves, as we do


@pytest.mark.parametrize(
    ("switch", "value"), [("norm_eps", 0.5), ("rope_theta", 17.0), ("num_kv_heads", 1), ("max_length", 9)]
)
def test_metadata_that_is_wrong_is_refused(switch, value, build, tmp_path, monkeypatch):
    honest = gguf._describe

    def lying(writer, library, config, *rest):
        honest(writer, library, config.replace(**{switch: value}), *rest)

    monkeypatch.setattr(gguf, "_describe", lying)
    bundle = toy(build, DECODERS["llama, few keys, untied"])
    with pytest.raises(ExportError, match=r"logits|cannot load"):
        export(bundle, "gguf", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def tiny(tokens: Tokenizer, build, family: str = "decoder") -> Bundle:
    """The smallest model for a vocabulary."""
    sizes = {**SIZES, "vocab_size": tokens.size, "num_layers": 1, "d_model": 8, "d_ff": 8}
    config = TransformerConfig.default(family, **sizes)
    return Bundle(build(config, None, torch.float32), tokens, {}, {}, Path("toy"))


def test_the_tokenizer_of_gpt2_is_cut_by_its_own_pattern(data, build, tmp_path):
    for theirs, ours in (("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")):
        with gzip.open(data / "gpt2-bpe" / f"{theirs}.gz") as packed, (tmp_path / ours).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    tokens = Tokenizer.load(tmp_path)
    made = vocabulary(tokens, tokens.size)
    assert (made.model, made.pre, made.exact) == ("gpt2", "gpt-2", True)
    assert made.flags == {"add_bos_token": False, "add_eos_token": False}
    report = export(tiny(tokens, build), "gguf", tmp_path / "out")
    rare = next(check for check in report.checks if check.name == "rare texts")
    assert rare.figure == 0  # Thai, Hindi, numbers of all scripts: all texts are cut alike


@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-chinese"])
def test_the_tokenizers_of_bert(name, data, build, tmp_path):
    with gzip.open(data / "bert-vocab" / f"{name}.vocab.txt.gz") as packed:
        (tmp_path / "vocab.txt").write_bytes(packed.read())
    tokens = Tokenizer.load(tmp_path)
    report = export(tiny(tokens, build, "encoder"), "gguf", tmp_path / "out")
    assert next(check for check in report.checks if check.name == "texts").figure == 0
    # llama.cpp takes vowels for accents there: told, with the texts
    assert "한국어 문장입니다" in report.details["rare texts cut otherwise"]
    assert any("by rules of its own" in note for note in report.notes)


def test_our_own_cut_is_told_where_it_differs(build, tmp_path):
    made = vocabulary(tokenizer("decoder"), 420)
    assert (made.pre, made.exact) == ("gpt-2", False)
    report = export(toy(build, DECODERS["llama"]), "gguf", tmp_path / "out")
    assert any("by rules of its own" in note for note in report.notes)
    assert isinstance(report.details["rare texts cut otherwise"], list)


def test_a_cut_that_differs_on_plain_text_is_refused(build, tmp_path, monkeypatch):
    """Negative control: another pattern's name."""

    def lying(tokens, size):
        made = vocabulary(tokens, size)
        made.merges = made.merges[::-1]
        return made

    monkeypatch.setattr(gguf_check, "vocabulary", lying)
    with pytest.raises(ExportError, match=r"texts: of 10 texts.*first: "):
        export(toy(build, DECODERS["llama"]), "gguf", tmp_path / "out")


def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(build, tmp_path):
    unigram = train(["the cat sat on the mat 猫"] * 9, Vocab(size=300, kind="unigram"), "decoder")
    with pytest.raises(ExportError, match="no bytes to fall back on"):
        export(tiny(unigram, build), "gguf", tmp_path / "out")
    bundle = toy(build, DECODERS["llama"])
    without = Bundle(bundle.model, None, {}, {}, bundle.folder)
    with pytest.raises(ExportError, match="no tokenizer"):
        export(without, "gguf", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_patterns_are_those_of_llama_cpp():
    for pattern in CUTS:
        cut = pre_tokenizers.Split(Regex(pattern), "isolated")
        for text in PROBES + RARE_PROBES:
            assert "".join(piece for piece, _ in cut.pre_tokenize_str(text)) == text
    assert set(CUTS.values()) == {"gpt-2", "llama-bpe", "qwen2"}


def test_pairs_become_neighbours():
    rows = np.arange(12)[:, None]
    assert gguf_shapes._interleaved(rows, 2)[:, 0].tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
