"""What is saved comes back bit for bit; what is torn, missing or strange is named in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from liju.errors import BundleError
from liju.hub import architecture, check_export, load_bundle, probe_batch, save_bundle
from liju.hub.check import difference, probe_outputs
from liju.model import TransformerConfig

ALL = ["BertForPreTraining", "LlamaForCausalLM", "T5ForConditionalGeneration"]


def equal(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def saved(shapes, build, tmp_path) -> Path:
    config, heads = shapes["BertForPreTraining"]
    save_bundle(tmp_path / "bundle", build(config, heads), None)
    return tmp_path / "bundle"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_round_trip_is_bit_for_bit(shapes, build, tmp_path, dtype):
    for number, (name, (config, heads)) in enumerate(shapes.items()):
        model = build(config, heads, dtype)
        folder = tmp_path / str(number)
        save_bundle(folder, model, None)
        bundle = load_bundle(folder)
        assert equal(model, bundle.model), name
        assert bundle.config == config and not bundle.model.training
        assert bundle.architecture == architecture(config, list(model.heads)).name
        assert bundle.report["laws"]["7"]["difference"] == 0
        with safe_open(folder / "model.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt"}


def test_what_the_class_has_no_place_for_is_kept_beside_it(build, tmp_path):
    config = TransformerConfig(vocab_size=31, d_model=6, num_heads=2, num_layers=2, num_types=2)
    model = build(config, {"next_sentence": 2, "label": 3, "tags": 5})
    task = {"task": "classification", "labels": ["好", "坏", "neither"]}
    save_bundle(tmp_path / "b", model, None, task, {"run": "first"})
    bundle = load_bundle(tmp_path / "b")
    assert bundle.architecture == "BertForSequenceClassification"
    assert equal(model, bundle.model)
    assert (bundle.task, bundle.labels, bundle.provenance) == (task, task["labels"], {"run": "first"})
    settings = json.loads((tmp_path / "b" / "config.json").read_text())
    assert settings["id2label"] == {"0": "好", "1": "坏", "2": "neither"}
    assert settings["label2id"] == {"好": 0, "坏": 1, "neither": 2}
    assert settings["problem_type"] == "single_label_classification"
    left = load_file(tmp_path / "b" / "liju.safetensors")
    assert "heads.words.bias" in left and "heads.tags.weight" in left


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"norm_place": "pre", "final_norm": True}, "norm_place is 'pre' (bert has 'post')"),
        ({"position": "relative"}, "position is 'relative' (bert has 'learned' or 'sinusoidal' or 'none')"),
        (
            {"position": "rope", "rope_theta": 5e5},
            "position is 'rope' (bert has 'learned' or 'sinusoidal' or 'none')",
        ),
        ({"pooler": False, "head": "none"}, "no class has the heads [] with pooler False"),
        ({"num_kv_heads": 1}, "num_kv_heads is not num_heads"),
    ],
)
def test_switches_that_no_class_has_are_written_in_our_own_form(switches, reason, build, tmp_path):
    config = TransformerConfig(vocab_size=31, d_model=8, num_heads=2, num_layers=2, **switches)
    model = build(config)
    bundle = save_bundle(tmp_path / "b", model, None)
    assert bundle.architecture is None and reason in bundle.misfits
    assert json.loads((tmp_path / "b" / "config.json").read_text())["model_type"] == "liju"
    again = load_bundle(tmp_path / "b")
    assert equal(model, again.model) and again.misfits == bundle.misfits


def test_save_does_not_touch_a_folder_that_is_there(saved, build, shapes):
    config, heads = shapes["BertForPreTraining"]
    other = build(config, heads)
    with torch.no_grad():
        other.token.weight.mul_(2)
    with pytest.raises(BundleError, match="already exists"):
        save_bundle(saved, other, None)
    before = (saved / "model.safetensors").read_bytes()
    save_bundle(saved, other, None, overwrite=True)
    assert (saved / "model.safetensors").read_bytes() != before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["bundle"]


def test_a_save_that_fails_leaves_nothing(build, shapes, tmp_path, monkeypatch):
    config, heads = shapes["LlamaForCausalLM"]
    model = build(config, heads)

    def full(path, text, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BundleError, match="No space left"):
        save_bundle(tmp_path / "b", model, None)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_a_number_is_refused(build, shapes, tmp_path):
    config, heads = shapes["LlamaForCausalLM"]
    model = build(config, heads)
    with torch.no_grad():
        model.token.weight[:, 3] = float("nan")
    with pytest.raises(BundleError, match="nan"):
        save_bundle(tmp_path / "b", model, None)
    assert not list(tmp_path.iterdir())


def test_the_check_sees_one_weight_that_changed(build, shapes):
    for name in ALL:
        config, heads = shapes[name]
        model, other = build(config, heads), build(config, heads)
        assert check_export(model, other)["difference"] == 0
        with torch.no_grad():
            other.token.weight[1:] += 1e-3
        with pytest.raises(BundleError, match="does not compute"):
            check_export(model, other)


def test_the_probe_is_the_same_everywhere():
    batch = probe_batch(TransformerConfig(vocab_size=1000, num_types=2), rows=1, length=5)
    assert batch.encoder.tokens.tolist() == [[618, 236, 854, 472, 90]]
    assert batch.encoder.types.tolist() == [[0, 0, 0, 1, 1]]


def test_the_probe_leaves_the_model_as_it_was(build, shapes):
    config, heads = shapes["BertForPreTraining"]
    model = build(config, heads).train()
    state = torch.get_rng_state()
    assert difference(probe_outputs(model), probe_outputs(model)) == 0 and model.training
    assert torch.equal(state, torch.get_rng_state())


def edit(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def edit_json(path: Path, **changes) -> None:
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps(values))


POOLER = "bert.pooler.dense.weight"
DAMAGE = {
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "model.safetensors: no such file",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json: no such file"),
    "torn weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:-100]
        ),
        "model.safetensors: not a whole safetensors file",
    ),
    "empty weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        "model.safetensors: not a whole safetensors file",
    ),
    "torn json": (
        lambda folder: (folder / "liju.json").write_text('{"format": 1, "con'),
        "liju.json: not JSON",
    ),
    "other format": (lambda folder: edit_json(folder / "liju.json", format=99), "format 99"),
    "unknown switch": (
        lambda folder: edit_json(folder / "liju.json", config={"d_modle": 8}),
        "liju.json: unknown switch 'd_modle'",
    ),
    "missing tensor": (
        lambda folder: edit(folder, lambda t: t.pop(POOLER)),
        f"missing tensor {POOLER}",
    ),
    "unexpected tensor": (
        lambda folder: edit(folder, lambda t: t.update(extra=torch.ones(1))),
        "unexpected tensor extra",
    ),
    "wrong shape": (
        lambda folder: edit(folder, lambda t: t.update({POOLER: torch.ones(12, 11)})),
        f"{POOLER} has the shape [12, 11], expected [12, 12]",
    ),
    "other config": (
        lambda folder: edit_json(folder / "config.json", layer_norm_eps=1e-5),
        "config.json: layer_norm_eps is 1e-05, liju.json says 1e-12",
    ),
    "a tied copy that differs": (
        lambda folder: edit(
            folder, lambda t: t.update({"cls.predictions.decoder.weight": torch.ones(101, 12)})
        ),
        "cls.predictions.decoder.weight differs from bert.embeddings.word_embeddings.weight",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_in_one_line(damage, saved):
    harm, message = DAMAGE[damage]
    harm(saved)
    with pytest.raises(BundleError) as error:
        load_bundle(saved)
    assert message in str(error.value) and "\n" not in str(error.value)


HF_DAMAGE = {
    "unknown type": ({"model_type": "mamba"}, "model_type 'mamba' is not one that liju knows"),
    "unknown class": (
        {"architectures": ["BertForMultipleChoice"]},
        "architecture 'BertForMultipleChoice' is not one that liju knows",
    ),
    "unknown switch": (
        {"position_embedding_type": "relative_key"},
        "position_embedding_type is 'relative_key', and liju has no such switch",
    ),
    "unknown activation": ({"hidden_act": "mish"}, "unknown activation 'mish'"),
    "impossible sizes": ({"num_attention_heads": 5}, "d_model 12 is not a multiple of num_heads 5"),
    "no size": ({"hidden_size": None}, "no key 'hidden_size'"),
    "too few words": ({"vocab_size": 100}, "word_embeddings.weight has the shape [101, 12]"),
}


@pytest.mark.parametrize("damage", HF_DAMAGE)
def test_a_strange_folder_of_transformers_is_named_in_one_line(damage, saved):
    changes, message = HF_DAMAGE[damage]
    (saved / "liju.json").unlink()
    edit_json(saved / "config.json", **changes)
    with pytest.raises(BundleError) as error:
        load_bundle(saved)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_pickle_is_never_opened(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (saved / "model.safetensors").unlink()
    (saved / "liju.json").unlink()
    (saved / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    for path in (saved, saved / "pytorch_model.bin"):
        with pytest.raises(BundleError, match=r"pytorch_model.bin: a pickle file can run code"):
            load_bundle(path)
    assert not (tmp_path / "exploded").exists()


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")


def test_labels_must_fit_the_head(build, tmp_path):
    config = TransformerConfig(vocab_size=31, d_model=6, num_heads=2, num_layers=1)
    with pytest.raises(BundleError, match="2 labels for a head of 3 outputs"):
        save_bundle(tmp_path / "b", build(config, {"label": 3}), None, {"labels": ["a", "b"]})


def test_loading_moves_no_random_numbers(saved):
    state = torch.get_rng_state()
    load_bundle(saved)
    assert torch.equal(state, torch.get_rng_state())


def test_a_bundle_may_be_moved(saved, tmp_path):
    first = load_bundle(saved).model
    shutil.move(saved, tmp_path / "elsewhere")
    assert equal(first, load_bundle(tmp_path / "elsewhere").model)
