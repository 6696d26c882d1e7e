"""One door to every engine: what cannot be held is refused before anything is written, what answers
differently is refused and leaves nothing, and what is kept says what was compared."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest
import torch
from hub_export_toys import DECODERS, ENCDECS, ENCODERS, SIZES, toy
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from liju.errors import ExportError, MissingExtra
from liju.hub import TARGETS, export, expressible, load_bundle, save_bundle
from liju.hub.engines.checks import Check, apart, greedy, next_logp, same_tokens
from liju.hub.engines.stock import Stock
from liju.hub.export import DTYPES
from liju.model import TransformerConfig
from liju.samples import Side

ENGINES = [target for target in TARGETS if target != "huggingface"]


def test_every_shape_has_an_engine_that_holds_it_and_a_reason_where_one_does_not():
    shapes = {name: (config, {}) for name, config in {**DECODERS, **ENCDECS}.items()} | ENCODERS
    held = {name: [] for name in shapes}
    for name, (config, heads) in shapes.items():
        names = [*(["words"] if config.head != "none" else []), *heads]
        for target in TARGETS:
            why = expressible(config, target, names)
            if why is None:
                held[name].append(target)
                continue
            reason, _, nearest = why.partition("; nearest: ")
            assert reason and "\n" not in why
            assert all(expressible(config, other, names) is None for other in nearest.split(", "))
    assert all("onnx" in targets for targets in held.values())
    assert held["llama"] == held["qwen3"] == list(TARGETS)
    assert [name for name in held if "gguf" in held[name]] == [
        *list(DECODERS)[:10],
        *("bert, pre-training", "bert, label", "bert, no pooler", "bert, words"),
    ]
    assert [name for name in held if "ctranslate2" in held[name]] == [
        *(name for name in DECODERS if name != "window"),
        *(name for name in ENCDECS if name != "norms of queries"),
    ]


@pytest.mark.parametrize(
    ("target", "switches", "reason"),
    [
        ("gguf", {"activation": "gelu"}, "activation is 'gelu' (llama.cpp's llama has 'silu')"),
        ("gguf", {"window": 3}, "window is 3 (llama.cpp's llama has 0)"),
        ("gguf", {"attention_scale": 0.3}, "attention_scale is 0.3 (llama.cpp has 1 / sqrt(d_k))"),
        (
            "gguf",
            {"qk_norm": True, "rope_scaling": (8.0, 1.0, 4.0, 16.0)},
            "rope_scaling is (8.0, 1.0, 4.0, 16.0) (llama.cpp's qwen3 has None)",
        ),
        ("ctranslate2", {"activation": "relu2"}, "activation is 'relu2'"),
        ("ctranslate2", {"window": 3}, "window is 3 (it has none)"),
        ("ctranslate2", {"norm_place": "parallel"}, "norm is 'rms' with norm_place 'parallel'"),
        ("ctranslate2", {"position": "relative"}, "position is 'relative' in a decoder"),
        ("huggingface", {"softcap": 5.0}, "softcap is 5.0 (llama has 0.0)"),
    ],
)
def test_what_a_target_cannot_hold_is_refused_before_anything_is_written(
    target, switches, reason, build, tmp_path
):
    bundle = toy(build, DECODERS["llama"].replace(**switches))
    with pytest.raises(ExportError) as error:
        export(bundle, target, tmp_path / "out" / "deep")
    assert reason in error.value.message and "onnx" in error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["gguf", "ctranslate2"])
def test_a_head_that_a_target_has_no_place_for_is_named(target, build, tmp_path):
    with pytest.raises(ExportError, match="no place for the head 'label'"):
        export(toy(build, DECODERS["llama"], {"label": 3}), target, tmp_path / "out")


def test_an_unknown_target_and_an_unknown_dtype(build, tmp_path):
    bundle = toy(build, DECODERS["llama"])
    with pytest.raises(ExportError) as error:
        export(bundle, "ggfu", tmp_path / "out")
    assert error.value.hint == "did you mean 'gguf'?"
    for target in TARGETS:
        with pytest.raises(ExportError, match="no dtype 'float8'"):
            export(bundle, target, tmp_path / "out", dtype="float8")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_not_touched(build, tmp_path):
    bundle = toy(build, DECODERS["llama"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="already exists"):
        export(bundle, "onnx", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    export(bundle, "onnx", tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("target", ENGINES)
def test_the_report_beside_the_files_says_what_was_compared(target, build, tmp_path):
    bundle = toy(build, DECODERS["llama"])
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    report = export(bundle, target, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "export.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    assert written["target"] == target and written["holds"] and written["source"] == "toy"
    assert written["dtype"] == DTYPES[target][0] == "float32" and written["left_out"] == []
    assert written["engine"].split()[0] in ("xllamacpp", "onnxruntime", "ctranslate2")
    assert len(written["checks"]) >= 2
    for check in written["checks"]:
        assert check["what"] and 0 <= check["figure"] <= check["bound"] and check["holds"]
    assert "greedy" in [check["name"] for check in written["checks"]]
    for name, file in written["files"].items():
        data = (tmp_path / "out" / name).read_bytes()
        assert file == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    # writers round in place: the model in memory stays as it is
    assert all(torch.equal(before[name], tensor) for name, tensor in bundle.model.state_dict().items())


@pytest.mark.parametrize("name", ["attention.W_k", "norm_feedforward", "feedforward.W_1"])
@pytest.mark.parametrize("target", ENGINES)
def test_one_wrong_tensor_is_refused_and_leaves_nothing(target, name, build, tmp_path, monkeypatch):
    """The check is seen red: a writer that is handed one other tensor."""
    honest = Stock.__getitem__
    lies = iter(range(1000))

    def lying(stock, asked):
        array = honest(stock, asked)
        # Only to the writer, who asks first; the check of a file's tensors asks again.
        if asked.startswith(f"decoder.blocks.1.{name}") and next(lies) == 0:
            array = array[::-1].copy()
        return array

    monkeypatch.setattr(Stock, "__getitem__", lying)
    with pytest.raises(ExportError, match="the exported model is not the one in memory") as error:
        export(toy(build, DECODERS["llama"]), target, tmp_path / "out")
    assert "bound" in error.value.message and "nothing was kept" in error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ENGINES)
def test_a_model_that_is_not_a_number_is_refused(target, build, tmp_path):
    bundle = toy(build, DECODERS["llama"])
    with torch.no_grad():
        bundle.model.token.weight[:, 3] = float("nan")
    with pytest.raises(ExportError):
        export(bundle, target, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "package"),
    [
        *(("gguf", "gguf"), ("gguf", "xllamacpp")),
        *(("onnx", "onnx"), ("onnx", "onnxruntime")),
        ("ctranslate2", "ctranslate2"),
    ],
)
def test_an_engine_that_is_not_installed_is_named(target, package, build, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as error:
        export(toy(build, DECODERS["llama"]), target, tmp_path / "out")
    assert error.value.hint == f"pip install 'liju[{target}]'"
    assert not list(tmp_path.iterdir())


def test_half_precision_weights_are_compared_in_float32(build, tmp_path):
    bundle = toy(build, DECODERS["llama"])
    bundle.model.bfloat16()
    export(bundle, "onnx", tmp_path / "out")
    assert next(bundle.model.parameters()).dtype == torch.bfloat16


def test_huggingface_is_a_folder_that_transformers_loads(build, tmp_path):
    bundle = toy(build, DECODERS["llama, few keys, untied"])
    save_bundle(tmp_path / "b", bundle.model, bundle.tokenizer)
    report = export(tmp_path / "b", "huggingface", tmp_path / "out", dtype="float16")
    assert report.dtype == "float16" and report.checks[0].figure > 0
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])
    again = load_bundle(tmp_path / "out").model.float()
    ours = again.predict("words", again.decode(Side.of(ids)))
    assert torch.allclose(theirs(ids).logits, ours, atol=1e-4)
    assert export(tmp_path / "b", "huggingface", tmp_path / "same").dtype == "float32"


def test_huggingface_says_which_head_it_has_no_place_for(build, tmp_path):
    config = TransformerConfig(**SIZES, num_types=2)
    bundle = toy(build, config, {"label": 3}, labels=["a", "b", "c"])
    report = export(bundle, "huggingface", tmp_path / "out")
    assert "BertForSequenceClassification" in report.left_out[0]
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_a_figure_that_is_not_a_number_does_not_hold():
    assert not Check("x", "y", float("nan"), 1.0).holds
    assert apart(np.ones((2, 3)), np.ones((3, 2))) == float("inf")


def test_answers_that_part_must_be_as_good_as_tied(build):
    bundle = toy(build, DECODERS["llama"])
    prompts = [[1, 5, 6]]
    ours = greedy(bundle.model, prompts, 5, None)
    assert same_tokens(bundle.model, prompts, ours, ours, 0.0).holds
    second = int(next_logp(bundle.model, [*prompts[0], *ours[0][:2]]).topk(2).indices[1])
    other = [[*ours[0][:2], second, 9, 9]]
    check = same_tokens(bundle.model, prompts, ours, other, 1e-5)
    assert not check.holds and check.figure < 1
    assert check.details == {"answers": 1, "equal": 0, "tokens": 2, "ties": 1}
    # one that ends early never holds
    assert not same_tokens(bundle.model, prompts, ours, [ours[0][:3]], 1.0).holds
