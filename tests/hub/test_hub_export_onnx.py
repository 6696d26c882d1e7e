"""ONNX: one graph for every batch size and length, in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hub_export_toys import DECODERS, ENCDECS, ENCODERS, toy, translator

from liju.errors import ExportError
from liju.generate import generate
from liju.hub import Bundle, export
from liju.hub.engines import onnx_parts
from liju.hub.engines.onnx_graph import Graph
from liju.samples import Sample, assemble

EVERY = {name: (config, {}) for name, config in {**DECODERS, **ENCDECS}.items()} | ENCODERS
# What no other engine has.
EVERY["value residual, decoder"] = (DECODERS["llama"].replace(value_residual=True), {})
EVERY["value residual, encdec"] = (next(iter(ENCDECS.values())).replace(value_residual=True), {})
EVERY["value residual, encoder"] = (ENCODERS["bert, words"][0].replace(value_residual=True), {})


@pytest.mark.parametrize("name", EVERY)
def test_onnxruntime_answers_as_the_model_does(name, build, tmp_path):
    config, heads = EVERY[name]
    report = export(toy(build, config, heads), "onnx", tmp_path / "out")
    assert all(check.figure <= 3e-5 for check in report.checks if check.name != "greedy")
    files = {"encoder.onnx", "decoder.onnx"} if config.family == "encdec" else {"model.onnx"}
    assert files | {"tokenizer.json", "export.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    # nothing of the model stays behind but a pooler that no head looks through
    assert all(left.startswith("pooler") for left in report.left_out)


def test_a_decoder_that_classifies(build, tmp_path):
    report = export(toy(build, DECODERS["llama"], {"label": 3}), "onnx", tmp_path / "out")
    assert report.details["model.onnx"]["outputs"]["label"] == ["batch", "new", 3]


def test_any_batch_and_length_with_empty_places(build, tmp_path):
    """The graph by hand, at sizes that the export did not try: what a reader of the docs does."""
    config, heads = ENCODERS["bert, label"]
    bundle = toy(build, config, heads)
    export(bundle, "onnx", tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    lengths = [5, 2, 11, 1, 7]
    rows = [np.arange(3, 3 + n) * 7 % 410 for n in lengths]
    side = assemble([Sample(i, encoder=row) for i, row in enumerate(rows)]).encoder
    mask = (side.segment > 0).long().numpy()
    feed = {"input_ids": side.tokens.numpy(), "attention_mask": mask, "token_type_ids": 0 * mask}
    [labels] = session.run(["label"], feed)
    assert labels.shape == (5, 5)
    for row, told in zip(rows, labels, strict=True):
        alone = assemble([Sample(0, encoder=row)]).encoder
        ours = bundle.model.predict("label", bundle.model.encode(alone)[:, 0])[0]
        assert np.abs(ours.detach().numpy() - told).max() < 1e-5


def test_a_longer_row_than_the_table_is_an_error_there_too(build, tmp_path):
    export(toy(build, *ENCODERS["bert, words"]), "onnx", tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    ids = np.ones((1, 41), np.int64)
    with pytest.raises(Exception, match="idx=40 must be within"):
        session.run(None, {"input_ids": ids, "attention_mask": ids})


@pytest.mark.parametrize("position", ["sinusoidal", pytest.param("relative", marks=pytest.mark.slow)])
def test_a_trained_translator_writes_the_same_words(position, tmp_path):
    bundle = translator(position)
    assert bundle.provenance["loss"] < 0.6
    report = export(bundle, "onnx", tmp_path / "out")
    greedy = next(check for check in report.checks if check.name == "greedy")
    assert greedy.details["equal"] == greedy.details["answers"]
    # and by hand, a sentence of its own kind
    folder, tokens = tmp_path / "out", bundle.tokenizer
    encoder, decoder = (
        onnxruntime.InferenceSession(str(folder / f"{name}.onnx")) for name in ("encoder", "decoder")
    )
    source = [*tokens.encode("sea hill sun"), tokens.eos]
    ids = np.array([source])
    ones = np.ones_like(ids)
    names = [one.name for one in encoder.get_outputs()]
    told = encoder.run(names, {"input_ids": ids, "attention_mask": ones})
    cross = {name: value for name, value in zip(names, told, strict=True) if name.startswith("cross")}
    none = np.zeros((1, 4, 0, 8), np.float32)
    past = {f"past.{i}.{kind}": none for i in (0, 1) for kind in ("key", "value")}
    written = [tokens.pad]
    while written[-1] != tokens.eos and len(written) < 20:
        feed = {"input_ids": np.array([written[-1:]]), "attention_mask": np.ones((1, len(written)), np.int64)}
        feed |= {"encoder_attention_mask": ones, **cross, **past}
        names = [one.name for one in decoder.get_outputs()]
        told = dict(zip(names, decoder.run(None, feed), strict=True))
        past = {k.replace("present", "past"): v for k, v in told.items() if k.startswith("present")}
        written.append(int(told["words"][0, -1].argmax()))
    [ours] = generate(
        bundle.model, None, sources=[source], eos=tokens.eos, start=tokens.pad, max_new_tokens=20
    )
    assert written[1:-1] == ours and len(ours) > 1


def lie(monkeypatch, name, change):
    """One part of the writer does something else."""
    honest = getattr(onnx_parts.Parts, name)
    monkeypatch.setattr(onnx_parts.Parts, name, lambda self, *a, **k: change(self, honest, *a, **k))


CONTROLS = {
    "no mask of empty places": ("column", lambda s, h, mask: h(s, s.graph("Add", mask, s.graph.ints(1)))),
    "no causal order": ("mask", lambda s, h, *a, causal: h(s, *a, causal=False)),
    "every block sees all": ("mask", lambda s, h, seen, d, w, causal: h(s, seen, d, 0, causal=causal)),
    "turned the other way": ("rope", lambda s, h, *a: h(s, *a)[::-1]),
    "no final norm": ("final", lambda s, h, x: x),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_graph_that_is_wrong_is_refused(control, build, tmp_path, monkeypatch):
    lie(monkeypatch, *CONTROLS[control])
    name = "modernbert" if control == "no mask of empty places" else "window"
    with pytest.raises(ExportError, match="is not the one in memory"):
        export(toy(build, *EVERY[name]), "onnx", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_buckets_of_one_direction_only_are_refused(build, tmp_path, monkeypatch):
    """Negative control: the relative bias of an encoder is that of a decoder."""
    honest = onnx_parts.RelativeBias
    monkeypatch.setattr(onnx_parts, "RelativeBias", lambda n, **k: honest(n, **{**k, "bidirectional": False}))
    with pytest.raises(ExportError, match="outputs"):
        export(toy(build, *EVERY["relative"]), "onnx", tmp_path / "out")


def test_without_a_tokenizer(build, tmp_path):
    bundle = toy(build, *EVERY["llama"])
    export(Bundle(bundle.model, None, {}, {}, bundle.folder), "onnx", tmp_path / "out")
    assert not (tmp_path / "out" / "tokenizer.json").exists()


def test_a_graph_too_large_for_one_message_keeps_its_weights_beside_it(tmp_path, monkeypatch):
    from liju.hub.engines import onnx_graph

    monkeypatch.setattr(onnx_graph, "LARGE", 1000)
    graph = Graph("toy")
    x = graph.input("x", "float32", ["batch", 30])
    weight = torch.randn(20, 30).numpy()
    graph.output("y", graph.linear(x, weight), "float32", ["batch", 20])
    graph.save(tmp_path / "toy.onnx", "liju")
    assert (tmp_path / "toy.onnx.data").stat().st_size >= 2400
    session = onnxruntime.InferenceSession(str(tmp_path / "toy.onnx"))
    x = np.ones((3, 30), np.float32)
    assert np.allclose(session.run(None, {"x": x})[0], x @ weight.T, atol=1e-5)
