"""What is trained, and how long: rates by layer, unfreezing, DoRA, early stopping, validation, folds."""

import json
import shutil

import pytest
import torch
from finetune_toys import LENGTH, examples, labelled, network, settings, translated, tuned, vocabulary
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from liju.config import Evaluate, Finetune
from liju.errors import BundleError, DataError, ModelError
from liju.finetune import (
    Classification,
    DoRALinear,
    GenerationTask,
    TranslationTask,
    add_lora,
    finetune,
    freeze,
    gradually,
    hold_out,
    load_adapter,
    lora_layers,
    merge_lora,
    save_adapter,
)
from liju.finetune.lora import adapter_of
from liju.hub.check import difference, probe_outputs
from liju.model import Transformer, TransformerConfig
from liju.train.optimizer import layer_scales

FAMILIES = ["encoder", "decoder", "encdec"]


def build(family, **switches):
    torch.manual_seed(1)
    sizes = {"vocab_size": 31, "d_model": 12, "num_heads": 3, "num_layers": 3, "d_ff": 20, "max_length": 32}
    model = Transformer(TransformerConfig.default(family, **sizes | switches))
    if family == "encoder":
        model.add_head("label", 5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


# --- rates by layer


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_fall_from_the_head_to_the_embeddings(family):
    scales = layer_scales([name for name, _ in build(family).named_parameters()], 0.5)
    for name, scale in scales.items():
        if ".blocks." in name:
            assert scale == 0.5 ** (3 - int(name.split(".")[2])), name
        elif name.startswith(("heads.", "pooler.")) or ".final_norm." in name:
            assert scale == 1, name
        else:
            assert scale == 0.5**4, name


def test_the_first_step_of_adam_moves_each_layer_by_its_rate(tmp_path):
    tokenizer, moved = vocabulary("encoder"), {}
    for decay in (1.0, 0.5):
        model = network("encoder", tokenizer, num_layers=3)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        values = {"layer_decay": decay, "epochs": 0.01, "warmup": 0.0}
        tuned(Classification(["colourful", "plain"], LENGTH), "encoder", labelled(20), tmp_path / str(decay),
              tokenizer=tokenizer, model=model, **values)  # fmt: skip
        moved[decay] = {
            name: float((p.detach() - before[name]).abs().mean())
            for name, p in model.named_parameters()
            if name in before
        }
    for block in range(3):
        name = f"encoder.blocks.{block}.attention.W_v.weight"
        assert moved[0.5][name] / moved[1.0][name] == pytest.approx(0.5 ** (3 - block), rel=0.02)
    assert moved[0.5]["token.weight"] / moved[1.0]["token.weight"] == pytest.approx(0.5**4, rel=0.02)
    assert moved[0.5]["pooler.weight"] == pytest.approx(moved[1.0]["pooler.weight"], rel=0.02)


# --- gradual unfreezing


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_unfrozen_from_the_top(family):
    model = build(family)
    if family == "decoder":
        with pytest.raises(ModelError, match="is its token embedding"):
            gradually(model, "gradual", 40)
        model.add_head("label", 5)
    before_step = gradually(model, "gradual-7", 40)
    trained = []
    for step in (0, 6, 7, 14, 21, 27, 28):
        before_step(step)
        trained.append({name for name, p in model.named_parameters() if p.requires_grad})
    assert trained[0] == trained[1] and all(n.startswith(("heads.", "pooler.")) for n in trained[0])
    for side in ("encoder", "decoder") if family == "encdec" else (family,):
        for top, names in enumerate(trained[2:5], 1):
            blocks = {int(n.split(".")[2]) for n in names if n.startswith(f"{side}.blocks.")}
            assert blocks == set(range(3 - top, 3))
    assert trained[5] == trained[4] and trained[6] == {name for name, _ in model.named_parameters()}


def test_an_untrained_block_does_not_move(tmp_path):
    tokenizer = vocabulary("encoder")
    model = network("encoder", tokenizer)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    task = Classification(["colourful", "plain"], LENGTH)
    tuned(task, "encoder", labelled(40), tmp_path / "a", tokenizer=tokenizer, model=model,
          trainable="gradual-2", epochs=1.0, batch_tokens=80)  # fmt: skip
    steps = json.loads((tmp_path / "a/metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert 2 < steps <= 4  # the head, then the upper block
    same = {name for name, p in model.named_parameters() if name in before and torch.equal(p, before[name])}
    assert "token.weight" in same and "encoder.blocks.0.attention.W_q.weight" in same
    assert "encoder.blocks.1.attention.W_q.weight" not in same


# --- one run, killed anywhere (law 3)


@pytest.mark.parametrize("trainable", ["gradual-2", "dora-2", "all"])
def test_resumed_is_straight(tmp_path, trainable):
    tokenizer, rows = vocabulary("encoder"), labelled(60)
    task = Classification(["colourful", "plain"], LENGTH)
    told = settings(
        trainable=trainable, patience=3, layer_decay=0.7, batch_tokens=200, epochs=3.0, dropout=0.1
    )
    how = {"device": "cpu", "precision": "float32"}

    def final(folder, **more):
        model = network("encoder", tokenizer)
        result = finetune(model, tokenizer, task, rows, told, folder, **how, **more)
        return model, result

    straight, whole = final(tmp_path / "straight")
    _, part = final(tmp_path / "killed", stop_after=2)
    assert part.stopped and not whole.stopped and part.step < whole.step
    resumed, rest = final(tmp_path / "killed", resume=True)
    assert rest.best == whole.best and rest.step == whole.step
    for (name, one), (_, other) in zip(
        straight.state_dict().items(), resumed.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


# --- early stopping


def test_the_bundle_is_the_best_look_and_the_run_ends(tmp_path):
    """Labels by chance: what is learned does not carry over, so that the score soon gets no better."""
    rows = [type(e)({**e.values, "label": "ab"[i * 7 % 5 % 2]}, e.place) for i, e in enumerate(labelled(60))]
    task = Classification(["a", "b"], LENGTH)
    values = {"patience": 2, "validation": 0.3, "epochs": 60.0, "batch_tokens": 200}
    model, tokenizer, result = tuned(task, "encoder", rows, tmp_path / "a", **values)
    lines = [json.loads(line) for line in (tmp_path / "a/metrics.jsonl").read_text().splitlines()]
    looks = {line["step"]: line["evaluation"]["accuracy"] for line in lines if "evaluation" in line}
    assert not result.stopped and result.step == max(looks) and result.step < 100
    best = max(looks.values())
    step = min(step for step, score in looks.items() if score == best)  # the first of the best
    assert result.best == {"step": step, "score": best} and sum(s > step for s in looks) == 2
    kept = load_file(tmp_path / f"a/checkpoints/step-{step:06d}/model.safetensors")
    last = load_file(tmp_path / f"a/checkpoints/step-{result.step:06d}/model.safetensors")
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in kept.items())
    assert not all(torch.equal(own[name], tensor) for name, tensor in last.items())
    _, held = hold_out(rows, 0.3)
    answers = task.evaluate(model, tokenizer, held, Evaluate())
    assert task.score(answers, held)["accuracy"] == best


def test_a_run_that_ended_early_is_not_gone_on_with(tmp_path):
    task, tokenizer = Classification(["colourful", "plain"], LENGTH), vocabulary("encoder")
    values = {"patience": 1, "validation": 0.3, "epochs": 40.0, "learning_rate": 1e-9}
    told, how = settings(**values), {"device": "cpu", "precision": "float32"}
    first = finetune(
        network("encoder", tokenizer), tokenizer, task, labelled(40), told, tmp_path / "a", **how
    )
    again = finetune(
        network("encoder", tokenizer), tokenizer, task, labelled(40), told, tmp_path / "a", **how, resume=True
    )
    assert again.step == first.step and again.best == first.best and not again.stopped


# --- the validation part


@given(st.integers(5, 60), st.floats(0.05, 0.6), st.integers(0, 99))
def test_validation_is_apart_from_training_and_blind_to_the_order(count, share, seed):
    rows = [{"text": f"text {(i * 37 + seed) % max(3, count * 2 // 3)}", "label": "a"} for i in range(count)]
    rows += [{"text": r["text"].upper().replace(" ", "  "), "label": "a"} for r in rows[::3]]
    rows = examples(rows)
    try:
        train, held = hold_out(rows, share)
    except DataError:
        return
    folded = [{" ".join(e["text"].lower().split()) for e in part} for part in (train, held)]
    assert not folded[0] & folded[1] and len(train) + len(held) == len(rows)
    other = hold_out(rows[::-1], share)
    assert {e.place for e in other[1]} == {e.place for e in held}


def test_a_validation_part_that_would_be_empty_is_told():
    with pytest.raises(DataError, match="leaves none to validate on"):
        hold_out(labelled(3), 1e-6)


# --- DoRA


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["lora-3-5", "dora-3"])
def test_an_adapter_starts_as_nothing_and_merges_to_the_same(family, kind):
    layer, rank, alpha = adapter_of(kind)
    model = build(family)
    plain = probe_outputs(model)
    add_lora(model, rank, alpha, kind=layer)
    assert difference(plain, probe_outputs(model)) < 1e-12
    for one in lora_layers(model).values():
        assert one.scale == alpha / 3
        torch.nn.init.normal_(one.lora_B, std=0.2)
        if isinstance(one, DoRALinear):
            torch.nn.init.uniform_(one.lora_magnitude, 0.2, 2.0)
    adapted = probe_outputs(model)
    assert difference(plain, adapted) > 1e-3
    assert merge_lora(model) < 1e-12
    assert difference(adapted, probe_outputs(model)) < 1e-12


@pytest.mark.parametrize(
    ("family", "hf"),
    [
        ("encoder", "AutoModelForSequenceClassification"),
        ("decoder", "AutoModelForCausalLM"),
        ("encdec", "AutoModelForSeq2SeqLM"),
    ],
)
def test_dora_is_pefts_both_ways(tmp_path, family, hf):
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    from test_finetune_lora import theirs

    from liju.hub import save_bundle
    from liju.objective.examples import tokenizer

    words = tokenizer(family)
    torch.manual_seed(1)
    switches = {"head": "none"} if family == "encoder" else {}
    switches |= {"d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 20, "max_length": 32}
    model = Transformer(TransformerConfig.default(family, vocab_size=words.size, **switches))
    if family == "encoder":
        model.add_head("label", 5)
    model.double().eval()
    task = {"labels": list("abcde")} if family == "encoder" else {}
    save_bundle(tmp_path / "base", model, words, task)
    add_lora(model, 2, 5.0, kind=DoRALinear)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.2)
        torch.nn.init.uniform_(layer.lora_magnitude, 0.2, 2.0)
    save_adapter(tmp_path / "adapter", model)
    base = getattr(transformers, hf).from_pretrained(tmp_path / "base", dtype=torch.float64)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    want = probe_outputs(model)
    head = "label" if family == "encoder" else "words"
    ours = want[head]
    assert float((theirs(model, loaded) - ours).abs().max() / ours.abs().max()) < 1e-5
    loaded.save_pretrained(tmp_path / "back")
    fresh = load_model(tmp_path / "base")
    load_adapter(fresh, tmp_path / "back")
    assert difference(want, probe_outputs(fresh)) < 1e-12
    tensors = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert sum("lora_magnitude_vector" in name for name in tensors) == len(lora_layers(fresh))


def load_model(folder):
    from liju.hub import load_bundle

    return load_bundle(folder).model.double().eval()


def test_a_dora_folder_without_its_lengths_is_refused(tmp_path):
    from safetensors.torch import save_file

    model = build("encoder")
    add_lora(model, 2, kind=DoRALinear)
    save_adapter(tmp_path / "adapter", model)
    file = tmp_path / "adapter/adapter_model.safetensors"
    tensors = load_file(file)
    gone = next(name for name in tensors if "magnitude" in name)
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, file)
    shutil.copytree(tmp_path / "adapter", tmp_path / "copy")
    with pytest.raises(BundleError, match=r"without .*lora_magnitude_vector"):
        load_adapter(build("encoder"), tmp_path / "copy")


@pytest.mark.parametrize(
    ("family", "task", "rows"),
    [
        ("encoder", Classification(["colourful", "plain"], LENGTH), labelled(30)),
        ("encdec", TranslationTask(LENGTH), translated(30)),
        ("decoder", GenerationTask(LENGTH), examples([{"text": e["source"]} for e in translated(30)])),
    ],
    ids=FAMILIES[:1] + FAMILIES[:0:-1],
)
def test_dora_trains_and_is_merged(tmp_path, family, task, rows):
    model, _, result = tuned(task, family, rows, tmp_path / "a", trainable="dora-2-8", epochs=3.0)
    assert not lora_layers(model) and result.step > 1
    assert load_file(tmp_path / "a/adapter/adapter_model.safetensors")
    told = json.loads((tmp_path / "a/adapter/adapter_config.json").read_text())
    assert told["use_dora"] and (told["r"], told["lora_alpha"]) == (2, 8.0)


def test_unknown_values_are_told():
    with pytest.raises(ModelError, match=r"finetune\.trainable is 'gradual-0'"):
        gradually(build("encoder"), "gradual-0", 10)
    with pytest.raises(ModelError, match="most"):
        freeze(build("encoder"), "most")
    assert Finetune().folds == 0 and adapter_of("top-2") is None


# --- Muon


def moments(result):
    """Names of the parameters that Muon trained, and of AdamW's."""
    state = load_file(result.checkpoint / "optimizer.safetensors")
    return (
        {name.removesuffix(".momentum") for name in state if name.endswith(".momentum")},
        {name.removesuffix(".exp_avg") for name in state if name.endswith(".exp_avg")},
    )


def test_muon_trains_the_matrices_of_the_blocks_at_its_own_rate(tmp_path):
    task, rows = TranslationTask(LENGTH), translated(20)
    told = {"optimizer": "muon", "epochs": 1}
    model, _, result = tuned(task, "encdec", rows, tmp_path / "a", muon_learning_rate=0.02, **told)
    by_muon, by_adamw = moments(result)
    sizes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert by_muon == {name for name, n in sizes.items() if ".blocks." in name and n == 2}
    assert by_adamw == sizes.keys() - by_muon
    other, *_ = tuned(task, "encdec", rows, tmp_path / "b", muon_learning_rate=0.005, **told)
    moved = {
        name
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, dict(other.named_parameters())[name])
    }
    assert by_muon <= moved


@pytest.mark.parametrize("trainable", ["lora-2", "dora-2", "head", "bias"])
def test_muon_without_a_matrix_to_train_is_refused(tmp_path, trainable):
    told = {"optimizer": "muon", "epochs": 1, "trainable": trainable}
    with pytest.raises(ModelError, match=f"'muon' is nothing to trainable '{trainable}'"):
        tuned(TranslationTask(LENGTH), "encdec", translated(20), tmp_path, **told)
    assert not list(tmp_path.iterdir())
