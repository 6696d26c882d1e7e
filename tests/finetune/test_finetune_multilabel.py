"""Several labels a text: learned, none allowed, the loss of transformers, labels in three spellings."""

import json

import pytest
import torch
from finetune_toys import LENGTH, examples, network, sentences, tuned, vocabulary
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.finetune import Example, Multilabel, hold_out, load, read_examples
from liju.finetune.multilabel import labels_in
from liju.finetune.thresholds import f1_threshold
from liju.hub import load_bundle, save_bundle
from liju.samples import micro_batches
from liju.train.step import accumulate

HOW = Evaluate()
KINDS = {
    "colour": ("red", "green", "blue"),
    "number": ("one", "two", "three"),
    "animal": ("cat", "dog", "bird"),
}


def kinds(count, seed=0):
    """What a text names; some name nothing."""
    rows = []
    for s in sentences(count, seed, 1, 4):
        own = [kind for kind, words in KINDS.items() if set(words) & set(s.split())]
        rows.append({"text": s, "labels": ", ".join(own)})
    return examples(rows)


@pytest.fixture(scope="module")
def knower(tmp_path_factory):
    train, test = kinds(240)[:200], kinds(240)[200:]
    task = Multilabel.of(train, LENGTH)
    folder = tmp_path_factory.mktemp("knower")
    return (*tuned(task, "encoder", train, folder, epochs=30, batch_tokens=200), task, train, test)


def test_it_learns_and_says_none(knower):
    model, tokenizer, _, task, train, test = knower
    assert task.labels == ["animal", "colour", "number"] and any(not e["labels"] for e in train)
    answers = task.evaluate(model, tokenizer, test, HOW)
    scores = task.score(answers, test)
    assert scores["micro_f1"] > 0.8 and scores["subset_accuracy"] > 0.4, scores
    assert {"f1 of animal", "f1 of colour", "f1 of number"} <= set(scores)
    (none,) = task.answer(model, tokenizer, [{"text": "sees hears knows"}], HOW)
    assert none["label"] == "" and none["labels"] == [] and all(p < 0.5 for p in none["scores"].values())
    measures = task.measures(answers, test)
    assert {name: pytest.approx(scores[name]) for name in task.shown} == {
        k: m.value for k, m in measures.items()
    }
    majority, ngram = task.baselines(["majority", "ngram"], train, test)
    assert task.score(majority.answers(), test)["micro_f1"] < scores["micro_f1"]
    assert task.score(ngram.answers(), test)["micro_f1"] > 0.5


def test_a_request_may_name_the_threshold(knower, tmp_path):
    model, tokenizer, _, task, *_ = knower
    save_bundle(tmp_path / "bundle", model, tokenizer, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    assert loaded.predict("red cat", threshold=0.0)["labels"] == task.labels
    assert loaded.predict("red cat", threshold=1.0)["labels"] == []
    assert loaded.predict("red cat")["labels"] == ["animal", "colour"]
    with pytest.raises(RequestError, match=r"threshold: 1\.5 is no probability"):
        loaded.predict("red cat", threshold=1.5)
    assert loaded.describe()["options"] == {"threshold": 0.5}


def f1_at(threshold, probabilities, has):
    said = [p > threshold for p in probabilities]
    both = sum(said) + sum(has)
    return 2 * sum(a and b for a, b in zip(said, has, strict=True)) / both if both else 0.0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=25))
def test_a_threshold_has_the_best_f1_of_all(rows):
    """Against every threshold there is; of equally good ones the nearest to 1/2."""
    p, has = [value / 9 for value, _ in rows], [one for _, one in rows]
    found = f1_threshold(p, has, least=1)
    if not any(has):
        assert found == 0.5
        return
    tried = {at: f1_at(at, p, has) for at in (i / 360 for i in range(360))}
    assert f1_at(found, p, has) == max(tried.values())
    same = {tuple(one > at for one in p) for at, f1 in tried.items() if f1 == max(tried.values())}
    assert tuple(one > found for one in p) in same
    if tuple(one > 0.5 for one in p) in same:
        assert found == 0.5
    assert f1_threshold(p[::-1], has[::-1], least=1) == found
    assert f1_threshold(p, has, least=sum(has) + 1) == 0.5


