"""LoRA on all families: starts as nothing, merges to the same (law 6), and is PEFT's own both ways."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from liju.config import Finetune
from liju.errors import BundleError, ModelError
from liju.finetune import (
    Classification,
    Example,
    add_lora,
    finetune,
    load_adapter,
    lora_layers,
    merge_lora,
    remove_lora,
    save_adapter,
)
from liju.hub import probe_batch, save_bundle
from liju.hub.check import difference, probe_outputs
from liju.model import Transformer, TransformerConfig
from liju.objective.examples import tokenizer

SHAPE = {"vocab_size": 31, "d_model": 12, "num_heads": 3, "num_layers": 2, "d_ff": 20, "max_length": 32}
FAMILIES = ["encoder", "decoder", "encdec"]


def build(family, dtype=torch.float64, **switches):
    torch.manual_seed(1)
    model = Transformer(TransformerConfig.default(family, **SHAPE | switches))
    if family == "encoder":
        model.add_head("label", 5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.to(dtype).eval()


def stir(model):
    """Adapters that do something."""
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.2)


@pytest.mark.parametrize("family", FAMILIES)
@given(rank=st.integers(1, 7), alpha=st.sampled_from([0.0, 1.0, 5.0]))
def test_it_starts_as_nothing_and_merges_to_the_same(family, rank, alpha):
    model = build(family)
    plain = probe_outputs(model)
    names = set(model.state_dict())
    trained = add_lora(model, rank, alpha)
    assert difference(plain, probe_outputs(model)) == 0
    assert trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    stir(model)
    adapted = probe_outputs(model)
    assert difference(plain, adapted) > 1e-3
    assert merge_lora(model) < 1e-12
    assert difference(adapted, probe_outputs(model)) < 1e-12
    assert set(model.state_dict()) == names and not lora_layers(model)


def test_only_adapters_heads_and_pooler_are_trained():
    model = build("encoder")
    add_lora(model, 2)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".lora_" in name or name.startswith(("heads.label", "pooler."))), (
            name
        )


def test_a_merge_that_is_not_the_same_is_refused_and_leaves_all_as_it_was():
    model = build("decoder", torch.bfloat16)
    add_lora(model, 2)
    stir(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ModelError, match="does not compute what the adapters do"):
        merge_lora(model, bound=1e-9)
    assert len(lora_layers(model)) == 14
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    remove_lora(model)
    assert not lora_layers(model)


def test_what_cannot_be_is_told():
    model = build("decoder")
    with pytest.raises(ModelError, match="no linear layer is called nothing"):
        add_lora(model, 2, targets="nothing")
    with pytest.raises(ModelError, match="x: the model has no such linear layer"):
        add_lora(model, 2, targets=["x"])
    with pytest.raises(ModelError, match="at least 1"):
        add_lora(model, 0)
    add_lora(model, 2)
    with pytest.raises(ModelError, match="has an adapter already"):
        add_lora(model, 2)


PEFT = [
    ("encoder", {"head": "none"}, "AutoModelForSequenceClassification"),
    ("decoder", {"num_kv_heads": 1}, "AutoModelForCausalLM"),
    ("encdec", {}, "AutoModelForSeq2SeqLM"),
    ("encoder", {"position": "rope", "pooler": False}, "AutoModelForMaskedLM"),
]


def theirs(model, hf):
    batch = probe_batch(model.config)
    inputs = {}
    if batch.encoder is not None:
        inputs["input_ids"] = batch.encoder.tokens
        if batch.encoder.types is not None:
            inputs["token_type_ids"] = batch.encoder.types
    if batch.decoder is not None:
        inputs["decoder_input_ids" if inputs else "input_ids"] = batch.decoder.tokens
    return hf(**inputs).logits.flatten(0, -2)


@torch.no_grad()
@pytest.mark.parametrize(("family", "switches", "auto"), PEFT, ids=lambda value: str(value))
def test_peft_loads_ours_and_we_load_theirs(family, switches, auto, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    model = build(family, **switches)
    if switches.get("position") == "rope":
        del model.heads["label"]
    head = "label" if "label" in model.heads else "words"
    save_bundle(tmp_path / "base", model, None, {"labels": list("abcde")} if head == "label" else None)
    add_lora(model, 3, alpha=5.0)
    stir(model)
    if head == "label":
        torch.nn.init.normal_(model.heads["label"].weight, std=0.5)
    save_adapter(tmp_path / "adapter", model, str(tmp_path / "base"))

    def base():
        return getattr(transformers, auto).from_pretrained(tmp_path / "base", dtype=torch.float64)

    hf = peft.PeftModel.from_pretrained(base(), tmp_path / "adapter").eval()
    ours = probe_outputs(model)[head]
    scale = ours.abs().max()
    assert (theirs(model, hf) - ours).abs().max() / scale < 1e-5
    hf.save_pretrained(tmp_path / "theirs")
    again = build(family, **switches)
    if head == "words" and "label" in again.heads:
        del again.heads["label"]
    assert load_adapter(again, tmp_path / "theirs") == len(lora_layers(model))
    assert (probe_outputs(again)[head] - ours).abs().max() / scale < 1e-12
    # The control: without its adapter the model says something else.
    assert (theirs(model, base().eval()) - ours).abs().max() / scale > 1e-2


def test_bad_adapters_are_named(tmp_path):
    model = build("decoder")
    add_lora(model, 2)
    folder = save_adapter(tmp_path / "a", model)

    def refused(message, tensors=None, **settings):
        path = folder / "adapter_config.json"
        kept = path.read_text(), load_file(folder / "adapter_model.safetensors")
        path.write_text(json.dumps({**json.loads(kept[0]), **settings}))
        if tensors:
            changed = dict(kept[1])
            tensors(changed)
            save_file(changed, folder / "adapter_model.safetensors")
        with pytest.raises(BundleError, match=message):
            load_adapter(build("decoder"), folder)
        path.write_text(kept[0])
        save_file(kept[1], folder / "adapter_model.safetensors")

    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    refused("without .*lora_magnitude_vector", use_dora=True)
    refused("peft_type is 'IA3'", peft_type="IA3")
    refused(r"lora_A of .*W_\w+ has the shape \[2, \d+\], expected \[3, \d+\]", r=3)
    refused("unexpected tensor x", lambda tensors: tensors.update(x=torch.ones(1)))
    refused("without", lambda tensors: tensors.pop(first.replace("lora_A", "lora_B")))
    refused("is no linear layer", lambda t: t.update({"base_model.model.no.lora_A.weight": t.pop(first)}))
    with pytest.raises(BundleError, match="no adapters"):
        save_adapter(tmp_path / "b", build("decoder"))


def test_fine_tuning_with_adapters(tmp_path):
    words = tokenizer("encoder")
    rows = [("好", "yes"), ("坏", "no"), ("好 好", "yes"), ("坏 坏", "no")] * 4
    examples = [Example({"text": text, "label": label}, "x") for text, label in rows]
    task = Classification.of(examples, 16)
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=words.size, d_model=12, num_heads=3, num_layers=2, num_types=2, max_length=16
    )
    model = Transformer(config)
    frozen = model.token.weight.clone()
    settings = Finetune(
        task="classification", trainable="lora-3", epochs=60, batch_tokens=32, learning_rate=1e-2, dropout=0.0
    )
    finetune(model, words, task, examples, settings, tmp_path / "run", precision="float32")
    assert torch.equal(model.token.weight, frozen) and not lora_layers(model)
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()
    from liju.config import Evaluate

    answers = task.evaluate(model, words, examples, Evaluate())
    assert task.score(answers, examples)["accuracy"] == 1.0
