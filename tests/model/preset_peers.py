"""What another implementation computes with the weights of a toy, in float64: transformers where it has the
class, its parts put together where it has them, an einsum written from the paper where it has nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from preset_toys import toy
from torch import Tensor

from liju.hub import architecture, probe_batch, save_bundle
from liju.hub.check import probe_outputs
from liju.model import Transformer, TransformerConfig
from liju.model.presets import PRESETS
from liju.samples.batch import Batch

__all__ = ["einsum_palm", "parity", "random_toy"]

WEIGHTS = 0.3  # deviation: nothing zero, nothing one


def random_toy(config: TransformerConfig, heads: dict[str, int]) -> Transformer:
    """A model in float64 that shows every mistake."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = Transformer(config)
        for name, outputs in heads.items():
            model.add_head(name, outputs)
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, std=WEIGHTS, mean=1.0 if "norm" in name else 0.0)
    return model.double().eval()


def parity(name: str, folder: Path) -> tuple[float, str]:
    """The largest difference of the logits, as a share of the largest, and what was asked."""
    entry = PRESETS[name]
    config = toy(name, dropout=0.0)
    if entry.system == "transformer":  # Marian's epsilon cannot be changed
        config = config.replace(norm_eps=1e-5)
    model = random_toy(config, entry.heads)
    batch = probe_batch(config)
    ours = probe_outputs(model, batch)
    where = architecture(config, list(model.heads))
    if entry.system == "palm":
        words = einsum_palm(dict(model.state_dict()), config, batch.predicting.tokens)
        peer = "an einsum of the paper's formulas"
        if where is not None:
            peer += f"; {where.name}: {_apart(ours, _transformers(model, folder, batch)):.0e}"
        return _apart(ours, {"words": words}), peer
    if where is not None:
        return _apart(ours, _transformers(model, folder, batch)), where.name
    ask = {"transformer": _marian, "gpt3": _bands, "lamda": _t5_stack}[entry.system]
    words, peer = ask(model, folder, batch)
    return _apart(ours, {"words": words}), peer


