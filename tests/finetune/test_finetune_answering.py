"""Extractive answering: every token in a window, the best span of all windows, no answer, bad rows named."""

import json
import math
import unicodedata
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune
from liju.errors import DataError, RequestError
from liju.finetune import Answering, Example, Questions, finetune, read_examples
from liju.finetune.windows import best_spans
from liju.model import Transformer, TransformerConfig
from liju.objective import losses
from liju.objective.examples import tokenizer
from liju.samples import assemble, micro_batches

WORDS = tokenizer("encoder")
LENGTH = 32
CONTEXTS = st.text("abc 春天。\n\u3000\u0301é\U0001f600", min_size=1, max_size=90)


def example(question, context, *answers, place="x:1"):
    found = [{"text": a, "begin": context.index(a), "end": context.index(a) + len(a)} for a in answers]
    return Example({"question": question, "context": context, "answers": json.dumps(found)}, place)


def model_for(task, d_model=12, length=LENGTH, **switches):
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=WORDS.size,
        d_model=d_model,
        num_heads=3,
        num_layers=1,
        num_types=2,
        max_length=length,
        **switches,
    )
    model = Transformer(config)
    task.prepare(model)
    return model.eval()


@given(
    st.lists(st.tuples(st.text("ab春?", max_size=30), CONTEXTS), min_size=1, max_size=4),
    st.integers(13, 40),
    st.sampled_from([None, 0, 1, 5]),
)
def test_every_token_of_every_context_is_in_a_window(pairs, length, overlap):
    objective = Questions([(q, c, None) for q, c in pairs], WORDS, length, overlap=overlap)
    seen = {}
    for index, window in enumerate(objective.windows):
        sample = objective.at(index, index)
        assert sample.encoder is not None and len(sample.encoder) <= length
        assert objective._lengths[index] == len(sample.encoder)
        own, lead = objective.contexts[window.row][0], objective.lead(window.row)
        assert (
            sample.encoder[lead : lead + window.end - window.begin].tolist() == own[window.begin : window.end]
        )
        seen.setdefault(window.row, []).append(window)
    for row, (question, context) in enumerate(pairs):
        ids = WORDS.encode(context)
        windows = seen[row]
        assert {at for w in windows for at in range(w.begin, w.end)} == set(range(len(ids)))
        room = length - objective.around - len(objective.questions[row])
        shared = room // 3 if overlap is None else min(overlap, room - 1)
        for one, other in pairwise(windows):
            assert one.end - other.begin == shared
        assert (row in objective.shortened) == (len(WORDS.encode(question)) > len(objective.questions[row]))


@given(CONTEXTS, st.data())
def test_offsets_are_characters_of_the_text_and_an_answer_comes_back(context, data):
    ids, offsets = WORDS.encode_with_offsets(context)
    assert ids == WORDS.encode(context) and len(ids) == len(offsets)
    assert all(0 <= begin <= end <= len(context) for begin, end in offsets)
    inside = [at for at, character in enumerate(context) if not character.isspace()]
    if not inside:
        return
    begin = data.draw(st.sampled_from(inside))
    end = data.draw(st.sampled_from([at + 1 for at in inside if at >= begin]))
    objective = Questions([("a?", context, (begin, end))], WORDS, 200)
    span = objective.spans[0]
    assert span is not None and len(objective.windows) == 1
    first, last = objective.characters(0, *span)
    assert first <= begin and end <= last  # whole tokens: at least the answer
    assert not context[first].isspace() and not context[last - 1].isspace()
    goal = objective.at(0, 0).goals["span"]
    assert goal.weights is not None and goal.weights.sum() == 1
    assert goal.values[:, 0].argmax() == objective.lead(0) + span[0]
    assert goal.values[:, 1].argmax() == objective.lead(0) + span[1]


def test_a_window_without_the_whole_answer_points_at_cls():
    context = " ".join("abcdefghijkl")
    rows = [("q", context, (context.index("h"), context.index("h") + 1)), ("q", context, None)]
    objective = Questions(rows, WORDS, 16)
    marks = {}
    for index, window in enumerate(objective.windows):
        goal = objective.at(index, index).goals["span"]
        marks.setdefault(window.row, []).append(tuple(goal.values.argmax(0)))
    assert set(marks[1]) == {(0, 0)} and len(marks[0]) > 1
    inside = [mark for mark in marks[0] if mark != (0, 0)]
    assert inside and (0, 0) in marks[0] and all(begin <= end for begin, end in inside)


