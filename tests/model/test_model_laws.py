"""Packed = unpacked (law 1) and nothing leaks (law 8), for every family and position kind, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_toys import CASES, build, draw, embedded, gradients, loss

from liju.errors import ModelError
from liju.samples.batch import Side, assemble

every_case = pytest.mark.parametrize("case", list(CASES))


def close(got, want):
    assert got.keys() == want.keys()
    for name, gradient in want.items():
        bound = 1e-12 * max(1.0, float(gradient.abs().max()))
        difference = float((got[name] - gradient).abs().max())
        assert difference <= bound, f"{name}: {difference}"


@every_case
@settings(max_examples=6, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=2, max_size=4),
    first_row=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_packed_is_unpacked(case, lengths, first_row, seed):
    model = build(case)
    samples = draw(model, lengths, seed)
    numbers = list(range(len(samples)))
    rows = [row for row in (numbers[:first_row], numbers[first_row:]) if row]

    alone = [assemble([sample]) for sample in samples]
    want = sum(loss(model, batch) for batch in alone)
    want_gradients = gradients(model, want)
    for batch in (assemble(samples, rows, pad=3), assemble(samples, pad=5)):
        got = loss(model, batch)
        assert abs(got.item() - want.item()) <= 1e-12 * max(1.0, abs(want.item()))
        close(gradients(model, got), want_gradients)


@every_case
def test_pads_and_neighbours_are_finite_and_change_nothing(case):
    model = build(case)
    samples = draw(model, [(5, 4), (2, 6), (3, 1)])
    for rows in (None, [[0, 1], [2]]):
        one, other = assemble(samples, rows, pad=0), assemble(samples, rows, pad=11)
        real = one.predicting.segment > 0
        assert torch.equal(model.logits(one)[real], model.logits(other)[real])
        assert model.logits(one).isfinite().all()
        for gradient in gradients(model, model(one).sum()).values():
            assert gradient.isfinite().all()


@every_case
@pytest.mark.parametrize("rows", [None, [[0, 1], [2]]])
def test_nothing_leaks(case, rows):
    """The gradient of an output with respect to an embedding that it must not see is exactly 0."""
    model = build(case)
    batch = assemble(draw(model, [(5, 4), (2, 6), (3, 1)]), rows)
    side = batch.predicting
    x, output = embedded(model, "decoder" if model.config.has_decoder else "encoder", batch)
    seen = 0
    for row in range(side.tokens.shape[0]):
        for place in range(side.tokens.shape[1]):
            if side.segment[row, place] == 0:
                continue
            (gradient,) = torch.autograd.grad(output[row, place].sum() * 1e3, x, retain_graph=True)
            looked = gradient.abs().sum(-1) > 0
            allowed = torch.zeros_like(looked)
            allowed[row] = side.segment[row] == side.segment[row, place]
            if model.config.has_decoder:
                allowed[row, place + 1 :] = False
            assert not (looked & ~allowed).any()
            seen += int(looked.sum())
    assert seen > side.tokens.numel()  # they do look


@pytest.mark.parametrize("case", [name for name, (family, _) in CASES.items() if family == "encdec"])
def test_a_translation_sees_only_its_own_source(case):
    model = build(case)
    batch = assemble(draw(model, [(5, 4), (2, 6), (3, 1)]), [[0, 1], [2]])
    x, output = embedded(model, "encoder", batch)
    for row in range(2):
        for segment in (1, 2):
            mine = batch.decoder.segment[row] == segment
            if not mine.any():
                continue
            (gradient,) = torch.autograd.grad(output[row, mine].pow(2).sum(), x, retain_graph=True)
            looked = gradient.abs().sum(-1) > 0
            allowed = torch.zeros_like(looked)
            allowed[row] = batch.encoder.segment[row] == segment
            assert torch.equal(looked, allowed)


def test_a_window_reaches_so_far():
    model = build("decoder-window", num_layers=1)
    x, output = embedded(model, "decoder", assemble(draw(model, [(1, 7)])))
    (gradient,) = torch.autograd.grad(output[0, 5].pow(2).sum(), x)
    assert (gradient[0].abs().sum(-1) > 0).tolist() == [False, False, False, True, True, True, False]


def test_positions_outside_the_table():
    model = build("gpt2")
    with pytest.raises(ModelError, match="position 16 is outside the table of 16"):
        model.decode(Side.of(torch.zeros(1, 17, dtype=torch.long)))
    # but a packed row may be longer than the table
    samples = draw(model, [(1, 16), (1, 9)])
    assert model.logits(assemble(samples, [[0, 1]])).shape[1] == 25


def test_families_refuse_what_they_do_not_have():
    side = Side.of(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ModelError, match="no encoder"):
        build("llama").encode(side)
    with pytest.raises(ModelError, match="no decoder"):
        build("bert").decode(side)
    with pytest.raises(ModelError, match="memory_side"):
        build("t5").decode(side)
    with pytest.raises(ModelError, match="no head 'word'") as error:
        build("llama").predict("word", torch.zeros(1, 12))
    assert "words" in error.value.hint
    with pytest.raises(ModelError):
        build("llama").add_head("words", 2)
