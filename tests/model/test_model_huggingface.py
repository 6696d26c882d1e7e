"""The logits are those of transformers with the same weights, in float64, for shapes that people load.

The floors are transformers' own: it computes RMS norms, rotations and T5's attention in float32 whatever the
type of the model (shared facts: BERT and GPT-2 1e-14, Llama 1e-5, T5 1e-3 of the logits' scale).
"""

import re

import pytest
import torch
from model_toys import build

from liju.model import Transformer, TransformerConfig
from liju.samples.batch import Batch, Side

transformers = pytest.importorskip("transformers")

SHAPE = {"vocab_size": 29, "d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 14, "max_length": 16}
TOKENS = torch.tensor([[5, 6, 7, 8, 9], [1, 2, 3, 0, 0]])
REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def randomised(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.4)
    return module.double().eval()


def load(model, state, table):
    """Each of our names, with `{}` for the number of a block, from theirs."""
    mine = {}
    for name in model.state_dict():
        number = re.search(r"blocks\.(\d+)\.", name)
        key = re.sub(r"blocks\.\d+\.", "", name)
        key, _, kind = key.rpartition(".")
        theirs = table[key].format(number[1] if number else "")
        mine[name] = state[f"{theirs}.{kind}" if not theirs.endswith("!") else theirs[:-1]]
    model.load_state_dict(mine)
    return model.double().eval()


def bert():
    theirs = randomised(
        transformers.BertForPreTraining(
            transformers.BertConfig(
                vocab_size=29,
                hidden_size=12,
                num_hidden_layers=2,
                num_attention_heads=3,
                intermediate_size=14,
                max_position_embeddings=16,
            )
        )
    )
    layer = "bert.encoder.layer.{}."
    table = {
        "token": "bert.embeddings.word_embeddings",
        "encoder.position": "bert.embeddings.position_embeddings",
        "encoder.type": "bert.embeddings.token_type_embeddings",
        "encoder.embedding_norm": "bert.embeddings.LayerNorm",
        "encoder.attention.W_q": layer + "attention.self.query",
        "encoder.attention.W_k": layer + "attention.self.key",
        "encoder.attention.W_v": layer + "attention.self.value",
        "encoder.attention.W_o": layer + "attention.output.dense",
        "encoder.norm_attention": layer + "attention.output.LayerNorm",
        "encoder.feedforward.W_1": layer + "intermediate.dense",
        "encoder.feedforward.W_2": layer + "output.dense",
        "encoder.norm_feedforward": layer + "output.LayerNorm",
        "pooler": "bert.pooler.dense",
        "heads.words": "cls.predictions",
        "heads.words.dense": "cls.predictions.transform.dense",
        "heads.words.norm": "cls.predictions.transform.LayerNorm",
        "heads.next_sentence": "cls.seq_relationship",
    }
    ours = Transformer(TransformerConfig.default("encoder", **SHAPE))
    ours.add_head("next_sentence", 2)
    return theirs, load(ours, theirs.state_dict(), table)


def bert_logits(theirs, ours, types=None):
    types = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]) if types is None else types
    want = theirs(input_ids=TOKENS, attention_mask=REAL, token_type_ids=types)
    side = Side(TOKENS, REAL, torch.arange(5).expand(2, 5), types)
    hidden = ours.encode(side)
    return [
        (
            ours.predict("words", hidden.flatten(0, 1)).view(2, 5, -1)[REAL > 0],
            want.prediction_logits[REAL > 0],
        ),
        (ours.predict("next_sentence", hidden[:, 0]), want.seq_relationship_logits),
    ]


@torch.no_grad()
def test_bert():
    for got, want in bert_logits(*bert()):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("switch", [{"activation": "gelu_tanh"}, {"norm_eps": 1e-5}, {"position": "none"}])
def test_bert_with_a_wrong_switch_is_seen(switch):
    theirs, ours = bert()
    wrong = Transformer(ours.config.replace(**switch)).double().eval()
    wrong.add_head("next_sentence", 2)
    wrong.load_state_dict(ours.state_dict(), strict="position" not in switch)
    assert max(float((got - want).abs().max()) for got, want in bert_logits(theirs, wrong)) > 1e-6


LLAMA_LAYER = "model.layers.{}."
LLAMA = {
    "token": "model.embed_tokens",
    "decoder.attention.W_q": LLAMA_LAYER + "self_attn.q_proj",
    "decoder.attention.W_k": LLAMA_LAYER + "self_attn.k_proj",
    "decoder.attention.W_v": LLAMA_LAYER + "self_attn.v_proj",
    "decoder.attention.W_o": LLAMA_LAYER + "self_attn.o_proj",
    "decoder.attention.norm_q": LLAMA_LAYER + "self_attn.q_norm",
    "decoder.attention.norm_k": LLAMA_LAYER + "self_attn.k_norm",
    "decoder.norm_attention": LLAMA_LAYER + "input_layernorm",
    "decoder.norm_feedforward": LLAMA_LAYER + "post_attention_layernorm",
    "decoder.feedforward.W_gate": LLAMA_LAYER + "mlp.gate_proj",
    "decoder.feedforward.W_1": LLAMA_LAYER + "mlp.up_proj",
    "decoder.feedforward.W_2": LLAMA_LAYER + "mlp.down_proj",
    "decoder.final_norm": "model.norm",
    "heads.words.projection": "lm_head",
}


