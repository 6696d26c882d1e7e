"""Each task learns, answers whatever stands beside it in the batch, and trains only what it was told to."""

import numpy as np
import pytest
import torch
from finetune_toys import LENGTH, WORDS, labelled, network, pairs, sentences, translated, tuned, vocabulary
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune
from liju.errors import DataError, ModelError
from liju.finetune import Classification, Example, GenerationTask, Labelled, TranslationTask, freeze
from liju.finetune.classification import fit_pair
from liju.objective import losses
from liju.samples import Sample, assemble, micro_batches

HOW = Evaluate(beam=2, max_new_tokens=20)


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def classifier(request, tmp_path_factory):
    train, test = labelled(260, 0)[:200], labelled(260, 0)[200:]
    task = Classification.of(train, LENGTH)
    folder = tmp_path_factory.mktemp("classifier")
    return (*tuned(task, request.param, train, folder, batch_tokens=200), task, test)


def test_classification_learns(classifier):
    model, tokenizer, result, task, test = classifier
    answers = task.evaluate(model, tokenizer, test, HOW)
    scores = task.score(answers, test)
    assert scores["accuracy"] > 0.95, scores
    measures = task.measures(answers, test)
    assert {name: pytest.approx(scores[name]) for name in task.shown} == {
        name: measure.value for name, measure in measures.items()
    }
    assert result.loss < 0.2 and not result.stopped
    assert all(abs(sum(answer["scores"].values()) - 1) < 1e-5 for answer in answers)
    assert all(answer["score"] == max(answer["scores"].values()) for answer in answers)


def test_matthews_of_two_labels_and_of_more_is_scikit_learns():
    theirs = pytest.importorskip("sklearn.metrics").matthews_corrcoef
    for labels in ("ab", "abc"):
        want = [labels[i % len(labels)] for i in range(20)]
        got = [labels[(i + (i % 7 == 0)) % len(labels)] for i in range(20)]
        task, rows = Classification(list(labels), LENGTH), [Example({"label": one}, "x:1") for one in want]
        answers = [{"label": one} for one in got]
        assert 0 < theirs(want, got) < 1
        assert task.score(answers, rows)["matthews"] == pytest.approx(theirs(want, got))
        assert task.measures(answers, rows)["matthews"].value == pytest.approx(theirs(want, got))
        assert "matthews" in task.shown and task.metric == "accuracy"
        always = [{"label": "a"} for _ in want]
        assert task.score(always, rows)["matthews"] == 0 == task.measures(always, rows)["matthews"].value


def test_an_answer_does_not_depend_on_its_batch(classifier):
    model, tokenizer, _, task, _ = classifier
    inputs = [{"text": " ".join(text.split() * k)} for k, text in enumerate(sentences(9, 5), 1)]
    together = task.answer(model.double(), tokenizer, inputs, HOW)
    for values, answer in zip(inputs, together, strict=True):
        (alone,) = task.answer(model, tokenizer, [values], HOW)
        assert alone["label"] == answer["label"] and alone.get("shortened") == answer.get("shortened")
        assert alone["scores"] == pytest.approx(answer["scores"], abs=1e-6)
    assert [answer.get("shortened", False) for answer in together][::8] == [False, True]
    model.float()


def test_pairs_have_token_types_and_are_learned(tmp_path):
    rows = pairs(460)
    train, test = rows[:400], rows[400:]
    task = Classification.of(train, LENGTH)
    assert task.pairs
    tokenizer = vocabulary("encoder")
    sample = task.objective(train[:1], tokenizer, Finetune(), 0).sample(0)
    assert set(sample.types.tolist()) == {0, 1}
    first_end = sample.encoder.tolist().index(tokenizer.sep)
    assert sample.types.tolist() == [0] * (first_end + 1) + [1] * (len(sample.encoder) - first_end - 1)
    model, tokenizer, _ = tuned(task, "encoder", train, tmp_path, tokenizer=tokenizer, learning_rate=5e-3)
    answers = task.evaluate(model, tokenizer, test, HOW)
    assert task.score(answers, test)["accuracy"] > 0.8


