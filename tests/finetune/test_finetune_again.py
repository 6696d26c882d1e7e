"""A fine-tuned model is fine-tuned again: nothing of the first task is left, what is saved is the second."""

import json
from itertools import product

import pytest
import torch
from finetune_toys import LENGTH, examples, labelled, network, tuned, vocabulary
from safetensors.torch import load_file

from liju.config import Evaluate
from liju.finetune import Classification, load
from liju.finetune.loaded import TASKS
from liju.hub import load_bundle, save_bundle

TOKENS = vocabulary("encoder")
TEXTS = ["red cat sees", "one dog hears", "blue bird", "two cat", "green dog knows", "three bird sees"]


def rows(task, outputs=2):
    """Examples of which the task has a head of so many outputs, where that depends on them."""
    named = [f"name {i % outputs}" for i in range(len(TEXTS))]
    found = []
    for i, text in enumerate(TEXTS):
        words = text.split()
        answer = json.dumps([{"text": words[0], "begin": 0, "end": len(words[0])}])
        tags = " ".join(f"tag{(i + at) % outputs}" for at in range(len(words)))
        found.append(
            {
                "classification": {"text": text, "label": named[i]},
                "multilabel": {"text": text, "labels": json.dumps([named[i]])},
                "tagging": {"text": text, "words": text, "tags": tags},
                "answering": {"question": "who", "context": text, "answers": answer},
                "embedding": {"text": text, "pair": TEXTS[-i]},
                "regression": {"text": text, "score": str(i)},
            }[task]
        )
    return examples(found)


def asked(task):
    return [example.values for example in rows(task)]


# The task, the outputs of its head, what the head is called here and there, and the class.
KINDS = {
    "classification": ("label", "classifier", "BertForSequenceClassification"),
    "multilabel": ("label", "classifier", "BertForSequenceClassification"),
    "regression": ("label", "classifier", "BertForSequenceClassification"),
    "tagging": ("tag", "classifier", "BertForTokenClassification"),
    "answering": ("span", "qa_outputs", "BertForQuestionAnswering"),
    "embedding": (None, None, "BertForPreTraining"),
}
SIZED = ("classification", "multilabel", "tagging")
FIRST = [(task, n) for task in KINDS for n in ((2, 3) if task in SIZED else (2,))]


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A bundle of each first task."""
    folder, made = tmp_path_factory.mktemp("once"), {}
    for task, outputs in FIRST:
        model = network("encoder", TOKENS, position="learned")
        model.add_head("next_sentence", 2)
        own = TASKS[task].of(rows(task, outputs), LENGTH)
        own.prepare(model)
        made[task, outputs] = folder / f"{task}-{outputs}"
        save_bundle(made[task, outputs], model.eval(), TOKENS, own.describe())
    return made


@pytest.mark.parametrize(("first", "second"), product(FIRST, KINDS))
def test_the_second_task_is_what_is_saved(once, tmp_path, first, second):
    model = load_bundle(once[first]).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = TASKS[second].of(rows(second), LENGTH)
    tuned(task, "encoder", rows(second), tmp_path / "run", tokenizer=TOKENS, model=model, epochs=1)
    head, theirs, architecture = KINDS[second]
    assert set(model.heads) == {"words", "next_sentence"} | ({head} if head else set())
    bundle = save_bundle(tmp_path / "bundle", model, TOKENS, task.describe())
    assert bundle.architecture == architecture
    assert json.loads((tmp_path / "bundle" / "config.json").read_text())["architectures"] == [architecture]
    if head:
        written = load_file(tmp_path / "bundle" / "model.safetensors")
        for part in ("weight", "bias"):
            own = model.state_dict()[f"heads.{head}.{part}"]
            torch.testing.assert_close(written[f"{theirs}.{part}"], own, rtol=0, atol=0)
            assert f"heads.{head}.{part}" not in before or not torch.equal(
                own, before[f"heads.{head}.{part}"]
            )
    again = load(tmp_path / "bundle", "cpu")
    want = task.answer(model, TOKENS, asked(second), Evaluate())
    found = again._task.answer(again.model, TOKENS, asked(second), Evaluate())
    assert again.task == second and len(want) == len(found)
    for one, other in zip(want, found, strict=True):
        assert one.keys() == other.keys() and one.get("label") == other.get("label")
        for key in ("score", "value", "vector"):
            assert one.get(key) == pytest.approx(other.get(key), abs=1e-6)


def test_a_second_round_of_the_same_task_has_a_layer_of_its_own(tmp_path):
    """Its first weights are those of a first round with the same seed: the old layer says nothing."""
    train, found = labelled(30), []
    for i, before in enumerate((None, 5.0)):
        model = network("encoder", TOKENS)
        if before is not None:
            torch.nn.init.constant_(model.add_head("label", 2).weight, before)
        task = Classification.of(train, LENGTH)
        tuned(task, "encoder", train, tmp_path / str(i), tokenizer=TOKENS, model=model, epochs=1)
        found.append(model.state_dict())
    first, second = found
    assert all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()
