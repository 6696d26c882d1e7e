"""Value residuals: the later blocks' values are mixed with the first block's. (Laws 1, 4 and 5, kernels and
counts: the cases of model_toys that have them.)"""

import pytest
import torch
from model_toys import build, draw, gradients, loss

from liju.errors import ModelError
from liju.hub import architecture, misfits
from liju.hub.engines import ctranslate2, gguf_shapes
from liju.model import MultiHeadAttention, TransformerConfig
from liju.plan import count_parameters
from liju.samples.batch import Side, assemble
from liju.train.recompute import recompute

CASES = ["value-residual", "encoder-value", "encdec-value"]


def test_the_values_are_the_sum_that_is_said():
    torch.manual_seed(2)
    attention = MultiHeadAttention(d_model=6, num_heads=2, value_residual=True).double()
    plain = MultiHeadAttention(d_model=6, num_heads=2).double()
    assert attention.value_mix.tolist() == [0.5, 0.5]
    attention.value_mix.data = torch.tensor([0.3, -1.7], dtype=torch.float64)
    x, first = torch.randn(2, 5, 6).double(), torch.randn(2, 5, 6).double()
    plain.load_state_dict({k: v for k, v in attention.state_dict().items() if k != "value_mix"})
    value = 0.3 * first - 1.7 * plain.W_v(x)  # before the heads are told apart
    plain.W_v = torch.nn.Identity()
    want = plain(x, x, value)
    got = attention(x, x, x, first_value=first.unflatten(-1, (2, 3)).transpose(1, 2))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    with pytest.raises(ModelError, match="first_value"):
        attention(x, x, x)


@pytest.mark.parametrize("case", CASES)
def test_each_block_but_the_first_mixes_and_learns_it(case):
    model = build(case)
    names = {name for name, _ in model.named_parameters() if name.endswith("value_mix")}
    sides = [
        (side, len(getattr(model, side).blocks)) for side in ("encoder", "decoder") if getattr(model, side)
    ]
    assert names == {f"{side}.blocks.{i}.attention.value_mix" for side, n in sides for i in range(1, n)}
    own = count_parameters(model.config, {"next_sentence": 2} if "next_sentence" in model.heads else {}).total
    assert own == sum(p.numel() for p in model.parameters())
    batch = assemble(draw(model, [(5, 4), (2, 6), (3, 1)]))
    found = gradients(model, loss(model, batch))
    assert all(float(found[name].abs().min()) > 0 for name in names)


def test_of_zero_and_one_it_is_the_model_without():
    """A control: with any other pair of numbers the outputs are others."""
    model, without = build("value-residual"), build("value-residual", value_residual=False)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("value_mix")}
    without.load_state_dict(state)
    side = Side.of(torch.tensor([[5, 6, 7, 3]]))
    assert float((model.decode(side) - without.decode(side)).detach().abs().max()) > 1e-3
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("value_mix"):
                parameter.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(model.decode(side), without.decode(side), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["blocks", "selective"])
def test_recomputed_blocks_have_the_same_gradients(case, mode):
    """The values leave the first block as an output, not behind a checkpoint's back."""
    model = build(case).train()
    batch = assemble(draw(model, [(5, 4), (2, 6), (3, 1)]), [[0, 1], [2]])
    want = gradients(model, loss(model, batch))
    stacks = [stack for stack in (model.encoder, model.decoder) if stack is not None]
    undo = recompute([block for stack in stacks for block in stack.blocks], mode)
    found = gradients(model, loss(model, batch))
    undo()
    assert all(torch.equal(found[name], gradient) for name, gradient in want.items())


@pytest.mark.parametrize("family", ["encoder", "decoder", "encdec"])
def test_other_engines_are_said_to_have_no_such_thing(family):
    shape = {"vocab_size": 11, "d_model": 8, "num_heads": 2, "num_layers": 2}
    config = TransformerConfig.default(family, **shape, value_residual=True)
    plain = config.replace(value_residual=False)
    assert architecture(config) is None and architecture(plain) is not None
    (reason,) = misfits(config)
    assert reason.startswith("value_residual is True (no class of transformers has it")
    # CTranslate2 is for models that write, llama.cpp gets no encoder-decoder from liju.
    engines = {"encoder": [gguf_shapes], "decoder": [gguf_shapes, ctranslate2], "encdec": [ctranslate2]}
    for engine in engines[family]:
        assert "value_residual is True" in engine.misfit(config, ["words"])
        assert "value_residual" not in (engine.misfit(plain, ["words"]) or "")