@settings(max_examples=8)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=6), st.sampled_from([20, 60, 10**6]), st.data())
def test_laws_1_and_2_of_the_span_loss(numbers, limit, data):
    """Packed, grouped and one by one give the same loss and gradients; a question counts one."""
    contexts = ["春天来了。a b", "The cat sat on the mat. The dog sat on the log.", "a"]
    rows = [("谁？", contexts[i % 3], None if i % 4 == 3 else (0, 1)) for i in range(7)]
    objective = Questions(rows, WORDS, 24, seed=3)
    network = model_for(Answering(24)).double()

    def run(batches):
        network.zero_grad()
        found = [losses(network, batch)["span"] for batch in batches]
        total, weight = sum(part for part, _ in found), sum(weight for _, weight in found)
        (total / weight).backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        return (total / weight).item(), weight, gradients

    samples = [objective.sample(n) for n in numbers]
    want, weight, wanted = run([assemble([sample]) for sample in samples])
    assert weight == len(samples)
    layout = data.draw(st.sampled_from(["grouped", "packed"]))
    got, same, gradients = run(micro_batches(samples, limit, layout, objective.pad, 60))
    assert same == weight and got == pytest.approx(want, rel=1e-12)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 50), st.integers(0, 10**6))
def test_best_spans_are_those_of_trying_all(size, most, count, seed):
    torch.manual_seed(seed)
    begins, ends = torch.randn(2, size).double()
    every = sorted(
        [(-float(begins[i] + ends[j]), i, j) for i in range(size) for j in range(i, min(size, i + most))]
    )
    found, total = best_spans(begins, ends, most, count)
    assert [(i, j) for _, i, j in found] == [(i, j) for _, i, j in every[:count]]
    assert [score for score, _, _ in found] == pytest.approx([-score for score, _, _ in every[:count]])
    assert total == pytest.approx(math.log(sum(math.exp(-score) for score, _, _ in every)))
    assert best_spans(begins[:0], ends[:0], most, count) == ([], -math.inf)


def test_together_is_alone_and_scores_are_probabilities():
    task = Answering(LENGTH, unanswerable=True)
    model = model_for(task)
    inputs = [
        {"question": "谁？", "context": "The cat sat on the mat. " * 9},
        {"question": "Who?", "context": "a b"},
        {"question": "?" * 60, "context": "春天"},
    ]
    together = task.answer(model, WORDS, inputs, Evaluate(), best=4)
    alone = [task.answer(model, WORDS, [one], Evaluate(), best=4)[0] for one in inputs]
    for one, other, values in zip(together, alone, inputs, strict=True):
        assert one["text"] == other["text"] and one["score"] == pytest.approx(other["score"], abs=1e-6)
        for span in one["alternatives"]:
            assert span["text"] == values["context"][span["begin"] : span["end"]].strip() != ""
        assert sum(span["score"] for span in one["alternatives"]) <= 1 + 1e-9
    assert "shortened" in together[2] and "shortened" not in together[0]
    every = task.answer(model, WORDS, [inputs[1]], Evaluate(), best=10**4, max_answer_tokens=99)[0]
    none = 1 - sum(span["score"] for span in every["alternatives"])
    best = every["alternatives"][0]["score"]
    assert math.log(none / best) == pytest.approx(every["no_answer"], abs=1e-4)


def test_the_threshold_says_when_there_is_no_answer():
    model = model_for(Answering(LENGTH))
    values = [{"question": "Who?", "context": "The cat sat."}]

    def asked(**more):
        return Answering(LENGTH, **more).answer(model, WORDS, values, Evaluate())[0]

    margin = asked(unanswerable=True)["no_answer"]
    assert asked(unanswerable=True, threshold=margin + 0.1)["text"]
    nothing = asked(unanswerable=True, threshold=margin - 0.1)
    assert nothing["text"] == "" and nothing["begin"] is None and 0 < nothing["score"] < 1
    assert "no_answer" not in asked() and asked()["text"]


def toy(count, none=False):
    """Who is where: the name, or the place behind it. When, it does not say."""
    names, places, found = ["Ann", "Bob", "Cid"], ["Rome", "Oslo", "Bern", "Lima"], []
    for i in range(count):
        name, place = names[i % 3], places[i % 4]
        context = f"{name} in {place}."
        asked, *answers = [("who", name), ("where", place), ("when",)][i % (3 if none else 2)]
        found.append(example(asked, context, *answers, place=f"toy:{i}"))
    return found


