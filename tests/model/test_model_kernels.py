"""Packed rows by kernels: the same outputs and gradients as by a mask, for every family and position kind.

There is no GPU in the tests. FlexAttention runs eagerly on a CPU; the kernel for variable lengths is replaced
by a loop over what it is told, so that what it is told is tested.
"""

import pytest
import torch
import torch.nn.functional as F
from model_toys import CASES, build, draw, gradients, loss

from liju.model import attention, kernels
from liju.model.kernels import Spans, kernel_for
from liju.samples.batch import assemble
from liju.samples.layout import micro_batches

every_case = pytest.mark.parametrize("case", list(CASES))
LENGTHS = [(5, 4), (2, 6), (3, 1), (1, 2), (7, 3)]
ROWS = {"one line": [[0, 1, 2, 3, 4]], "rows": [[0, 1], [2], [4, 3]]}


def looped(query, key, value, bounds, window, scale):
    """What the kernel for variable lengths is said to do, segment by segment."""
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    assert bounds.longest_query == int(bounds.query.diff().max())
    assert bounds.longest_key == int(bounds.key.diff().max())
    out = []
    for i in range(len(bounds.query) - 1):
        q = query[bounds.query[i] : bounds.query[i + 1]]
        k, v = (x[bounds.key[i] : bounds.key[i + 1]] for x in (key, value))
        distance = torch.arange(len(k)) - torch.arange(len(q))[:, None]
        left, right = (n if n >= 0 else 10**9 for n in window)
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        scores = scores.masked_fill((distance < -left) | (distance > right), -torch.inf)
        out.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v))
    assert int(bounds.query[-1]) == len(query)
    return torch.cat(out)


@pytest.fixture(params=["varlen", pytest.param("flex", marks=pytest.mark.slow), "dense"])
def kernel(request, monkeypatch):
    """Every packed row goes to this kernel (varlen knows no bias)."""
    used = []

    def chosen(device, dtype, d_k=64, *, bias, grouped=False):
        name = "dense" if bias and request.param == "varlen" else request.param
        used.append(name)
        return name

    monkeypatch.setattr(attention, "SPANNED", {"cpu"})
    monkeypatch.setattr(kernels, "kernel_for", chosen)
    monkeypatch.setattr(kernels, "_varlen", looped)
    return request.param, used


@every_case
@pytest.mark.parametrize("rows", list(ROWS))
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_kernels_are_the_mask(case, rows, kernel, monkeypatch):
    name, used = kernel
    model = build(case)
    if name == "flex":  # on a CPU it has no backward pass, and refuses tensors that ask for one
        model.requires_grad_(False)
    batch = assemble(draw(model, LENGTHS), ROWS[rows], pad=3)
    got = loss(model, batch)
    assert used, "no kernel was asked for"
    found = {} if name == "flex" else gradients(model, got)
    monkeypatch.setattr(attention, "SPANNED", set())
    used.clear()
    want = loss(model, batch)
    assert not used
    assert abs(float((got - want).detach())) <= 1e-11 * max(1.0, abs(float(want.detach())))
    for parameter, gradient in (gradients(model, want) if found else {}).items():
        bound = 1e-11 * max(1.0, float(gradient.abs().max()))
        assert float((found[parameter] - gradient).abs().max()) <= bound, parameter


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [0, 2])
def test_the_function_is_the_table(causal, window):
    """FlexAttention's question and the dense mask say the same of every pair of places."""
    segment = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 2, 2, 2, 3, 3, 0]])
    for spans in (
        Spans(segment, segment, causal=causal, window=window),
        Spans(segment[:, :5], segment, cross=True),
    ):
        rows, queries = spans.query.shape
        grid = torch.meshgrid(
            torch.arange(rows), torch.arange(queries), torch.arange(segment.shape[1]), indexing="ij"
        )
        asked = spans.sees(grid[0], torch.tensor(0), grid[1], grid[2])
        assert torch.equal(asked, spans.mask[:, 0])


