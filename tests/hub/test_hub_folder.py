"""Folders as they lie on the hub: old names, bare models, more than they say; and what is not a model."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hub_oracle import compare, floor, load
from safetensors.torch import load_file, save_file

from liju import config
from liju.errors import BundleError, ModelError
from liju.finetune import load as load_model
from liju.hub import import_folder, load_bundle, save_bundle
from liju.model import TransformerConfig
from liju.vocab import train

pytest.importorskip("transformers")


@pytest.fixture
def foreign(pair, tmp_path):
    """The folder of a shape as if others had written it, with changes to its tensors and its config.json."""

    def foreign(shape, change=None, **settings):
        _, _, folder = pair(shape)
        shutil.copytree(folder, tmp_path / "theirs")
        (tmp_path / "theirs" / "liju.json").unlink()
        (tmp_path / "theirs" / "liju.safetensors").unlink(missing_ok=True)
        path = tmp_path / "theirs" / "model.safetensors"
        tensors = load_file(path)
        if change is not None:
            change(tensors)
            save_file({name: t.contiguous() for name, t in tensors.items()}, path, {"format": "pt"})
        path = tmp_path / "theirs" / "config.json"
        values = {**json.loads(path.read_text()), **settings}
        path.write_text(json.dumps({key: value for key, value in values.items() if value != "absent"}))
        return tmp_path / "theirs"

    return foreign


def same(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def old_norms(tensors):
    for name in list(tensors):
        if name.endswith("LayerNorm.weight"):
            tensors[name.replace("weight", "gamma")] = tensors.pop(name)
        elif name.endswith("LayerNorm.bias"):
            tensors[name.replace("bias", "beta")] = tensors.pop(name)


def renamed(start: str, **more):
    """Without the first part of every name, and with further tensors."""

    def change(tensors):
        for name in list(tensors):
            tensors[name.removeprefix(start)] = tensors.pop(name)
        tensors.update({name.replace("__", "."): tensor for name, tensor in more.items()})

    return change


def bart_base(tensors):
    renamed("model.")(tensors)
    del tensors["final_logits_bias"]


MASKS = {"h__0__attn__bias": torch.ones(1, 1, 9, 9), "h__0__attn__masked_bias": torch.tensor(-1e4)}
FREQUENCY = {"layers__0__self_attn__rotary_emb__inv_freq": torch.ones(2)}
AS_THEY_LIE = {
    "gamma and beta": ("BertForMaskedLM", old_norms, {}),
    "GPT-2 of 2019": ("GPT2LMHeadModel", renamed("transformer.", **MASKS), {}),
    "GPT-2, the body": ("GPT2LMHeadModel", renamed("transformer."), {"architectures": ["GPT2Model"]}),
    "GPT of 2018": ("OpenAIGPTLMHeadModel", renamed("transformer.", **MASKS), {}),
    "OPT without model.": ("OPTForCausalLM", renamed("model."), {}),
    "OPT-350m without model.": ("OPT-350m", renamed("model."), {"architectures": ["OPTModel"]}),
    "Llama, the body": (
        "LlamaForCausalLM",
        renamed("model.", **FREQUENCY),
        {"architectures": ["LlamaModel"]},
    ),
    "T5 of 2020": ("T5ForConditionalGeneration", None, {"architectures": ["T5WithLMHeadModel"]}),
    "no class named": ("BertForPreTraining", None, {"architectures": "absent"}),
    "no class named, a body": ("BertModel", None, {"architectures": "absent"}),
    "no class named, tags": ("BertForTokenClassification", None, {"architectures": "absent"}),
    "BERT, less than it holds": ("BertForPreTraining", old_norms, {"architectures": ["BertForMaskedLM"]}),
}


@pytest.mark.parametrize("case", AS_THEY_LIE)
def test_folders_as_they_lie_on_the_hub_come_in(case, foreign, pair):
    shape, change, settings = AS_THEY_LIE[case]
    model, hf, _ = pair(shape)
    bundle = import_folder(foreign(shape, change, **settings))
    assert compare(bundle.model, hf) < floor(shape)
    if shape not in ("BertForMaskedLM", "BertForTokenClassification"):  # they have no pooler
        assert same(bundle.model, model)


def test_bart_without_a_head_has_a_bias_of_zeros(foreign):
    folder = foreign("BartForConditionalGeneration", bart_base, architectures=["BartModel"])
    hf, _ = load(folder, "BartForConditionalGeneration")
    assert compare(import_folder(folder).model, hf) < floor("BartForConditionalGeneration")
    settings = json.loads((folder / "config.json").read_text())
    settings["architectures"] = ["BartForConditionalGeneration"]  # which has one, so that it is missed
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BundleError, match="missing tensor final_logits_bias"):
        import_folder(folder)


def test_a_body_under_its_full_name_comes_in(foreign, pair):
    def full(tensors):
        for name in list(tensors):
            tensors[f"bert.{name}"] = tensors.pop(name)

    assert same(import_folder(foreign("BertModel", full)).model, pair("BertModel")[0])


def test_two_names_of_one_tensor_are_too_many(foreign):
    def both(tensors):
        name = "bert.embeddings.LayerNorm.weight"
        tensors[name.replace("weight", "gamma")] = tensors[name].clone()

    with pytest.raises(BundleError, match=r"unexpected tensor bert.embeddings.LayerNorm.(gamma|weight)"):
        import_folder(foreign("BertForMaskedLM", both))


def test_mistral_has_a_window_when_its_file_does_not_say(foreign):
    folder = foreign("MistralForCausalLM", sliding_window="absent")
    assert import_folder(folder).config.window == 4095
    assert load(folder, "MistralForCausalLM")[0].config.sliding_window == 4096


def test_the_copies_of_a_tied_table_are_read_and_compared(foreign, pair):
    def tripled(tensors):
        for name in ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head"):
            tensors[f"{name}.weight"] = tensors["model.shared.weight"].clone()
        del tensors["model.shared.weight"]

    folder = foreign("BartForConditionalGeneration", tripled)
    assert same(import_folder(folder).model, pair("BartForConditionalGeneration")[0])
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][3, 2] += 1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BundleError, match=r"lm_head.weight differs from model.shared.weight"):
        import_folder(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_dtype_is_that_of_the_widest_weight(dtype, foreign):
    def narrow(tensors):
        for name in tensors:
            tensors[name] = tensors[name].to(torch.bfloat16 if dtype == torch.float32 else dtype)
        if dtype == torch.float32:
            tensors["model.norm.weight"] = tensors["model.norm.weight"].float()

    model = import_folder(foreign("LlamaForCausalLM", narrow, dtype="bfloat16")).model
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def small(name: str, dtype):
    def change(tensors):
        tensors[name] = tensors[name].to(dtype)

    return change


STRANGE = {
    "quantised weights": (
        ("LlamaForCausalLM", small("model.layers.1.mlp.up_proj.weight", torch.int8), {}),
        "W_1.weight is int8; weights are",
    ),
    "a quantised model": (
        ("LlamaForCausalLM", None, {"quantization_config": {"quant_method": "gptq"}}),
        "config.json: quantization_config says",
    ),
    "no model type": (("LlamaForCausalLM", None, {"model_type": "absent"}), "model_type None is not one"),
    "a type like one": (
        ("LlamaForCausalLM", None, {"model_type": "lama"}),
        "model_type 'lama' is not one that liju knows",
    ),
    "a class like one": (
        ("BertForMaskedLM", None, {"architectures": ["BertForMaskLM"]}),
        "architecture 'BertForMaskLM' is not one that liju knows",
    ),
    "a stretch that is unknown": (
        ("LlamaForCausalLM", None, {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
        "rope_parameters.rope_type is 'yarn'",
    ),
    "windows in some blocks": (
        ("Qwen2ForCausalLM", None, {"use_sliding_window": True}),
        "use_sliding_window is True, and liju has no such switch",
    ),
    "norms before": (
        ("MarianMTModel", None, {"normalize_before": True}),
        "normalize_before is True, and liju has no such switch",
    ),
    "another activation in the head": (
        ("ModernBertForMaskedLM", None, {"classifier_activation": "relu"}),
        "classifier_activation is not hidden_activation",
    ),
    "two vocabularies": (
        ("MarianMTModel", None, {"share_encoder_decoder_embeddings": False}),
        "share_encoder_decoder_embeddings is False",
    ),
    "a block too many": (
        ("GPT2LMHeadModel", None, {"n_layer": 4}),
        "missing tensor transformer.h.3.ln_1.weight (and 11 more)",
    ),
    "a block too few": (
        ("GPT2LMHeadModel", None, {"n_layer": 2}),
        "unexpected tensor transformer.h.2.attn.c_attn.bias (and 11 more)",
    ),
    "a wider block": (
        ("GPT2LMHeadModel", None, {"n_inner": 21}),
        "transformer.h.0.mlp.c_fc.weight has the shape [12, 20], expected [12, 21]",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_strange_is_named_in_one_line(case, foreign):
    (shape, change, settings), message = STRANGE[case]
    folder = foreign(shape, change, **settings)
    with pytest.raises(BundleError) as error:
        load_bundle(folder)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"model_type": "lama"}, "did you mean 'llama'? it reads bart, bert, cohere, gpt2, llama,"),
        ({"model_type": "mamba"}, "it reads bart, bert"),
        (
            {"architectures": ["LlamaForCausalML"]},
            "did you mean 'LlamaForCausalLM'? of llama it reads LlamaForCausalLM, LlamaModel",
        ),
    ],
)
def test_an_unknown_name_is_told_what_is_known(settings, hint, foreign):
    with pytest.raises(BundleError) as error:
        import_folder(foreign("LlamaForCausalLM", **settings))
    assert hint in error.value.hint


def test_a_shard_that_is_missing_torn_or_double_is_named(shapes, build, tmp_path):
    config, heads = shapes["LlamaForCausalLM"]
    save_bundle(tmp_path / "b", build(config, heads), None, shard=20_000)
    first, second = sorted((tmp_path / "b").glob("*.safetensors"))[:2]
    kept = first.read_bytes()
    first.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(BundleError, match=rf"{first.name}: not a whole safetensors file"):
        load_bundle(tmp_path / "b")
    first.unlink()
    with pytest.raises(BundleError, match=rf"{first.name}: no such file"):
        load_bundle(tmp_path / "b")
    first.write_bytes(second.read_bytes())
    with pytest.raises(BundleError, match="is in another shard too"):
        load_bundle(tmp_path / "b")


def test_the_config_is_looked_at_before_the_weights(foreign):
    folder = foreign("LlamaForCausalLM", model_type="mamba")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="model_type 'mamba'"):
        import_folder(folder)


def test_a_pickle_says_how_to_convert_it(tmp_path, foreign):
    folder = foreign("LlamaForCausalLM")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BundleError, match="liju never opens one") as error:
        import_folder(folder)
    assert "safetensors.torch.save_file(" in error.value.hint


TASKS = {
    "BertForSequenceClassification": "classification",
    "BertForTokenClassification": "tagging",
    "BertForQuestionAnswering": "answering",
    "BertForMaskedLM": "fill-mask",
    "RoFormerForMaskedLM": "fill-mask",
    "BertModel": "features",
    "GPT2LMHeadModel": "generation",
    "LlamaForCausalLM": "generation",
    "T5ForConditionalGeneration": "fill-span",
    "BartForConditionalGeneration": "translation",
    "MarianMTModel": "translation",
}


@pytest.mark.parametrize("shape", TASKS)
def test_what_a_folder_is_for(shape, foreign):
    task = import_folder(foreign(shape)).task
    assert (task["name"], task["max_length"]) == (TASKS[shape], 32)


TEXTS = ["the low lowest lower river", "例句 是 语言 模型 的 食粮", "a model of a language"] * 20
ASKED = {
    "BertForSequenceClassification": ("encoder", "a river", {"label", "score", "scores"}),
    "BertForMaskedLM": ("encoder", "the [MASK] river", {"text", "words"}),
    "RoFormerForMaskedLM": ("encoder", "the [MASK] river", {"text", "words"}),
    "GPT2LMHeadModel": ("decoder", "the low", {"text"}),
    "Qwen2ForCausalLM": ("decoder", "the low", {"text"}),
    "T5ForConditionalGeneration": ("encdec", "the <extra_id_0> river", {"text", "spans"}),
    "MarianMTModel": ("encdec", "the river", {"text"}),
}


@pytest.mark.parametrize("shape", ASKED)
def test_what_others_wrote_answers(shape, shapes, build, tmp_path):
    """liju.load of a folder that transformers saved, with a tokenizer.json beside it."""
    family, text, fields = ASKED[shape]
    tokens = train(TEXTS, config.Vocab(size=420), family)
    switches, heads = shapes[shape]
    model = build(switches.replace(vocab_size=tokens.size), heads, torch.float32)
    save_bundle(tmp_path / "ours", model, tokens)
    hf, _ = load(tmp_path / "ours", shape, torch.float32)
    hf.save_pretrained(tmp_path / "theirs")
    task = import_folder(tmp_path / "theirs").task
    save_bundle(tmp_path / "ours", model, tokens, task, overwrite=True)
    shutil.copy(tmp_path / "ours" / "tokenizer.json", tmp_path / "theirs")
    shutil.copy(tmp_path / "ours" / "tokenizer_config.json", tmp_path / "theirs")
    options = {"max_new_tokens": 5} if family != "encoder" else {}
    answer = load_model(tmp_path / "theirs").predict(text, **options)
    assert set(answer) == fields
    assert answer == load_model(tmp_path / "ours").predict(text, **options)


def test_an_answer_begins_with_what_its_config_says(shapes, build, tmp_path):
    """BART's decoder starts with </s>, not with padding; its own `generate` is the judge."""
    tokens = train(TEXTS, config.Vocab(size=420), "encdec")
    switches, heads = shapes["BartForConditionalGeneration"]
    model = build(switches.replace(vocab_size=tokens.size), heads, torch.float64)
    save_bundle(tmp_path / "ours", model, tokens, {"start": tokens.eos})
    (tmp_path / "ours" / "liju.json").unlink()
    hf, _ = load(tmp_path / "ours", "BartForConditionalGeneration")
    source = torch.tensor([[*tokens.encode("the low river"), tokens.eos]])
    want = hf.generate(source, max_new_tokens=7, do_sample=False, num_beams=1)[0, 1:]
    got = load_model(tmp_path / "ours").predict("the low river", beam=1, max_new_tokens=7)["text"]
    assert got == tokens.decode(want.tolist())