@torch.no_grad()
@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
def test_llama(kind):
    shape = {
        "vocab_size": 29,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "intermediate_size": 14,
        "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    }
    config = getattr(transformers, f"{kind}Config")(**shape)
    theirs = randomised(getattr(transformers, f"{kind}ForCausalLM")(config))
    switches = {**SHAPE, "num_kv_heads": 1, "tied": False, "qk_norm": kind == "Qwen3"}
    ours = Transformer(TransformerConfig.default("decoder", **switches))
    load(ours, theirs.state_dict(), LLAMA)
    want = theirs(input_ids=TOKENS, attention_mask=REAL).logits[REAL > 0]
    side = Side(TOKENS, REAL, torch.arange(5).expand(2, 5))
    got = ours.logits(Batch(None, side, {}))[REAL > 0]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * float(want.abs().max()))


@torch.no_grad()
def test_gpt2():
    config = transformers.GPT2Config(
        vocab_size=29,
        n_embd=12,
        n_layer=2,
        n_head=3,
        n_inner=14,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = randomised(transformers.GPT2LMHeadModel(config))
    state = {}
    for name, value in theirs.state_dict().items():
        # Its linear layers are stored (in, out), and W_q, W_k, W_v are one.
        value = value.T if re.search(r"(attn|mlp)\.c_.*weight", name) else value
        if "c_attn" in name:
            for part, chunk in zip("qkv", value.chunk(3), strict=True):
                state[name.replace("c_attn", part)] = chunk
        state[name] = value
    layer = "transformer.h.{}."
    table = {
        "token": "transformer.wte",
        "decoder.position": "transformer.wpe",
        "decoder.attention.W_q": layer + "attn.q",
        "decoder.attention.W_k": layer + "attn.k",
        "decoder.attention.W_v": layer + "attn.v",
        "decoder.attention.W_o": layer + "attn.c_proj",
        "decoder.norm_attention": layer + "ln_1",
        "decoder.norm_feedforward": layer + "ln_2",
        "decoder.feedforward.W_1": layer + "mlp.c_fc",
        "decoder.feedforward.W_2": layer + "mlp.c_proj",
        "decoder.final_norm": "transformer.ln_f",
    }
    switches = build("gpt2", norm_eps=1e-5).config.replace(**SHAPE)
    ours = load(Transformer(switches), state, table)
    want = theirs(input_ids=TOKENS).logits
    got = ours.logits(Batch(None, Side.of(TOKENS), {}))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 * float(want.abs().max()))


@torch.no_grad()
def test_t5():
    config = transformers.T5Config(
        vocab_size=29,
        d_model=12,
        d_kv=4,
        d_ff=14,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=11,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    theirs = randomised(transformers.T5ForConditionalGeneration(config))
    table = {"token": "shared"}
    for stack, last in (("encoder", 1), ("decoder", 2)):
        layer = stack + ".block.{}.layer."
        for part in "qkvo":
            table[f"{stack}.attention.W_{part}"] = layer + f"0.SelfAttention.{part}"
            table[f"{stack}.cross_attention.W_{part}"] = layer + f"1.EncDecAttention.{part}"
        table |= {
            f"{stack}.relative": f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias",
            f"{stack}.norm_attention": layer + "0.layer_norm",
            f"{stack}.norm_cross": layer + "1.layer_norm",
            f"{stack}.norm_feedforward": layer + f"{last}.layer_norm",
            f"{stack}.feedforward.W_1": layer + f"{last}.DenseReluDense.wi",
            f"{stack}.feedforward.W_2": layer + f"{last}.DenseReluDense.wo",
            f"{stack}.final_norm": f"{stack}.final_layer_norm",
        }
    switches = {**SHAPE, "relative_buckets": 8, "relative_max_distance": 11}
    ours = Transformer(TransformerConfig.default("encdec", **switches))
    load(ours, theirs.state_dict(), table)
    target = torch.tensor([[0, 4, 5, 6, 7, 8, 9], [0, 3, 2, 1, 5, 7, 9]])
    want = theirs(input_ids=TOKENS, attention_mask=REAL, decoder_input_ids=target).logits
    source = Side(TOKENS, REAL, torch.arange(5).expand(2, 5))
    got = ours.logits(Batch(source, Side.of(target), {}))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * float(want.abs().max()))
