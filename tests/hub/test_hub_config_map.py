"""The tables of switches, both ways, and the loops over the tables of names."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import BundleError
from liju.hub import Name, architecture, export_tensors, from_json, import_tensors, misfits, to_json
from liju.model import Transformer, TransformerConfig

FREE = {
    "encoder": {
        "activation": st.sampled_from(["relu", "gelu", "gelu_tanh", "silu", "relu2"]),
        "position": st.sampled_from(["learned", "rope"]),
        "norm_eps": st.sampled_from([1e-12, 1e-5]),
        "num_types": st.integers(1, 3),
        "max_length": st.integers(4, 99),
        "dropout": st.sampled_from([0.0, 0.1]),
    },
    "decoder": {
        "tied": st.booleans(),
        "num_kv_heads": st.sampled_from([1, 3]),
        "d_k": st.sampled_from([4, 6]),
        "qk_norm": st.booleans(),
        "qkv_bias": st.sampled_from([None, True]),
        "bias": st.booleans(),
        "rope_theta": st.sampled_from([1e4, 5e5]),
        "activation": st.sampled_from(["silu", "gelu", "gelu_tanh", "relu"]),
        "norm_place": st.sampled_from(["pre", "post"]),
        "window": st.sampled_from([0, 3]),
        "rope_scaling": st.sampled_from([None, (8.0, 1.0, 4.0, 16.0)]),
    },
    "encdec": {
        "tied": st.booleans(),
        "gated": st.booleans(),
        "num_decoder_layers": st.integers(1, 3),
        "activation": st.sampled_from(["relu", "gelu", "gelu_tanh", "silu"]),
        "relative_buckets": st.sampled_from([8, 32]),
        "d_k": st.sampled_from([4, 6]),
        "norm_bias": st.booleans(),
    },
}


@st.composite
def configs(draw):
    family = draw(st.sampled_from(sorted(FREE)))
    switches = {name: draw(values) for name, values in FREE[family].items()}
    return TransformerConfig.default(family, vocab_size=23, d_model=12, num_heads=3, num_layers=2, **switches)


@settings(deadline=None)
@given(configs())
def test_a_class_that_fits_says_it_all(config):
    """Switches written and read again are the same, or build the same network: nothing is lost on the way."""
    where = architecture(config)
    if where is None:
        assert misfits(config)
        return
    again, there = from_json(to_json(config, where))
    assert there.name == where.name
    canonical = again.replace(
        pooler=config.pooler,
        norm_bias=config.norm_bias,  # an RMS norm has none either way
        qkv_bias=config.qkv_bias,
        init_std=config.init_std,
    )
    assert canonical == config
    same = again.bias if again.qkv_bias is None else again.qkv_bias
    assert same == (config.bias if config.qkv_bias is None else config.qkv_bias)


@settings(deadline=None)
@given(configs())
def test_every_tensor_is_used_exactly_once(config):
    where = architecture(config)
    if where is None:
        return
    with torch.device("meta"):
        state = Transformer(config).state_dict()
    used = [ours for name in where.table(config) for ours in name.ours]
    assert len(used) == len(set(used)) and set(used) <= set(state)
    left = set(state) - set(used)
    assert not left or (where.name.endswith("ForMaskedLM") and left == {"pooler.weight", "pooler.bias"})


@pytest.mark.parametrize(
    ("family", "switches", "name"),
    [
        ("encoder", {}, "BertForMaskedLM"),
        ("encoder", {"position": "sinusoidal"}, "BertForMaskedLM"),
        ("encoder", {"position": "rope"}, "RoFormerForMaskedLM"),
        ("encoder", {"position": "rope", "rope_theta": 5e5}, None),
        (
            "encoder",
            {
                **{"position": "rope", "num_types": 0, "norm_place": "pre", "final_norm": True},
                **{"first_norm": False, "gated": True, "bias": False, "window": 3, "global_every": 2},
            },
            "ModernBertForMaskedLM",
        ),
        ("encoder", {"tied": False}, None),
        ("encoder", {"embedding_scale": True}, None),
        ("encoder", {"window": 3}, None),
        ("decoder", {}, "LlamaForCausalLM"),
        ("decoder", {"qkv_bias": True}, "Qwen2ForCausalLM"),
        ("decoder", {"qk_norm": True}, "Qwen3ForCausalLM"),
        ("decoder", {"qk_norm": True, "bias": True}, None),
        ("decoder", {"window": 3}, "MistralForCausalLM"),
        ("decoder", {"window": 3, "global_every": 2}, None),
        ("decoder", {"rope_scaling": (8.0, 1.0, 4.0, 16.0), "qk_norm": True}, "Qwen3ForCausalLM"),
        ("decoder", {"norm": "layer"}, None),
        ("decoder", {"softcap": 30.0}, None),
        (
            "decoder",
            {"norm": "layer", "norm_place": "parallel", "num_kv_heads": 1, "logit_scale": 0.2},
            "CohereForCausalLM",
        ),
        ("decoder", {"attention_scale": 1.0}, None),
        ("encdec", {}, "T5ForConditionalGeneration"),
        ("encdec", {"tied": True}, "T5ForConditionalGeneration"),
        ("encdec", {"tied": True, "logit_scale": None}, None),
        ("encdec", {"position": "rope"}, None),
    ],
)
def test_which_class_says_it(family, switches, name):
    config = TransformerConfig.default(family, vocab_size=23, d_model=12, num_heads=3, **switches)
    where = architecture(config)
    assert (where.name if where else None) == name
    assert bool(misfits(config)) == (name is None)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "yarn", "factor": 8.0}, "rope_parameters.rope_type is 'yarn'"),
        ({"rope_type": "llama3", "factor": 8.0}, "rope_parameters has no 'low_freq_factor'"),
    ],
)
def test_a_scaled_rotation_that_no_switch_expresses_is_refused(rope, message):
    config = TransformerConfig.default("decoder", vocab_size=23, d_model=12, num_heads=3)
    values = to_json(config, architecture(config))
    values["rope_parameters"] = {"rope_theta": 5e5, **rope}
    with pytest.raises(BundleError, match=f"config.json: {message}"):
        from_json(values)


def test_files_of_transformers_4_come_in():
    config = TransformerConfig.default("decoder", vocab_size=23, d_model=12, num_heads=3, rope_theta=5e5)
    values = to_json(config, architecture(config))
    del values["rope_parameters"], values["head_dim"]
    assert from_json(values)[0] == config.replace(qkv_bias=None)


def test_fused_and_transposed_tensors_both_ways():
    """GPT-2's c_attn: queries, keys and values in one matrix, stored (in, out)."""
    table = [Name(("q", "k", "v"), "c_attn", "transpose"), Name(("b",), "bias")]
    ours = {"q": torch.randn(2, 3), "k": torch.randn(5, 3), "v": torch.randn(7, 3), "b": torch.randn(2)}
    theirs, left = export_tensors(ours, table)
    assert theirs["c_attn"].shape == (3, 14) and not left
    again = import_tensors(theirs, table, {name: tensor.shape for name, tensor in ours.items()})
    assert all(torch.equal(again[name], ours[name]) for name in ours) and set(again) == set(ours)


def test_a_table_that_asks_for_what_is_not_there():
    with pytest.raises(BundleError, match="q: the model has no such tensor"):
        export_tensors({"b": torch.ones(1)}, [Name(("q",), "query")])


def test_a_computed_table_must_be_what_it_should_be():
    table = [Name((), "positions", fill=lambda: torch.arange(3.0))]
    assert import_tensors({"positions": torch.arange(3.0)}, table, {}) == {}
    with pytest.raises(BundleError, match="positions is not the table"):
        import_tensors({"positions": torch.arange(3.0) + 1}, table, {})