@pytest.mark.parametrize("none", [False, True])
def test_it_learns(tmp_path, none):
    train = toy(60, none)
    task = Answering.of(train, LENGTH)
    assert task.unanswerable is none
    model = model_for(task, d_model=24)
    told = Finetune(task="answering", epochs=10, batch_tokens=200, learning_rate=1e-2, dropout=0.0)
    finetune(model, WORDS, task, train, told, tmp_path, precision="float32")
    answers = task.evaluate(model, WORDS, train, Evaluate())
    scores = task.score(answers, train)
    assert scores["exact"] > 0.9 and task.longest == 30
    assert all(
        task.right(a, e)
        is (
            a["text"] in [r["text"] for r in json.loads(e["answers"])]
            or (not a["text"] and e["answers"] == "[]")
        )
        for a, e in zip(answers, train, strict=True)
    )
    assert ("unanswerable" in scores) is none and set(task.shown) <= scores.keys()
    measures = task.measures(answers, train)
    assert {name: measure.value for name, measure in measures.items()} == pytest.approx(scores)
    again = Answering.from_description(json.loads(json.dumps(task.describe())))
    assert again.describe() == task.describe()
    for found, before in zip(again.evaluate(model, WORDS, train[:3], Evaluate()), answers[:3], strict=True):
        # In other company the same answer, its probability to rounding (law 5).
        assert found["score"] == pytest.approx(before["score"], abs=1e-6)
        assert {k: v for k, v in found.items() if not isinstance(v, float)} == {
            k: v for k, v in before.items() if not isinstance(v, float)
        }


def test_the_threshold_is_found_on_questions_that_were_not_trained_on():
    train = [
        example("who?", f"context {i} of Ann.", *(["Ann"] if i % 2 else []), place=f"x:{i}")
        for i in range(200)
    ]
    task = Answering.of(train, LENGTH)
    held = task._held_out(train)
    trained = task.objective(train, WORDS, Finetune(), 0)
    assert 20 <= len(held) <= 50 and len(trained.contexts) == 200 - len(held)
    texts = {WORDS.decode(ids) for ids, _ in trained.contexts}
    assert not texts & {train[at]["context"] for at in held}
    model = model_for(task)
    before = task.threshold
    task.settle(model, WORDS, train)
    some = [train[at] for at in held]
    best = task.score(task.evaluate(model, WORDS, some, Evaluate()), some)["answer_f1"]
    assert task.threshold != before
    for threshold in (-99.0, 0.0, task.threshold - 0.01, task.threshold + 0.01, 99.0):
        other = Answering(LENGTH, True, threshold, task.longest)
        assert other.score(other.evaluate(model, WORDS, some, Evaluate()), some)["answer_f1"] <= best + 1e-12
    few = Answering.of(train[:30], LENGTH)  # too few to tell: it stays at 0, and all are trained on
    assert few._held_out(train[:30]) == [] and few.objective(train[:30], WORDS, Finetune(), 0).size >= 30


def test_the_reference_that_most_agree_on_is_learned():
    context = "Ann and Bob in Rome."
    values = example("Who?", context, "Ann and Bob", "Ann", "Ann")
    assert Answering(LENGTH)._row(values)[2] == (0, 3)


def test_scores_are_those_of_squad_and_of_cmrc():
    test = [
        example("Who?", "The Denver Broncos won.", "Denver Broncos"),
        example("谁？", "曹雪芹写的红楼梦", "曹雪芹"),
        example("Why?", "Nothing here."),
    ]
    task = Answering.of(test, LENGTH)
    scores = task.score([{"text": "the Denver"}, {"text": "曹雪芹写的"}, {"text": ""}], test)
    assert scores["answer_f1"] == pytest.approx((2 / 3 + 0.75 + 1) / 3) and scores["exact"] == 1 / 3
    assert scores["unanswerable"] == 1 and scores["answered_f1"] == pytest.approx((2 / 3 + 0.75) / 2)
    answered = task.score([{"text": "Denver Broncos"}], test[:1])
    assert answered["answer_f1"] == 1 and math.isnan(answered["unanswerable"])


def test_simple_systems():
    train = toy(8)
    test = [example("Who wrote it?", "It rained. Ada wrote it all. She left.", "Ada")]
    task = Answering.of(train, LENGTH)
    found = {one.name: one.answers() for one in task.baselines(["majority", "ngram"], train, test)}
    assert found == {
        "first sentence": [{"text": "It rained."}],
        "sliding window": [{"text": "Ada wrote it all."}],
    }
    none = [example("q", "c")] * 3 + train[:1]
    assert [b.answers() for b in task.baselines(["majority"], none, test)] == [[{"text": ""}]]


