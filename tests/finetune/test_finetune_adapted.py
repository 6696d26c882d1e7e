"""A model from an adapter folder that PEFT wrote: what it says is what PEFT's model says."""

import json
import shutil

import pytest
import torch
from finetune_toys import labelled, network, tuned, vocabulary

from liju.errors import BundleError
from liju.finetune import Classification, base_of, load_adapted
from liju.hub import load_bundle, probe_batch, save_bundle
from liju.hub.check import difference, probe_outputs

TOKENS = vocabulary("encoder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """base, a pre-trained bundle; adapter, on its queries and values with a classifier, as PEFT saves it."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    where = tmp_path_factory.mktemp("adapted")
    model = network("encoder", TOKENS, position="learned").double().eval()
    model.add_head("next_sentence", 2).double()
    save_bundle(where / "base", model, TOKENS, {"name": "fill-mask", "max_length": 24})
    made = transformers.AutoModelForSequenceClassification.from_pretrained(
        where / "base", num_labels=3, dtype=torch.float64
    )
    how = peft.LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=6, target_modules=["query", "value"])
    theirs = peft.get_peft_model(made, how).double().eval()
    torch.manual_seed(5)
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name or "classifier" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(where / "adapter")
    batch = probe_batch(model.config)
    with torch.no_grad():
        logits = theirs(input_ids=batch.encoder.tokens, token_type_ids=batch.encoder.types).logits
    torch.save(logits, where / "logits.pt")
    return where


def test_the_merged_model_is_pefts(folder):
    assert base_of(folder / "adapter") == folder / "base" and base_of(folder / "base") is None
    bundle = load_adapted(folder / "adapter")
    assert bundle.tokenizer is not None and bundle.provenance["adapter"] == "adapter"
    assert set(bundle.model.heads) == {"words", "next_sentence", "label"}
    found, want = probe_outputs(bundle.model.double()), torch.load(folder / "logits.pt")
    assert (found["label"] - want).abs().max() / want.abs().max() < 1e-5
    # The control: the base alone says something else.
    plain = probe_outputs(load_bundle(folder / "base").model.double())
    assert difference({"hidden": found["hidden"]}, {"hidden": plain["hidden"]}) > 1e-2


def test_it_is_fine_tuned_as_any_other(folder, tmp_path):
    train = labelled(40)
    task, model = Classification.of(train, 24), load_adapted(folder / "adapter").model.float()
    tuned(task, "encoder", train, tmp_path / "run", tokenizer=TOKENS, model=model, epochs=1)
    assert model.heads["label"].out_features == 2
    assert save_bundle(tmp_path / "b", model, TOKENS, task.describe()).architecture == (
        "BertForSequenceClassification"
    )


def test_a_base_is_looked_for_beside_the_adapter_and_never_fetched(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "adapter", tmp_path / "adapter")
    path = tmp_path / "adapter/adapter_config.json"
    values = json.loads(path.read_text())

    def named(name):
        path.write_text(json.dumps({**values, "base_model_name_or_path": name}))
        return base_of(tmp_path / "adapter")

    shutil.copytree(folder / "base", tmp_path / "base")
    assert named("../base").resolve() == (tmp_path / "base").resolve()
    monkeypatch.chdir(tmp_path)
    assert named("base").resolve() == (tmp_path / "base").resolve()
    for name in ("bert-base-uncased", "", None):
        with pytest.raises(BundleError, match="no such model folder is here") as caught:
            named(name)
        assert "nothing is fetched" in caught.value.hint
    with pytest.raises(BundleError, match="no adapter_config"):
        load_adapted(tmp_path / "base")
