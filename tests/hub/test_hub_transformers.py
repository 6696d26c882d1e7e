"""transformers loads our folders and we load its, and both compute the same, in every family."""

from __future__ import annotations

import pytest
import torch
from hub_oracle import compare, floor, inputs, load, ours, padded, theirs

from liju.generate import KeyValueCache
from liju.hub import architecture, export_tensors, import_folder, load_bundle, probe_batch, save_bundle
from liju.samples.batch import Side

pytest.importorskip("transformers")

SHAPES = [
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertModel",
    "BERT, sinusoids, no types",
    "RoFormerForMaskedLM",
    "RoFormer, next sentence, no types",
    "RoFormerForTokenClassification",
    "RoFormerForQuestionAnswering",
    "RoFormerModel",
    "ModernBertForMaskedLM",
    "ModernBERT, no window, biases in norms",
    "ModernBertModel",
    "LlamaForCausalLM",
    "Llama, untied, few keys",
    "Llama, biases",
    "LlamaForCausalLM, stretched",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "CohereForCausalLM",
    "GPT2LMHeadModel",
    "OpenAIGPTLMHeadModel",
    "OPTForCausalLM",
    "OPT-350m",
    "T5ForConditionalGeneration",
    "T5 v1.1",
    "BartForConditionalGeneration",
    "MarianMTModel",
]
WRITERS = SHAPES[SHAPES.index("LlamaForCausalLM") :]
FLOAT32 = 2e-5


def test_every_shape_is_compared(shapes):
    assert set(SHAPES) == set(shapes)


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_loads_the_bundle_and_agrees(shape, shapes, build, tmp_path):
    config, heads = shapes[shape]
    model = build(config, heads)
    bundle = save_bundle(tmp_path / "bundle", model, None)
    hf, info = load(tmp_path / "bundle", shape)
    assert not any(info.values()), info
    assert type(hf).__name__ == bundle.architecture
    assert compare(model, hf) < floor(shape)
    hf32, _ = load(tmp_path / "bundle", shape, torch.float32)
    assert compare(model.float(), hf32) < FLOAT32


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_agrees(shape, pair):
    model, hf, _ = pair(shape)
    assert compare(model, hf, padded(probe_batch(model.config))) < floor(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_folder_that_transformers_wrote_comes_in(shape, shapes, pair, tmp_path):
    _, hf, _ = pair(shape)
    config, heads = shapes[shape]
    hf.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    bundle = load_bundle(tmp_path / "theirs")
    assert bundle.task.get("labels") == (
        [f"LABEL_{i}" for i in range(5)] if {"label", "tag"} & set(heads) else None
    )
    assert compare(bundle.model, hf) < floor(shape)
    expected = config
    if shape == "BERT, sinusoids, no types":  # their class has a learned table, and one type
        expected = config.replace(position="learned", num_types=1)
    if shape == "RoFormer, next sentence, no types":  # and this one no head for that
        expected = config.replace(pooler=False, num_types=1)
    assert bundle.config == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_every_weight_agrees(shape, pair):
    model, hf, _ = pair(shape)
    batch = padded(probe_batch(model.config))
    real = batch.predicting.segment > 0
    found = theirs(hf, batch)

    def loss(outputs):
        torch.manual_seed(3)
        total = torch.zeros((), dtype=torch.float64)
        for name in sorted(outputs):
            value = outputs[name].tanh()  # bounded: no output outweighs the others
            value = value[real] if value.dim() == 3 else value
            total = total + (value * torch.randn_like(value)).sum()
        return total

    def gradients(module, value):
        names, parameters = zip(*module.named_parameters(), strict=True)
        one = torch.autograd.grad(value, parameters, allow_unused=True)
        pairs = zip(names, parameters, one, strict=True)
        return {n: torch.zeros_like(p) if g is None else g for n, p, g in pairs}

    want = gradients(hf, loss(found))
    table = architecture(model.config, list(model.heads)).table(model.config)
    # A gradient lies where its weight lies, so that the table of weights carries it too.
    got, _ = export_tensors(gradients(model, loss(ours(model, batch, found))), table)
    assert len(set(want) & set(got)) >= len(want) - 1
    largest = max(float(one.abs().max()) for one in want.values())
    assert largest > 1  # there is something to compare
    for name in set(want) & set(got):
        scale = max(float(want[name].abs().max()), 1e-3 * largest)
        if "position" in name and not any(name == row.theirs and row.ours for row in table):
            continue  # a table that is learned there and computed here
        if "token_type" in name and not model.config.num_types:
            continue
        assert float((got[name] - want[name]).abs().max()) / scale < 10 * floor(shape), name


@torch.no_grad()
@pytest.mark.parametrize("shape", WRITERS)
def test_decoding_with_a_cache_agrees(shape, pair):
    """Five tokens, then one by one, with our cache; theirs with its cache, and theirs without."""
    model, hf, _ = pair(shape)
    batch = probe_batch(model.config)
    tokens = batch.decoder.tokens
    feed = inputs(batch)
    want = hf(**feed).logits
    scale = float(want.abs().max())
    memory = model.encode(batch.encoder) if batch.encoder is not None else None
    own, kept = KeyValueCache.of(model.config, len(tokens)), None
    key = "decoder_input_ids" if memory is not None else "input_ids"
    rest = {name: value for name, value in feed.items() if not name.endswith(("input_ids", "token_type_ids"))}
    rest = {} if memory is None else {"attention_mask": rest["attention_mask"]}
    for start, end in [(0, 5), *((i, i + 1) for i in range(5, tokens.shape[1]))]:
        new = tokens[:, start:end]
        hidden = model.decode(Side.of(new), memory, batch.encoder, cache=own)
        got = model.predict("words", hidden)
        assert float((got - want[:, start:end]).abs().max()) / scale < floor(shape)
        if shape == "OpenAIGPTLMHeadModel":
            continue  # this class has no cache
        source = {} if memory is None else {"input_ids": feed["input_ids"], **rest}
        out = hf(**source, **{key: new}, past_key_values=kept, use_cache=True)
        kept = out.past_key_values
        assert float((got - out.logits).abs().max()) / scale < floor(shape)


def test_the_start_of_a_decoder_is_kept(shapes, build, tmp_path):
    config, heads = shapes["BartForConditionalGeneration"]
    save_bundle(tmp_path / "a", build(config, heads), None, {"start": 2})
    hf, _ = load(tmp_path / "a", "BartForConditionalGeneration")
    assert hf.config.decoder_start_token_id == 2
    hf.save_pretrained(tmp_path / "b")
    assert import_folder(tmp_path / "b").task["start"] == 2


def test_weights_are_written_in_shards_above_a_limit(shapes, build, tmp_path):
    config, heads = shapes["LlamaForCausalLM"]
    model = build(config, heads)
    save_bundle(tmp_path / "b", model, None, shard=20_000)
    names = sorted(path.name for path in (tmp_path / "b").glob("model*"))
    assert "model.safetensors.index.json" in names and "model.safetensors" not in names and len(names) > 2
    hf, info = load(tmp_path / "b", "LlamaForCausalLM")
    assert not any(info.values()), info
    again = load_bundle(tmp_path / "b").model
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert compare(again, hf) < floor("LlamaForCausalLM")
