"""Flat lines through torch's own operator for variable lengths, on a CPU that was given an implementation of
it (`varlen_on_cpu`): nothing of liju is replaced but the question whether the device has the kernel."""

import pytest
import torch
import varlen_on_cpu
from model_toys import CASES, build, draw, gradients, loss

from liju.model import attention, kernels, layout_for
from liju.model.layout import layout_for as layout_of
from liju.samples.batch import assemble
from liju.samples.layout import micro_batches

# d_k is 8 in all of them: FlashAttention has no narrower heads.
SHAPE = {"d_model": 24, "d_k": 8}
NO_BIAS = [case for case, (_, own) in CASES.items() if own.get("position") != "relative" and case != "t5"]
LENGTHS = [(5, 4), (2, 6), (3, 1), (1, 2), (7, 3)]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """This CPU is a device with the kernel for variable lengths."""

    def able(name, device, dtype, d_k, *, bias):
        return "" if name == "varlen" and not bias and d_k % 8 == 0 else "no such kernel"

    monkeypatch.setattr(attention, "SPANNED", {"cpu"})
    monkeypatch.setattr(kernels, "able", able)
    monkeypatch.setattr("liju.model.layout.able", able)
    kernels.failure.cache_clear()
    varlen_on_cpu.CALLS.clear()
    yield
    kernels.failure.cache_clear()


@pytest.mark.parametrize("case", NO_BIAS)
def test_a_flat_line_is_its_samples(case):
    model = build(case, **SHAPE)
    assert model.layout == "flat"
    samples = draw(model, LENGTHS)
    one_by_one = [loss(model, assemble([sample])) for sample in samples]
    want = sum(one_by_one)
    expected = gradients(model, want)
    varlen_on_cpu.CALLS.clear()
    batches = micro_batches(samples, 20, "flat", pad=3)
    got = sum(loss(model, batch) for batch in batches)
    found = gradients(model, got)
    # Every attention of every line of several samples went there, cross-attention too.
    each = model.config.encoder_layers + model.config.decoder_layers * (2 if case in CROSS else 1)
    assert len(varlen_on_cpu.CALLS) == each * sum(len(batch.samples) > 1 for batch in batches) > 0
    assert abs(float((got - want).detach())) <= 1e-11 * max(1.0, abs(float(want.detach())))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        bound = 1e-11 * max(1.0, float(gradient.abs().max()))
        assert float((found[name] - gradient).abs().max()) <= bound, name


CROSS = [case for case, (family, _) in CASES.items() if family == "encdec"]


def test_a_bias_or_a_narrow_head_has_no_flat_line():
    assert build("t5", **SHAPE).layout == build("llama").layout == "grouped"
    layout, why = layout_of(build("t5", **SHAPE).config, "cpu", torch.float64)
    assert (layout, why) == ("grouped", "no such kernel")


def test_a_kernel_that_is_wrong_or_raises_is_not_used(monkeypatch):
    model = build("llama", **SHAPE)
    assert model.layout == "flat"
    right = varlen_on_cpu.all_of_them
    for broken, told in (
        (lambda *given: right(*given) * 1.2, "varlen is off by"),
        (lambda *given: 1 / 0, "varlen raised ZeroDivisionError: division by zero"),
        (lambda *given: right(*given[:5], (-1, -1), given[6]), "varlen is off by"),  # looks ahead
        (lambda *given: right(*given) * torch.nan, "varlen is off by"),
    ):
        kernels.failure.cache_clear()
        monkeypatch.setattr(varlen_on_cpu, "all_of_them", broken)
        layout, why = layout_for(model.config, "cpu", torch.float64)
        assert layout == "grouped" and told in why
        batch = assemble(draw(model, LENGTHS), [[0, 1, 2, 3, 4]])
        got = loss(model, batch)  # a mask
        monkeypatch.setattr(attention, "SPANNED", set())
        torch.testing.assert_close(got, loss(model, batch), rtol=0, atol=1e-12)
        monkeypatch.setattr(attention, "SPANNED", {"cpu"})


def test_it_is_tried_once_and_draws_nothing():
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    with torch.inference_mode():  # as an evaluation asks
        assert build("bart", **SHAPE).config.family == "encdec"
        torch.manual_seed(3)
        assert not kernels.failure("varlen", torch.device("cpu"), torch.float64, 8, False, True)
    assert torch.equal(torch.rand(2), want)
    calls = len(varlen_on_cpu.CALLS)
    assert calls and not kernels.failure("varlen", torch.device("cpu"), torch.float64, 8, False, True)
    assert len(varlen_on_cpu.CALLS) == calls


@pytest.mark.parametrize("case", ["bert", "qwen", "bart"])
def test_under_autocast_all_three_are_half_precision(case):
    """The operator is none that autocast casts for: queries that a norm has made wide would be refused."""
    model = build(case, dtype=torch.float32, **SHAPE)
    batch = assemble(draw(model, LENGTHS), [[0, 1, 2, 3, 4]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.layout == "flat"
        got = loss(model, batch)
    assert varlen_on_cpu.CALLS
    want = loss(model, batch)
    torch.testing.assert_close(got, want, rtol=0.05, atol=0.05, check_dtype=False)
    assert gradients(model, got)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("case", ["bert", "encdec-rope"])
def test_blocks_compile_without_a_break_and_once(case):
    """What the kernel is told comes from outside the blocks: one graph serves lines of any lengths."""
    torch.compiler.reset()
    model = build(case, **SHAPE)
    graphs = []

    def count(graph, inputs):
        graphs.append(1)
        return graph.forward

    lines = [assemble(draw(model, LENGTHS[i:], seed=i), [list(range(5 - i))]) for i in range(3)]
    want = [loss(model, line).detach() for line in lines]
    for stack in (model.encoder, model.decoder):
        for block in stack.blocks if stack is not None else ():
            block.compile(dynamic=True, fullgraph=True, backend=count)
    got, seen = [], []
    for line in lines:
        got.append(loss(model, line).detach())
        seen.append(len(graphs))
    torch.compiler.reset()
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    assert seen[-1] == seen[0], seen