def test_thresholds_are_of_the_validation_part_alone(knower, tmp_path):
    """Chosen by finetune, on its held-out part; kept in the bundle; used to answer, evaluate and look."""
    _, tokenizer, _, plain, train, test = knower
    assert plain.thresholds is None and "thresholds" not in plain.describe()
    task, seen = Multilabel.of(train, LENGTH), []
    settle = task.settle
    task.settle = lambda *given: (seen.append(given[2:]), settle(*given))
    model, tokenizer, _ = tuned(
        task, "encoder", train, tmp_path / "run", epochs=3, batch_tokens=200, patience=9, validation=0.3
    )
    ((rest, held),) = seen
    assert (rest, held) == hold_out(train, 0.3)
    assert set(task.thresholds) == set(task.labels) and task.thresholds != dict.fromkeys(task.labels, 0.5)
    probabilities = [a["scores"] for a in task.answer(model, tokenizer, [e.values for e in held], HOW)]
    for label, at in task.thresholds.items():
        has = [label in labels_in(e["labels"]) for e in held]
        p = [one[label] for one in probabilities]
        best = max(f1_at(one, p, has) for one in (0.0, *p))
        # To the answers of a few near 0.5: another batch moves a probability by rounding.
        assert f1_at(at, p, has) == pytest.approx(best, abs=0.02)
    save_bundle(tmp_path / "bundle", model, tokenizer, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    assert loaded.describe()["thresholds"] == task.thresholds
    assert loaded.describe()["options"] == {"threshold": None}
    for answer in loaded.predict([e["text"] for e in test]):
        above = [label for label, p in answer["scores"].items() if p > task.thresholds[label]]
        assert answer["labels"] == above
        assert answer["score"] == min(p if label in above else 1 - p for label, p in answer["scores"].items())
    assert (
        task.evaluate(model, tokenizer, test, HOW)[0]["labels"] == loaded.predict(test[0]["text"])["labels"]
    )
    half = [a["labels"] for a in loaded.predict([e["text"] for e in test], threshold=0.5)]
    assert half == [a["labels"] for a in plain.answer(model, tokenizer, [e.values for e in test], HOW)]
    assert half != [a["labels"] for a in loaded.predict([e["text"] for e in test])]


def test_another_training_forgets_the_thresholds_of_the_last():
    """Folds and searches train one task several times: what one found is not used in the next."""
    task = Multilabel(list(KINDS), LENGTH, thresholds=dict.fromkeys(KINDS, 0.2))
    assert Multilabel.from_description(task.describe()).thresholds == task.thresholds
    tokenizer = vocabulary("encoder")
    model = network("encoder", tokenizer)
    task.prepare(model)
    assert task.thresholds is None and "thresholds" not in task.describe()
    task.settle(model, tokenizer, kinds(30))  # no validation part
    assert task.thresholds is None and task.options == {"threshold": 0.5}
    few = [Example({"text": "red", "labels": "colour"}, f"x:{i}") for i in range(4)]
    task.settle(model, tokenizer, [], few)
    assert task.thresholds == dict.fromkeys(KINDS, 0.5)  # too few of each to choose by


@pytest.mark.parametrize(
    "text", ["money,sport", "sport , money,", '["sport", "money"]', '{"sport": {}, "money": {}}']
)
def test_labels_are_spelled_in_three_ways(text):
    assert labels_in(text) == ["money", "sport"]


def test_a_label_with_the_value_no_is_none_of_the_text():
    flags = {"toxic": False, "rude": 0, "threat": None, "insult": True, "hate": 1, "spam": 1.0, "ad": 0.0}
    assert labels_in(json.dumps(flags)) == ["hate", "insult", "spam"]
    assert labels_in('{"toxic": false}') == []
    # CLUENER's spans are those of the labels that the text has.
    assert labels_in('{"name": {"叶老桂": [[9, 11]]}, "company": [[0, 3]]}') == ["company", "name"]


@pytest.mark.parametrize("value", ["0.7", "2", '"yes"', '"0"', "NaN"])
def test_a_label_with_another_value_is_refused(value):
    with pytest.raises(DataError, match=r"'toxic' is .* neither yes nor no") as caught:
        labels_in(f'{{"sport": true, "toxic": {value}}}')
    assert caught.value.hint == "true or false, 1 or 0"


@pytest.mark.parametrize("text", ["[true]", "[0.5]", "[null]", '["sport", false]'])
def test_a_list_holds_names_or_whole_numbers(text):
    assert labels_in("[1, 2]") == ["1", "2"]
    with pytest.raises(DataError, match="no list of labels"):
        labels_in(text)


def test_bad_and_unknown_labels_are_named_by_file_and_line(tmp_path):
    (tmp_path / "a.tsv").write_text('text\tlabels\nred\tcolour\none\t\ncat\t["animal"\ndog\tanimal\n')
    (tmp_path / "test.tsv").write_text("text\tlabels\nblue\tcolour\n")
    given = Finetune.model_validate({"train": ["a.tsv"], "test": ["test.tsv"]})
    how = {"base": tmp_path, "from_row": Multilabel.from_row, "may_be_empty": Multilabel.may_be_empty}
    found = read_examples(given, Multilabel.needed, **how)
    assert [(e["text"], e["labels"]) for e in found.train] == [
        ("red", '["colour"]'),
        ("one", "[]"),
        ("dog", '["animal"]'),
    ]
    assert found.problems[0].startswith("a.tsv:4: labels '[\"animal\"' are no list of labels")
    with pytest.raises(DataError, match=r"a\.tsv:4"):
        read_examples(given, Multilabel.needed, errors="stop", **how)
    (tmp_path / "b.tsv").write_text("text\tlabel\nred\tcolour\n")
    none = Finetune.model_validate({"train": ["b.tsv"], "test": ["test.tsv"]})
    with pytest.raises(DataError) as error:
        read_examples(none, Multilabel.needed, **how)
    assert "no labels" in str(error.value) and "label" in error.value.hint
    with pytest.raises(DataError, match=r"x:1: unknown label 'colours'"):
        Multilabel(["colour"], 8).check([Example({"text": "a", "labels": "colours"}, "x:1")])


def test_transformers_has_the_same_loss_and_reads_and_writes_it(tmp_path):
    from transformers import AutoModelForSequenceClassification

    tokenizer = vocabulary("encoder")
    model = network("encoder", tokenizer, position="learned").double().eval()
    train = kinds(7)
    task = Multilabel(list(KINDS), LENGTH)
    task.prepare(model)
    save_bundle(tmp_path / "ours", model, tokenizer, task.describe())
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").double().eval()
    assert theirs.config.problem_type == "multi_label_classification"
    assert list(theirs.config.id2label.values()) == list(KINDS)
    objective = task.objective(train, tokenizer, Finetune(), 0)
    (batch,) = micro_batches([objective.sample(n) for n in range(7)], 10**6)
    found = theirs(
        input_ids=batch.encoder.tokens,
        attention_mask=(batch.encoder.segment > 0).long(),
        token_type_ids=batch.encoder.types,
        labels=batch.targets["label"].value.double(),
    )
    assert accumulate(model, [batch], objective.weights).loss == pytest.approx(
        float(found.loss.detach()), rel=1e-6
    )
    theirs.save_pretrained(tmp_path / "theirs")
    back = load_bundle(tmp_path / "theirs")
    assert back.task["name"] == "multilabel" and back.labels == list(KINDS)
    with torch.no_grad():
        hidden = back.model.double()(batch).flatten(0, 1).index_select(0, batch.targets["label"].index)
        torch.testing.assert_close(back.model.predict("label", hidden), found.logits, atol=1e-5, rtol=1e-5)
