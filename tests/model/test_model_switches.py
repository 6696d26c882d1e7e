"""Every value of every switch builds, runs forward and backward, and starts where it should."""

import dataclasses
import typing

import pytest
import torch
from model_toys import CASES, build, draw, gradients, loss

from liju.model import Transformer, TransformerConfig
from liju.model import config as config_module
from liju.samples.batch import assemble

OTHER = {
    "norm_bias": (True, False),
    "embedding_norm": (True, False),
    "final_norm": (True, False),
    "first_norm": (True, False),
    "gated": (True, False),
    "bias": (True, False),
    "qkv_bias": (None, True, False),
    "qk_norm": (True, False),
    "value_residual": (True, False),
    "attention_scale": (None, 0.5, 1.0),
    "sinusoid_halves": (True,),
    "rope_theta_local": (None, 10.0),
    "window": (0, 2),
    "num_kv_heads": (1, 3),
    "d_k": (2, 6),
    "d_ff": (5,),
    "d_embedding": (8,),
    "embedding_scale": (True,),
    "tied": (True, False),
    "head_bias": (True, False),
    "logit_scale": (None, 0.3),
    "softcap": (0.0, 3.0),
    "pooler": (True, False),
    "dropout": (0.0, 0.3),
}


def matrix():
    for name, kind in typing.get_type_hints(TransformerConfig, vars(config_module)).items():
        values = typing.get_args(kind)
        if values and isinstance(values[0], str) and name not in ("family",):
            yield from ((name, value) for value in values)
    yield from ((name, value) for name, values in OTHER.items() for value in values)


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
@pytest.mark.parametrize("switch, value", list(matrix()))
def test_switch(family, switch, value):
    if (value == "parallel" and family == "encdec") or (switch, value) == ("head", "none"):
        pytest.skip("refused by the configuration, or without a loss")
    shape = {"vocab_size": 23, "d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 14, "max_length": 16}
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.default(family, **{**shape, switch: value}))
    value = loss(model, assemble(draw(model, [(5, 4), (2, 6), (3, 1)]), [[0, 1], [2]]))
    found = gradients(model, value)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in found.values())
    idle = {name for name, _ in model.named_parameters() if name not in found}
    assert all(name.startswith("pooler") for name in idle), f"no gradient: {idle}"


def test_every_switch_is_in_the_matrix():
    sizes = {"vocab_size", "d_model", "num_layers", "num_heads", "num_decoder_layers", "max_length", "family"}
    values = {
        "norm_eps",
        "rope_theta",
        "rope_scaling",
        "init_std",
        "relative_buckets",
        "relative_max_distance",
    }
    elsewhere = {"global_every", "num_types", "position_offset"}  # in CASES
    known = {field.name for field in dataclasses.fields(TransformerConfig)}
    assert known == {name for name, _ in matrix()} | sizes | values | elsewhere


@pytest.mark.parametrize("case", list(CASES))
def test_a_cast_model_answers_in_float32(case):
    model = build(case, dtype=torch.bfloat16)
    logits = model.logits(assemble(draw(model, [(5, 4), (2, 6)])))
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    model = build(case, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(model, assemble(draw(model, [(5, 4), (2, 6)])))
    assert value.dtype == torch.float32
    want = loss(model, assemble(draw(model, [(5, 4), (2, 6)])))
    assert value.item() == pytest.approx(want.item(), rel=0.05)
    assert all(gradient.isfinite().all() for gradient in gradients(model, value).values())


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_a_new_model_knows_nothing(family):
    """The loss of a new model is that of a uniform guess: no head starts confident."""
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.default(family, vocab_size=101, d_model=64, num_heads=2)).eval()
    with torch.no_grad():
        logits = model.logits(assemble(draw(model, [(7, 6)] * 8)))
    entropy = torch.logsumexp(logits, -1) - logits.mean(-1)
    uniform = torch.tensor(101.0).log()
    assert abs((entropy.mean() - uniform).item()) < (0.2 if family != "encdec" else 1.0)


def test_tied_is_one_parameter_and_untied_are_two():
    tied, untied = build("llama"), build("llama", tied=False)
    assert "heads.words.projection.weight" not in tied.state_dict()
    assert untied.heads["words"].projection.weight.data_ptr() != untied.token.weight.data_ptr()


def test_label_head_uses_the_pooler_only_where_there_is_one():
    hidden = torch.randn(3, 12).double()
    bert, llama = build("bert"), build("llama")
    for model in (bert, llama):
        model.add_head("label", 5)
        model.add_head("tags", 7)
        assert model.heads["label"].weight.dtype == torch.float64
    want = bert.heads["label"](torch.tanh(bert.pooler.weight @ hidden.T + bert.pooler.bias[:, None]).T)
    torch.testing.assert_close(bert.predict("label", hidden), want)
    torch.testing.assert_close(llama.predict("label", hidden), llama.heads["label"](hidden))
    torch.testing.assert_close(bert.predict("tags", hidden), bert.heads["tags"](hidden))


def test_residual_projections_start_smaller_with_depth():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.default("decoder", vocab_size=5, d_model=64, num_layers=8))
    assert model.decoder.blocks[0].attention.W_o.weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)
    assert model.decoder.blocks[0].attention.W_q.weight.std().item() == pytest.approx(0.02, rel=0.1)
    t5 = Transformer(TransformerConfig.default("encdec", vocab_size=50, d_model=64, num_layers=2))
    assert t5.encoder.blocks[0].attention.W_q.weight.std().item() == pytest.approx((64 * 16) ** -0.5, rel=0.1)
    assert t5.token.weight.std().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("scale", [0, 0.0, 4**-0.5, 0.5000000001])
def test_the_usual_scale_of_scores_is_none_however_a_file_says_it(scale):
    config = TransformerConfig(vocab_size=11, d_model=12, num_heads=3, attention_scale=scale)
    assert config == TransformerConfig(vocab_size=11, d_model=12, num_heads=3)
    assert config.replace(attention_scale=0.4).attention_scale == 0.4