@given(st.lists(st.integers()), st.lists(st.integers()), st.integers(1, 30))
def test_two_texts_are_made_to_fit(first, second, room):
    a, b = fit_pair(first, second, room)
    assert len(a) + len(b) == min(room, len(first) + len(second))
    for whole, part in ((first, a), (second, b)):  # a head and a tail of each
        assert any(part == whole[:k] + whole[len(whole) - (len(part) - k) :] for k in range(len(part) + 1))
    if len(first) + len(second) > room:  # the longer one is shortened, to no less than its half of the room
        assert len(a) >= min(len(first), room // 2) and len(b) >= min(len(second), room // 2)


def test_translation_learns(tmp_path):
    rows = translated(150, most=2)
    train, test = rows[:130], rows[130:]
    task = TranslationTask(LENGTH)
    how = {"epochs": 32, "batch_tokens": 100, "learning_rate": 5e-3}
    model, tokenizer, _ = tuned(task, "encdec", train, tmp_path, **how)
    answers = task.evaluate(model, tokenizer, test, HOW)
    right = [task.right(answer, example) for answer, example in zip(answers, test, strict=True)]
    assert right.count(True) >= 17 and set(right) <= {True, None}  # a wrong one is a matter of degree
    assert task.score(answers, test)["chrf"] > 80
    for example, answer in list(zip(test, answers, strict=True))[:6]:  # together = alone
        assert task.answer(model, tokenizer, [example.values], HOW) == [answer]


def test_pairs_that_are_too_long_are_listed_and_never_cut(tmp_path):
    rows = translated(30)
    long = {"source": " ".join(WORDS * 3), "target": "x"}
    rows[7] = type(rows[7])(long, "toy:8")
    task, tokenizer = TranslationTask(LENGTH), vocabulary("encdec")
    assert task.objective(rows, tokenizer, Finetune(), 0).size == 29
    assert task.too_long == ["toy:8"]
    with pytest.raises(DataError, match=f"longer than model.max_length {LENGTH}") as caught:
        task.objective(rows[7:8], tokenizer, Finetune(), 0)
    assert "raise" in caught.value.hint


def test_generation_lowers_bits_per_byte(tmp_path):
    rows = [type(e)({"text": e["target"]}, e.place) for e in translated(200)]
    task, tokenizer = GenerationTask(LENGTH), vocabulary("decoder")
    model = network("decoder", tokenizer).eval()

    def bits():
        return task.score(task.evaluate(model, tokenizer, rows[150:], HOW), rows[150:])["bits_per_byte"]

    before = bits()
    tuned(task, "decoder", rows[:150], tmp_path, tokenizer=tokenizer, model=model, batch_tokens=200)
    assert bits() < 0.65 * before


def test_bits_per_byte_are_those_of_each_text_by_itself():
    tokenizer = vocabulary("decoder")
    task, model = GenerationTask(LENGTH), network("decoder", tokenizer).eval()
    texts = ["one", "two three " * 9, "four", "red " * 40]  # two are cut into several samples
    rows = [type(labelled(1)[0])({"text": text}, "x") for text in texts]
    together = task.evaluate(model, tokenizer, rows, HOW)
    for row, answer in zip(rows, together, strict=True):
        (alone,) = task.evaluate(model, tokenizer, [row], HOW)
        assert alone["nats"] == pytest.approx(answer["nats"], rel=1e-5)
    ids = tokenizer.encode("one")
    with torch.no_grad():
        logits = model.logits(assemble([_decoder([tokenizer.bos, *ids])]))[0].log_softmax(-1)
    want = -sum(float(logits[i, token]) for i, token in enumerate([*ids, tokenizer.eos]))
    assert together[0]["nats"] == pytest.approx(want, rel=1e-4)


def _decoder(ids):
    return Sample(0, decoder=np.array(ids))


# --- what is trained


@pytest.mark.parametrize("family", ["encoder", "decoder"])
@pytest.mark.parametrize("trainable", ["head", "top-1", "all"])
def test_only_what_was_asked_for_is_trained(tmp_path, family, trainable):
    train = labelled(40)
    task, tokenizer = Classification.of(train, LENGTH), vocabulary(family)
    model = network(family, tokenizer, num_layers=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tuned(
        task,
        family,
        train,
        tmp_path,
        tokenizer=tokenizer,
        model=model,
        trainable=trainable,
        epochs=1,
        batch_tokens=200,
    )
    changed = {
        n for n, value in model.state_dict().items() if n not in before or not torch.equal(value, before[n])
    }
    parts = {".".join(name.split(".")[:3]) if ".blocks." in name else name.split(".")[0] for name in changed}
    heads = {"heads", "pooler"} if family == "encoder" else {"heads"}
    assert parts - {"token", family} >= heads - {"token"}
    assert ("token" in parts) == (trainable == "all")
    blocks = {part for part in parts if ".blocks." in part}
    wanted = {"head": [], "top-1": [2], "all": [0, 1, 2]}[trainable]
    assert blocks == {f"{family}.blocks.{i}" for i in wanted}
    assert all(parameter.requires_grad for parameter in model.parameters())  # afterwards as before


def test_trainable_is_checked():
    tokenizer = vocabulary("encoder")
    model = network("encoder", tokenizer)
    with pytest.raises(ModelError) as caught:
        freeze(model, "tail")
    assert "top-2, bias" in caught.value.hint and "lora-8" in caught.value.hint
    assert freeze(model, "top-9") < freeze(model, "all") == sum(p.numel() for p in model.parameters())


def test_a_head_that_has_no_parameters_is_refused(tmp_path):
    """A decoder's words head is its token embedding: there is nothing to train but that."""
    rows = [type(e)({"text": e["target"]}, e.place) for e in translated(20)]
    with pytest.raises(ModelError, match="nothing") as caught:
        tuned(GenerationTask(LENGTH), "decoder", rows, tmp_path, trainable="head")
    assert "top-2" in caught.value.hint


def test_dropout_is_that_of_the_section_while_training_and_off_after(tmp_path, monkeypatch):
    seen = []
    train = labelled(20)
    task, tokenizer = Classification.of(train, LENGTH), vocabulary("encoder")
    model = network("encoder", tokenizer, dropout=0.4)

    def spy(*given, **named):
        seen.append({m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)})
        return trained(*given, **named)

    from liju.finetune import finetuning

    trained = finetuning.train
    monkeypatch.setattr(finetuning, "train", spy)
    tuned(task, "encoder", train, tmp_path, tokenizer=tokenizer, model=model, dropout=0.2, epochs=1)
    assert seen == [{0.2}]
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}


