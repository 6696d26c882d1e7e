"""A number a text: learned, given back in the user's units, the loss of transformers, bad rows named."""

import json

import numpy as np
import pytest
import torch
from finetune_toys import LENGTH, examples, network, sentences, tuned, vocabulary

from liju.config import Evaluate, Finetune
from liju.errors import DataError
from liju.finetune import TASKS, Example, Regression, load, read_examples
from liju.finetune.regression import overlap
from liju.hub import load_bundle, save_bundle
from liju.samples import micro_batches
from liju.train.step import accumulate

HOW = Evaluate()


def rated(count, seed=0):
    """How many colours a text names, in units far from 0 and 1."""
    colours = ("red", "green", "blue")
    return examples(
        [
            {"text": s, "score": str(1000 + 50 * sum(map(s.split().count, colours)))}
            for s in sentences(count, seed)
        ]
    )


@pytest.fixture(scope="module")
def rater(tmp_path_factory):
    train, test = rated(200)[:160], rated(200)[160:]
    task = Regression.of(train, LENGTH)
    folder = tmp_path_factory.mktemp("rater")
    return (*tuned(task, "encoder", train, folder, epochs=15, batch_tokens=100), task, train, test)


def test_it_learns_and_answers_in_the_users_units(rater):
    model, tokenizer, _, task, train, test = rater
    answers = task.evaluate(model, tokenizer, test, HOW)
    scores = task.score(answers, test)
    assert scores["spearman"] > 0.7 and scores["pearson"] > 0.7, scores
    assert all(900 < answer["value"] < 1400 for answer in answers)
    spread = np.var([float(e["score"]) for e in test])
    assert scores["mse"] < 0.4 * spread
    measures = task.measures(answers, test)
    assert {name: pytest.approx(scores[name]) for name in task.shown} == {
        k: m.value for k, m in measures.items()
    }
    assert not measures["mse"].higher_is_better
    (mean, nearest) = task.baselines(["majority", "ngram"], train, test)
    assert task.score(mean.answers(), test)["spearman"] == 0  # one number orders nothing
    assert task.measures(mean.answers(), test)["pearson"].value == 0
    assert 0 < task.score(nearest.answers(), test)["spearman"] < scores["spearman"]


def test_the_scale_is_in_the_bundle(rater, tmp_path):
    model, tokenizer, _, task, *_ = rater
    save_bundle(tmp_path / "bundle", model, tokenizer, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    assert loaded.task == "regression" and TASKS["regression"] is Regression
    (expected,) = task.answer(model, tokenizer, [{"text": "red cat"}], HOW)
    assert loaded.predict("red cat") == expected
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["problem_type"] == "regression" and len(config["id2label"]) == 1
    assert config["task_specific_params"] == {"regression": {"mean": task.mean, "deviation": task.deviation}}


def test_transformers_has_the_same_loss_and_reads_and_writes_it(tmp_path):
    from transformers import AutoModelForSequenceClassification

    tokenizer = vocabulary("encoder")
    model = network("encoder", tokenizer, position="learned").double().eval()
    train = rated(7)
    task = Regression.of(train, LENGTH)
    task.prepare(model)
    save_bundle(tmp_path / "ours", model, tokenizer, task.describe())
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours").double().eval()
    assert theirs.config.problem_type == "regression" and theirs.config.num_labels == 1
    objective = task.objective(train, tokenizer, Finetune(), 0)
    (batch,) = micro_batches([objective.sample(n) for n in range(7)], 10**6)
    labels = torch.tensor(
        [(float(train[objective.order[n]]["score"]) - task.mean) / task.deviation for n in batch.samples]
    )
    found = theirs(
        input_ids=batch.encoder.tokens,
        attention_mask=(batch.encoder.segment > 0).long(),
        token_type_ids=batch.encoder.types,
        labels=labels.double(),
    )
    ours = accumulate(model, [batch], objective.weights).loss
    assert ours == pytest.approx(float(found.loss.detach()), rel=1e-6)
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs" / "tokenizer.json") if hasattr(tokenizer, "save") else None
    back = load_bundle(tmp_path / "theirs")
    assert back.task["name"] == "regression" and "labels" not in back.task
    with torch.no_grad():
        hidden = back.model.double()(batch).flatten(0, 1).index_select(0, batch.targets["label"].index)
        torch.testing.assert_close(back.model.predict("label", hidden), found.logits, atol=1e-5, rtol=1e-5)


def test_what_is_no_number_is_named_by_file_and_line(tmp_path):
    (tmp_path / "sts.tsv").write_text("text\tpair\tscore\na\tb\t1.5\nc\td\thigh\ne\tf\tnan\ng\th\t2\n")
    (tmp_path / "test.tsv").write_text("text\tpair\tscore\nx\ty\t3\n")
    given = Finetune.model_validate({"train": ["sts.tsv"], "test": ["test.tsv"]})
    how = {"base": tmp_path, "optional": ("pair",), "from_row": Regression.from_row}
    found = read_examples(given, Regression.needed, **how)
    assert [example["score"] for example in found.train] == ["1.5", "2"]
    assert [problem.split(" (")[0] for problem in found.problems] == [
        "sts.tsv:3: score 'high' is not a number",
        "sts.tsv:4: score 'nan' is not a number",
    ]
    with pytest.raises(DataError, match=r"sts\.tsv:3: score 'high' is not a number"):
        read_examples(given, Regression.needed, errors="stop", **how)
    with pytest.raises(DataError, match=r"sts\.tsv:9: score 'x'"):
        Regression.check([Example({"text": "a", "score": "x"}, "sts.tsv:9")])
    with pytest.raises(DataError, match="every example has the score 2"):
        Regression.of(examples([{"text": "a", "score": "2"}, {"text": "b", "score": "2.0"}]), 8)


def test_the_overlap_of_pairs_is_a_baseline():
    pairs = [("a red cat", "a red cat", 5), ("a red cat", "the red cat", 4), ("a dog", "two birds", 0)]
    train = examples([{"text": a, "pair": b, "score": str(s)} for a, b, s in pairs * 2])
    test = examples([{"text": a, "pair": b, "score": str(s)} for a, b, s in pairs])
    task = Regression.of(train, 8)
    assert task.pairs
    (line,) = task.baselines(["ngram"], train, test)
    got = [answer["value"] for answer in line.answers()]
    assert got[0] > got[1] > got[2] and got[0] == pytest.approx(5, abs=0.7)
    assert overlap("abc", "abc") == 1 and overlap("abc", "xyz") == 0 and 0 < overlap("abc", "abd") < 1