def _apart(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert theirs
    return max(
        float((ours[name].flatten(0, -2) - one.flatten(0, -2)).abs().max() / one.abs().max())
        for name, one in theirs.items()
    )


def _loaded(model: Transformer, folder: Path) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    name = save_bundle(folder, model, None, overwrite=True).architecture
    assert name is not None
    return getattr(transformers, name).from_pretrained(folder, dtype=torch.float64).eval()


@torch.no_grad()
def _transformers(model: Transformer, folder: Path, batch: Batch) -> dict[str, Tensor]:
    inputs: dict[str, Any] = {"input_ids": batch.predicting.tokens}
    if batch.encoder is not None:
        inputs = {"input_ids": batch.encoder.tokens}
        if batch.encoder.types is not None:
            inputs["token_type_ids"] = batch.encoder.types
        if batch.decoder is not None:
            inputs["decoder_input_ids"] = batch.decoder.tokens
    out = _loaded(model, folder)(**inputs)
    keys = {"words": "prediction_logits", "next_sentence": "seq_relationship_logits"}
    if "prediction_logits" not in out:
        keys = {"words": "logits"}
    return {ours: out[key] for ours, key in keys.items()}


def _marian(model: Transformer, folder: Path, batch: Batch) -> tuple[Tensor, str]:
    """Sines and cosines in turn are Marian's halves in another order of the columns: everything that meets
    the residual stream is put in that order."""
    config = model.config
    order = torch.cat([torch.arange(0, config.d_model, 2), torch.arange(1, config.d_model, 2)])
    other = Transformer(config.replace(sinusoid_halves=True, head_bias=True)).double().eval()
    state = {}
    for name, tensor in model.state_dict().items():
        leaves = name.endswith(("W_o.weight", "W_2.weight"))
        if name.endswith(("W_o.bias", "W_2.bias")) or ".norm_" in name or leaves:
            tensor = tensor[order]
        elif tensor.dim() == 2:
            tensor = tensor[:, order]
        state[name] = tensor
    state["heads.words.bias"] = torch.zeros(config.vocab_size, dtype=torch.float64)
    other.load_state_dict(state)
    return _transformers(other, folder, batch)["words"], "MarianMTModel, columns in its order"


@torch.no_grad()
def _bands(model: Transformer, folder: Path, batch: Batch) -> tuple[Tensor, str]:
    """GPT-2's blocks one by one, every second one with a band for a mask."""
    config = model.config
    dense = Transformer(config.replace(window=0, global_every=0)).double().eval()
    dense.load_state_dict(model.state_dict())
    gpt2 = _loaded(dense, folder)
    tokens = batch.predicting.tokens
    place = torch.arange(tokens.shape[1])
    back = place[:, None] - place
    x = gpt2.transformer.wte(tokens) + gpt2.transformer.wpe(place)
    for number, block in enumerate(gpt2.transformer.h):
        seen = back >= 0
        if number % config.global_every:
            seen &= back <= config.window
        mask = torch.zeros(seen.shape, dtype=x.dtype).masked_fill(~seen, -math.inf)[None, None]
        x = block(x, attention_mask=mask)
        x = x[0] if isinstance(x, tuple) else x
    return gpt2.lm_head(gpt2.transformer.ln_f(x)), "GPT2LMHeadModel, a band in every second block"


@torch.no_grad()
def _t5_stack(model: Transformer, folder: Path, batch: Batch) -> tuple[Tensor, str]:
    """T5's decoder without an encoder. It does not scale its scores, so W_q does; its GELU is set to the
    exact one."""
    import transformers
    from transformers.models.t5.modeling_t5 import T5Stack

    config = model.config
    settings = transformers.T5Config(
        vocab_size=config.vocab_size,
        d_model=config.d_model,
        d_kv=config.d_k,
        d_ff=config.d_ff,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        feed_forward_proj="gated-gelu",
        is_decoder=True,
        is_encoder_decoder=False,
        use_cache=False,
    )
    settings.dense_act_fn = "gelu"
    stack = T5Stack(settings).double().eval()
    state = {"embed_tokens.weight": model.token.weight}
    relative = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    names = {"W_q": "q", "W_k": "k", "W_v": "v", "W_o": "o", "W_gate": "wi_0", "W_1": "wi_1", "W_2": "wo"}
    for name, tensor in model.state_dict().items():
        part = name.split(".")
        if name == "decoder.relative.weight":
            state[relative] = tensor
        elif name == "decoder.final_norm.weight":
            state["final_layer_norm.weight"] = tensor
        elif part[1:2] == ["blocks"]:
            block, what = f"block.{part[2]}.layer", part[3]
            last = 0 if "attention" in what else 2
            if what.startswith("norm_"):
                state[f"{block}.{last}.layer_norm.weight"] = tensor
            else:
                inner = "DenseReluDense" if last else "SelfAttention"
                scale = config.d_k**-0.5 if part[4] == "W_q" else 1.0
                state[f"{block}.{last}.{inner}.{names[part[4]]}.weight"] = tensor * scale
    missing, unexpected = stack.load_state_dict(state, strict=False)
    assert not unexpected and all(".layer.1." in name for name in missing)  # cross-attention sleeps
    hidden = stack(input_ids=batch.predicting.tokens).last_hidden_state
    return hidden @ model.token.weight.T, "T5's decoder alone, W_q / sqrt(d_k)"


def einsum_palm(weights: dict[str, Tensor], config: TransformerConfig, tokens: Tensor) -> Tensor:
    """PaLM from the paper (arXiv:2204.02311, section 2), nothing of liju's in it: y = x + MLP(LN(x)) +
    Attention(LN(x)), SwiGLU, one head of keys and values, rotary positions as complex numbers."""
    d, heads, d_k = config.d_model, config.num_heads, config.d_k
    token = weights["token.weight"]
    x = token[tokens]
    places = x.shape[1]
    angle = torch.arange(places, dtype=x.dtype)[:, None] * 1e4 ** (
        -torch.arange(0, d_k, 2, dtype=x.dtype) / d_k
    )
    turn = torch.polar(torch.ones_like(angle), angle)

    def rotated(h: Tensor) -> Tensor:  # h: row place head d_k; pair i is (i, i + d_k / 2)
        pairs = torch.complex(h[..., : d_k // 2], h[..., d_k // 2 :]) * turn[:, None]
        return torch.cat([pairs.real, pairs.imag], -1)

    def norm(h: Tensor, weight: Tensor) -> Tensor:
        centred = h - h.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * weight

    for number in range(config.num_layers):
        own = {
            name.removeprefix(f"decoder.blocks.{number}."): tensor
            for name, tensor in weights.items()
            if name.startswith(f"decoder.blocks.{number}.")
        }
        h = norm(x, own["norm_attention.weight"])
        q = rotated(torch.einsum("rpd,hkd->rphk", h, own["attention.W_q.weight"].view(heads, d_k, d)))
        k = rotated(torch.einsum("rpd,kd->rpk", h, own["attention.W_k.weight"])[:, :, None])[:, :, 0]
        v = torch.einsum("rpd,kd->rpk", h, own["attention.W_v.weight"])
        scores = torch.einsum("rphk,rsk->rhps", q, k) / math.sqrt(d_k)
        scores = scores.masked_fill(torch.ones(places, places).tril() == 0, -math.inf)
        mixed = torch.einsum("rhps,rsk->rphk", scores.softmax(-1), v)
        attention = torch.einsum("rphk,dhk->rpd", mixed, own["attention.W_o.weight"].view(d, heads, d_k))
        gate = torch.einsum("rpd,fd->rpf", h, own["feedforward.W_gate.weight"])
        up = torch.einsum("rpd,fd->rpf", h, own["feedforward.W_1.weight"])
        inner = gate / (1 + torch.exp(-gate)) * up
        x = x + attention + torch.einsum("rpf,df->rpd", inner, own["feedforward.W_2.weight"])
    x = norm(x, weights["decoder.final_norm.weight"])
    return torch.einsum("rpd,vd->rpv", x, token) / math.sqrt(d)