def rows_of(*rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"


def read(folder, errors="skip", **settings):
    told = Finetune(task="answering", train=["a.jsonl"], test_share=0.3, **settings)
    return read_examples(
        told,
        Answering.needed,
        base=folder,
        errors=errors,
        optional=Answering.optional,
        from_row=Answering.from_row,
    )


def test_bad_rows_are_named_and_counted_and_wrong_places_mended(tmp_path):
    good = [
        {"question": "Who?", "context": f"  Ann {i} came.", "answer": "Ann", "start": 2} for i in range(20)
    ]
    bad = [
        {"question": "Who?", "context": "Ann came.", "answer": "Bob"},
        {"question": "Who?", "context": "Ann came. Ann!", "answer": "Ann", "start": 4},
        {"question": "Who?", "context": "Ann came here."},
        {"question": "Who?", "answer": "Ann"},
        {"question": "Who?", "context": "Ann came now.", "answer": "Ann", "start": "x"},
    ]
    mended = [
        {"question": "Who?", "context": "He saw Ann.", "answer": "Ann", "start": 3},
        {"question": "Who?", "context": "Eva saw Eva.", "answer": "Eva"},
        {"question": "Who?", "context": "Dan saw.", "answers": [{"text": "Dan", "answer_start": 0}, "Den"]},
        {"question": "No one?", "context": "Sue saw.", "answers": []},
        {"question": "Hm?", "context": "Tim saw.", "answers": {"text": ["Tim"], "answer_start": [0]}},
    ]
    (tmp_path / "a.jsonl").write_text(rows_of(*good, *bad, *mended), encoding="utf-8")
    found = read(tmp_path)
    told = found.report()
    assert told["train"] + told["test"] == 25
    assert {k: v for k, v in told["dropped"].items() if v} == {"bad example": 4, "no context": 1}
    problems = "\n".join(found.problems)
    for what in (
        "a.jsonl:21: the answer 'Bob' is not in the context",
        "a.jsonl:22: answer_start 4 is wrong, and 'Ann' stands in 2 places",
        "a.jsonl:23: no answers",
        "a.jsonl:24: no context",
        "a.jsonl:25: start: 'x' is no whole number",
        "a.jsonl:26: wrong answer_start",
        "a.jsonl:27: no answer_start, the first of several",
        "a.jsonl:28: a reference that is not in the context",
    ):
        assert what in problems
    assert sum(found.mended.values()) == 3
    both = [*found.train, *found.test]
    for one in both:
        for answer in json.loads(one["answers"]):
            if answer["begin"] >= 0:
                assert one["context"][answer["begin"] : answer["end"]] == answer["text"]
    with pytest.raises(DataError, match=r"a\.jsonl:21: the answer 'Bob' is not in the context"):
        read(tmp_path, errors="stop")


def test_an_answer_in_another_unicode_form_is_the_contexts_own(tmp_path):
    nfd = unicodedata.normalize("NFD", "Ann likes café.")
    good = [
        {"question": f"What {i}?", "context": nfd, "answer": "café", "start": f"{10 + i % 2}.0"}
        for i in range(9)
    ]
    (tmp_path / "a.jsonl").write_text(
        rows_of(
            *good,
            *(
                {"question": f"Who {i}?", "context": f"Ann {i} came.", "answer": "Ann", "start": "0.0"}
                for i in range(9)
            ),
        ),
        encoding="utf-8",
    )
    found = read(tmp_path)
    assert not +found.dropped
    answers = [a for e in found.train + found.test if e["context"] == nfd for a in json.loads(e["answers"])]
    assert answers == [{"text": nfd[10:15], "begin": 10, "end": 15}] * 9
    assert found.mended == {"in another Unicode form (NFC, NFD)": 5, "wrong answer_start": 4}


def test_questions_on_one_context_fall_on_one_side(tmp_path):
    rows = [
        {"question": f"Who {k}?", "context": f"Ann {i} came.", "answer": "Ann"}
        for i in range(30)
        for k in range(3)
    ]
    (tmp_path / "a.jsonl").write_text(rows_of(*rows))
    found = read(tmp_path)
    sides = [{example["context"] for example in part} for part in (found.train, found.test)]
    assert all(sides) and not sides[0] & sides[1] and len(found.train) + len(found.test) == 90


def test_too_long_questions_are_named_and_none_left_is_an_error():
    train = [example("Who?", "Ann came.", "Ann"), example("?" * 40, "Bob came.", "Bob", place="x:2")]
    task = Answering.of(train, LENGTH)
    assert task.objective(train, WORDS, Finetune(), 0).size == 1 and task.too_long == ["x:2"]
    with pytest.raises(DataError, match="every question is too long"):
        task.objective(train[1:], WORDS, Finetune(), 0)
    with pytest.raises(DataError, match="no question has an answer"):
        Answering.of([example("q", "c")], LENGTH)
    with pytest.raises(DataError, match="needs an encoder"):
        Questions([("q", "c", None)], tokenizer("decoder"), LENGTH)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"question": " ", "context": "a"}, "the question is empty"),
        ({"question": "q", "context": "\n"}, "the context is empty"),
        ({"question": "q"}, "the context is missing"),
    ],
)
def test_requests_that_cannot_be_answered(values, message):
    task = Answering(LENGTH)
    with pytest.raises(RequestError, match=message):
        task.answer(model_for(task), WORDS, [values], Evaluate())
    with pytest.raises(RequestError, match="best 1 or more"):
        task.answer(model_for(task), WORDS, [], Evaluate(), best=0)
