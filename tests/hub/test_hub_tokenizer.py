"""The tokenizer travels with the model, and fits it."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from hub_export_toys import ENCDECS

from liju import config
from liju.config import Finetune
from liju.errors import BundleError
from liju.finetune.examples import Example
from liju.finetune.translation import TranslationTask
from liju.hub import load_bundle, save_bundle
from liju.model import TransformerConfig
from liju.vocab import Tokenizer, train

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


def test_marians_tokenizer_travels_with_the_model(build, tmp_path):
    """Two SentencePiece models and one table of ids; transformers reads the same from the bundle."""
    transformers = pytest.importorskip("transformers")
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces = set()
    for side, texts in (("source", TEXTS[0::2]), ("target", TEXTS[1::2])):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(tmp_path / side),
            vocab_size=40,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (tmp_path / f"{side}.model").rename(tmp_path / f"{side}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"{side}.spm"))
        pieces |= {model.id_to_piece(i) for i in range(3, model.get_piece_size())}
    names = ["</s>", "<unk>", *sorted(pieces), "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    tokenizer = Tokenizer.load(tmp_path)
    config = ENCDECS["marian"].replace(vocab_size=tokenizer.size)
    save_bundle(tmp_path / "b", build(config), tokenizer, {"name": "translation", "max_length": 32})
    bundle = load_bundle(tmp_path / "b")
    assert bundle.architecture == "MarianMTModel"
    assert bundle.tokenizer.fingerprint == tokenizer.fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends sacremoses, which it does not use here
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "b")
    assert type(theirs).__name__ == "MarianTokenizer" and theirs.model_max_length == config.max_length
    for text in TEXTS[:4]:
        assert theirs(text)["input_ids"] == [*bundle.tokenizer.encode(text), bundle.tokenizer.eos]
        target = bundle.tokenizer.target.encode(text)
        assert theirs(text_target=text)["input_ids"] == [*target, bundle.tokenizer.eos]
    # Targets are cut by the target's model when the bundle is fine-tuned.
    example = Example({"source": TEXTS[0], "target": TEXTS[1]}, "pairs:1")
    made = TranslationTask(32).objective([example], tokenizer, Finetune(), 0)
    assert [made.sources, made.targets] == [[tokenizer.encode(TEXTS[0])], [tokenizer.target.encode(TEXTS[1])]]
    assert tokenizer.encode(TEXTS[1]) != tokenizer.target.encode(TEXTS[1])


def test_a_chat_template_travels_with_the_model(tokenizers, build, tmp_path):
    tokenizer = tokenizers["decoder"]
    tokenizer.chat_template = "{{ messages[0].content }}"
    save_bundle(tmp_path / "b", model_of(build, "decoder", tokenizer.size), tokenizer)
    tokenizer.chat_template = None
    assert load_bundle(tmp_path / "b").tokenizer.chat_template == "{{ messages[0].content }}"


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_a_tokenizer_that_does_not_fit_is_named_when_loaded(family, tokenizers, build, tmp_path):
    tokenizer = tokenizers[family]
    folder = tmp_path / "b"
    save_bundle(folder, model_of(build, family, tokenizer.size), tokenizer)
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    added = {**said["added_tokens"][0], "content": "<one more>", "id": tokenizer.size}
    path.write_text(json.dumps({**said, "added_tokens": [*said["added_tokens"], added]}))
    rows = rf"the tokenizer has {tokenizer.size + 1} tokens, the embedding {tokenizer.size} rows"
    with pytest.raises(BundleError, match=rows) as caught:
        load_bundle(folder)
    assert "vocab_size in config.json" in caught.value.message and caught.value.hint
    added["id"] = 10_000
    path.write_text(json.dumps({**said, "added_tokens": [*said["added_tokens"], added]}))
    with pytest.raises(
        BundleError, match=r"tokenizer\.json: added_tokens\[\d+\]: '<one more>' has the id 10000"
    ):
        load_bundle(folder)