def test_the_same_seed_gives_the_same_model(tmp_path):
    train = labelled(30)
    task, tokenizer = Classification.of(train, LENGTH), vocabulary("encoder")
    first, second, third = (
        tuned(task, "encoder", train, tmp_path / str(i), tokenizer=tokenizer, epochs=4, trainable=trainable)[
            0
        ]
        for i, trainable in enumerate(["all", "all", "head"])
    )
    assert all(
        torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in (first, second)), strict=True)
    )
    assert not torch.equal(first.heads["label"].weight, third.heads["label"].weight)


# --- rows of different lengths


def test_labels_stand_at_the_ends_of_rows_of_different_lengths():
    """The loss of a batch of different lengths is the sum of the losses alone, for both families."""
    for family in ("encoder", "decoder"):
        tokenizer = vocabulary(family)
        model = network(family, tokenizer).double().eval()
        model.add_head("label", 3)
        model.double()
        rows = [(text, "", i % 3) for i, text in enumerate(sentences(5, 1, 1, 9))]
        task = Labelled(rows, tokenizer, LENGTH, decoder=family == "decoder")
        samples = [task.sample(n) for n in range(5)]
        (batch,) = micro_batches(samples, 10**6, pad=task.pad)
        with torch.no_grad():
            alone = sum(float(losses(model, assemble([s]))["label"][0]) for s in samples)
            assert float(losses(model, batch)["label"][0]) == pytest.approx(alone, rel=1e-12)