def test_a_task_without_an_answer_is_named(shapes, build, tmp_path):
    tokens = train(TEXTS, config.Vocab(size=420), "encoder")
    switches, heads = shapes["BertModel"]
    save_bundle(tmp_path / "b", build(switches.replace(vocab_size=tokens.size), heads), tokens)
    (tmp_path / "b" / "liju.json").unlink()
    with pytest.raises(BundleError, match="liju has no task 'features' to answer for"):
        load_model(tmp_path / "b")


def test_marians_tokenizer_is_of_three_files(foreign):
    folder = foreign("MarianMTModel")
    assert import_folder(folder).tokenizer is None
    with pytest.raises(BundleError, match="no tokenizer"):
        load_model(folder)
    (folder / "source.spm").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"target\.spm: no such file"):
        import_folder(folder)
    for name in ("target.spm", "vocab.json"):
        (folder / name).write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"vocab\.json: not an object of tokens and ids"):
        import_folder(folder)


def test_a_tokenizer_of_another_model_is_refused(foreign):
    folder = foreign("LlamaForCausalLM")
    train(TEXTS, config.Vocab(size=420), "decoder").save(folder)
    with pytest.raises(BundleError, match=r"the tokenizer has \d+ tokens, the embedding 101 rows"):
        import_folder(folder)


def test_a_stretch_must_have_its_four_numbers():
    with pytest.raises(ModelError, match="four numbers"):
        TransformerConfig.default("decoder", rope_scaling=(8.0, 1.0))
