"""What is wrong by a little is seen: each control must leave the floor that a right model keeps to."""

from __future__ import annotations

import json
import shutil

import pytest
from hub_oracle import compare, floor, load
from safetensors.torch import load_file, save_file

from liju.model import Transformer

pytest.importorskip("transformers")


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
# The folder is damaged, transformers loads it, and our whole model must differ from it.
FOLDERS = {
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
    "BERT: types": ("BertForPreTraining", scale("bert.embeddings.token_type_embeddings.weight", 0.99)),
    "BERT: positions": (
        "BERT, sinusoids, no types",
        roll("bert.embeddings.position_embeddings.weight"),
    ),
    "BERT: bias of the words": ("BertForMaskedLM", scale("cls.predictions.bias", 0.99)),
    "BERT: bias of the tags": ("BertForTokenClassification", scale("classifier.bias", 0.99)),
    "BERT: start and end": ("BertForQuestionAnswering", roll("qa_outputs.weight", 1, 0)),
    "RoFormer: halves": (
        "RoFormerForMaskedLM",
        interleave("roformer.encoder.layer.1.attention.self.query.weight", 4),
    ),
    "ModernBERT: gate and linear half": (
        "ModernBertForMaskedLM",
        roll("model.layers.1.mlp.Wi.weight", 20, 0),
    ),
    "ModernBERT: order of q, k, v": (
        "ModernBertForMaskedLM",
        roll("model.layers.1.attn.Wqkv.weight", 12, 0),
    ),
    "ModernBERT: window": ("ModernBertForMaskedLM", edit_config(local_attention=4)),
    "ModernBERT: which are global": (
        "ModernBertForMaskedLM",
        edit_config(layer_types=["full_attention", "full_attention", "full_attention"]),
    ),
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
    "Llama 3.1: stretch": (
        "LlamaForCausalLM, stretched",
        edit_config(rope_parameters={"rope_type": "default", "rope_theta": 5e2}),
    ),
    "Mistral: window": ("MistralForCausalLM", edit_config(sliding_window=4)),
    "PaLM: halves": (
        "CohereForCausalLM",
        interleave(f"{LLAMA_LAYER}.self_attn.k_proj.weight", 6),
    ),
    "Qwen3: query norm": (
        "Qwen3ForCausalLM",
        swap(f"{LLAMA_LAYER}.self_attn.q_norm.weight", f"{LLAMA_LAYER}.self_attn.k_norm.weight"),
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
        swap(f"encoder.{RELATIVE}", f"decoder.{RELATIVE}"),
    ),
    "T5: relative distance": (
        "T5ForConditionalGeneration",
        edit_config(relative_attention_max_distance=64),
    ),
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
}


@pytest.mark.parametrize("control", FOLDERS)
def test_a_folder_that_is_wrong_is_seen(control, pair, tmp_path):
    shape, edit = FOLDERS[control]
    model, _, folder = pair(shape)
    shutil.copytree(folder, tmp_path / "bundle")
    edit(tmp_path / "bundle")
    hf, _ = load(tmp_path / "bundle", shape)
    assert compare(model, hf) > 3 * floor(shape)


def both_ways(model):
    model.decoder.relative.bidirectional = True


# Our model is built with a wrong switch from the same weights, and must differ from the whole folder.
SWITCHES = {
    "attention scale of T5": ("T5ForConditionalGeneration", {"attention_scale": None}),
    "attention scale of others": ("BartForConditionalGeneration", {"attention_scale": 1.0}),
    "relative bias both ways in a decoder": ("T5ForConditionalGeneration", both_ways),
    "logits of tied T5 not scaled": ("T5ForConditionalGeneration", {"logit_scale": None}),
    "sines and cosines interleaved": ("MarianMTModel", {"sinusoid_halves": False}),
    "embeddings not scaled": ("MarianMTModel", {"embedding_scale": False}),
    "post-norm for pre-norm": ("GPT2LMHeadModel", {"norm_place": "post"}),
    "pre-norm for post-norm": ("OPT-350m", {"norm_place": "pre"}),
    "no final norm": ("GPT2LMHeadModel", {"final_norm": False}),
    "no bias of the words": ("MarianMTModel", {"head_bias": False}),
    "no bias of queries": ("Qwen2ForCausalLM", {"qkv_bias": False}),
    "no norm of queries": ("Qwen3ForCausalLM", {"qk_norm": False}),
    "logits of PaLM not scaled": ("CohereForCausalLM", {"logit_scale": None}),
    "no norm of the embeddings": ("BartForConditionalGeneration", {"embedding_norm": False}),
    "no rotation": ("LlamaForCausalLM", {"position": "none"}),
    "one speed of rotation": ("ModernBertForMaskedLM", {"rope_theta_local": None}),
    "a window of one more": ("ModernBertForMaskedLM", {"window": 4}),
    "a window of one less": ("MistralForCausalLM", {"window": 3}),
    "every third block global": ("ModernBertForMaskedLM", {"global_every": 3}),
    "tanh gelu": ("ModernBertForMaskedLM", {"activation": "gelu_tanh"}),
    "erf gelu": ("OpenAIGPTLMHeadModel", {"activation": "gelu"}),
    "eps of the norms": ("BertForSequenceClassification", {"norm_eps": 1e-5}),
}


@pytest.mark.parametrize("control", SWITCHES)
def test_a_model_that_is_wrong_is_seen(control, pair):
    shape, switch = SWITCHES[control]
    model, hf, _ = pair(shape)
    wrong = Transformer(model.config if callable(switch) else model.config.replace(**switch))
    for name, head in model.heads.items():
        if name != "words":
            wrong.add_head(name, len(head.weight))
    wrong = wrong.double().eval()
    ours, kept = wrong.state_dict(), model.state_dict()
    wrong.load_state_dict({name: kept[name] for name in ours})
    if callable(switch):
        switch(wrong)
    assert compare(wrong, hf) > 3 * floor(shape)