def test_ends_of_segments():
    query = torch.tensor([[1, 1, 2, 0], [1, 2, 2, 3]])
    spans = Spans(query, query)
    assert spans.bounds.query.tolist() == spans.bounds.key.tolist() == [0, 2, 3, 4, 5, 7, 8]
    assert spans.bounds.longest_query == 2 and spans.tidy
    key = torch.tensor([[1, 2, 2, 2], [1, 1, 2, 3]])
    across = Spans(query, key, cross=True)
    assert across.bounds.query.tolist() == [0, 2, 3, 4, 5, 7, 8]
    assert across.bounds.key.tolist() == [0, 1, 4, 4, 6, 7, 8]
    assert across.tidy
    assert not Spans(query, query, cross=True).tidy  # an empty key
    assert not Spans(torch.tensor([[1, 0, 2]]), torch.tensor([[1, 0, 2]])).tidy
    assert not Spans(torch.tensor([[2, 1]]), torch.tensor([[2, 1]])).tidy


def test_what_is_chosen(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    half, single = torch.bfloat16, torch.float32
    assert kernel_for(cpu, single, bias=False) == "dense"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(kernels, "_has_triton", lambda: True)
    monkeypatch.setattr(kernels, "failure", lambda *_: "")
    assert "window_size" in kernels._varlen_knows()
    assert kernel_for(gpu, half, bias=False) == "varlen"
    assert kernel_for(gpu, half, bias=True) == "flex"
    assert kernel_for(gpu, single, bias=False) == "flex"
    assert kernel_for(gpu, torch.float64, bias=False) == "dense"
    # Heads that FlashAttention has no kernel for, and heads that Triton has no products for.
    assert [kernel_for(gpu, half, d_k, bias=False) for d_k in (8, 12, 20, 256, 264)] == [
        "varlen", "dense", "flex", "varlen", "flex",
    ]  # fmt: skip
    tried = []
    monkeypatch.setattr(kernels, "failure", lambda name, *_: tried.append(name) or "it raised")
    assert kernel_for(gpu, half, bias=False) == "dense" and tried == ["varlen", "flex"]
    monkeypatch.setattr(kernels, "failure", lambda name, *_: "it is off" * (name == "varlen"))
    assert kernel_for(gpu, half, bias=False) == "flex"
    monkeypatch.setattr(kernels, "_has_triton", lambda: False)
    assert kernel_for(gpu, single, bias=False) == "dense"
    monkeypatch.setattr(kernels, "_varlen_knows", frozenset)
    assert kernel_for(gpu, half, bias=False) == "dense"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert kernel_for(gpu, half, bias=False) == "dense"


@pytest.mark.parametrize("case", ["bert", "llama", "marian"])
def test_a_flat_row_is_its_samples(case, monkeypatch):
    """One line without an empty place, by the ends of its segments: the loss of the samples one by one."""
    model = build(case)
    samples = draw(model, LENGTHS)
    want = sum(loss(model, assemble([sample])).detach() for sample in samples)
    monkeypatch.setattr(attention, "SPANNED", {"cpu"})
    monkeypatch.setattr(kernels, "kernel_for", lambda *_, **__: "varlen")
    monkeypatch.setattr(kernels, "_varlen", looped)
    batches = micro_batches(samples, 20, "flat")
    assert all(batch.places == batch.tokens and len(batch.predicting.tokens) == 1 for batch in batches)
    assert sum(len(batch.samples) for batch in batches) == len(samples)
    got = sum(loss(model, batch).detach() for batch in batches)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_rows_that_bounds_cannot_say_go_to_the_mask(monkeypatch):
    monkeypatch.setattr(kernels, "kernel_for", lambda *_, **__: "varlen")
    monkeypatch.setattr(kernels, "_varlen", looped)
    segment = torch.tensor([[2, 2, 1, 0, 1]])
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 5, 4).double()
    spans = Spans(segment, segment)
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=spans.mask, scale=0.3)
    torch.testing.assert_close(spans.attend(q, k, v, 0.3), want, rtol=0, atol=1e-12)
