"""Bits per byte: one definition, the same for an n-gram model and for a network."""

from __future__ import annotations

import math

import numpy as np
import pytest

from liju.errors import DataError
from liju.ngram import KneserNey, bits_per_byte

TEXTS = ["例句 one", "two", "naïve"]


def test_uniform_models_cost_what_they_must():
    size = sum(len(text.encode()) for text in TEXTS)
    # 255 bytes that can come and the end: 8 bits each. The end counts and has no byte.
    model = KneserNey(3, vocabulary=255).fit([])
    found = model.bits_per_byte([text.encode() for text in TEXTS])
    assert found == pytest.approx(8 * (size + len(TEXTS)) / size)
    # The same text as characters, of 2^15 - 1 that can come: 15 bits for a character, still over bytes.
    characters = sum(map(len, TEXTS))
    wide = KneserNey(2, vocabulary=2**15 - 1).fit([])
    assert wide.bits_per_byte(TEXTS) == pytest.approx(15 * (characters + len(TEXTS)) / size)


def test_evaluate_has_the_same_definition():
    from liju import evaluate

    assert evaluate.bits_per_byte is bits_per_byte
    model = KneserNey(3).fit(TEXTS)
    nats = -model.totals(["one"]).sum()
    assert model.bits_per_byte(["one"]) == pytest.approx(evaluate.bits_per_byte(nats, 3))
    assert model.bits(["one"]) / 3 == pytest.approx(model.bits_per_byte(["one"]))


def test_a_uniform_network_and_a_uniform_ngram_model_are_equal():
    torch = pytest.importorskip("torch")
    from liju.config import Evaluate, Vocab
    from liju.finetune import Example
    from liju.finetune.generation import GenerationTask
    from liju.model import Transformer, TransformerConfig
    from liju.vocab import train

    tokenizer = train(["a few words", "例句 and more words"] * 5, Vocab(size=300), "decoder")
    shape = {"vocab_size": tokenizer.size, "d_model": 12, "num_layers": 1, "num_heads": 3, "max_length": 40}
    model = Transformer(TransformerConfig.default("decoder", **shape))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    texts = ["some words 例", "a", "and then 句子"]
    examples = [Example({"text": text}, f"t:{n}") for n, text in enumerate(texts)]
    task = GenerationTask(max_length=40)
    network = task.score(task.evaluate(model, tokenizer, examples, Evaluate()), examples)["bits_per_byte"]
    ids = tokenizer.encode_batch(texts)
    size = sum(len(text.encode()) for text in texts)
    counted = KneserNey(3, vocabulary=tokenizer.size, end=tokenizer.eos).fit([])
    assert counted.bits_per_byte(ids, num_bytes=size) == pytest.approx(network, rel=1e-6)
    tokens = sum(map(len, ids)) + len(ids)
    assert network == pytest.approx(math.log2(tokenizer.size) * tokens / size, rel=1e-6)
    # Without the end the two would not agree.
    assert abs(math.log2(tokenizer.size) * (tokens - len(ids)) / size - network) > 0.1


def test_bytes_and_characters_of_one_text():
    model = KneserNey(4, vocabulary=256).fit([text.encode() for text in TEXTS] * 3)
    assert model.bits_per_byte(["例句 one".encode()]) < 2
    chars = KneserNey(4).fit(TEXTS * 3)
    assert chars.unknown(["one", "x例"]) == 1


def test_ids_need_their_bytes():
    model = KneserNey(2).fit([[1, 2], [2, 3]])
    with pytest.raises(DataError, match="is not known") as error:
        model.bits_per_byte([[1, 2]])
    assert "num_bytes" in error.value.hint
    assert model.bits_per_byte([[1, 2]], num_bytes=4) == pytest.approx(model.bits([[1, 2]]) / 4)
    with pytest.raises(DataError, match="empty text"):
        model.bits_per_byte([""])
    assert np.isfinite(model.bits_per_byte([np.array([9])], num_bytes=1))
