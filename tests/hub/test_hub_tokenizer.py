"""The tokenizer travels with the model, and fits it."""

from __future__ import annotations

import json

import pytest
import torch

from liju import config
from liju.errors import BundleError
from liju.hub import load_bundle, save_bundle
from liju.model import TransformerConfig
from liju.vocab import train

TEXTS = [
    "the low lowest lower river",
    "例句 是 语言 模型 的 食粮",
    "a model of a language",
    "低头 看 河",
] * 20
SENTENCE = "the lower river 例句 模型"


@pytest.fixture(scope="module")
def tokenizers():
    return {
        family: train(TEXTS, config.Vocab(size=420), family) for family in ("encoder", "decoder", "encdec")
    }


def model_of(build, family: str, size: int):
    return build(
        TransformerConfig.default(
            family, vocab_size=size, d_model=12, num_heads=3, num_layers=2, max_length=32
        )
    )


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_transformers_reads_the_tokenizer(family, tokenizers, build, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = tokenizers[family]
    save_bundle(tmp_path / "b", model_of(build, family, tokenizer.size), tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "b")
    ids = tokenizer.encode(SENTENCE)
    assert theirs(SENTENCE, add_special_tokens=False)["input_ids"] == ids
    assert theirs.pad_token_id == tokenizer.pad and theirs.model_max_length == 32
    again = load_bundle(tmp_path / "b").tokenizer
    assert again.fingerprint == tokenizer.fingerprint and again.encode(SENTENCE) == ids
    settings = json.loads((tmp_path / "b" / "config.json").read_text())
    assert settings["pad_token_id"] == tokenizer.pad
    if family != "encoder":
        assert settings["eos_token_id"] == tokenizer.eos
    if family == "encdec":
        assert settings["decoder_start_token_id"] == tokenizer.pad


def test_transformers_writes_what_we_write(tokenizers, build, tmp_path):
    """Greedy text by transformers' own `generate`, from our folder and its generation_config.json."""
    transformers = pytest.importorskip("transformers")
    from liju.samples.batch import Batch, Side

    tokenizer = tokenizers["decoder"]
    model = model_of(build, "decoder", tokenizer.size)
    save_bundle(tmp_path / "b", model, tokenizer)
    hf = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "b", dtype=torch.float64)
    prompt = torch.tensor([tokenizer.encode("the low")])
    mask = torch.ones_like(prompt)
    theirs = hf.generate(prompt, attention_mask=mask, max_new_tokens=7, do_sample=False)[0].tolist()
    ours = prompt
    for _ in range(7):
        with torch.no_grad():
            best = model.logits(Batch(None, Side.of(ours), {}))[:, -1].argmax(-1)
        ours = torch.cat([ours, best[:, None]], 1)
        if int(best) == tokenizer.eos:
            break
    assert theirs == ours[0].tolist()


def test_a_tokenizer_larger_than_the_embedding_is_refused(tokenizers, build, tmp_path):
    tokenizer = tokenizers["encoder"]
    size = tokenizer.size
    with pytest.raises(BundleError, match=f"the tokenizer has {size} tokens, the embedding {size - 1} rows"):
        save_bundle(tmp_path / "b", model_of(build, "encoder", size - 1), tokenizer)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_is_missing_or_torn_is_named(tokenizers, build, tmp_path):
    tokenizer = tokenizers["encoder"]
    save_bundle(tmp_path / "b", model_of(build, "encoder", tokenizer.size), tokenizer)
    path = tmp_path / "b" / "tokenizer.json"
    path.write_text(path.read_text()[:-50])
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        load_bundle(tmp_path / "b")
    path.unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json: no such file"):
        load_bundle(tmp_path / "b")
