"""Token tagging: every word once, whatever the pieces; entities scored whole."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune, Source
from liju.errors import DataError, RequestError
from liju.finetune import Example, Tagged, Tagging, finetune, read_examples
from liju.model import Transformer, TransformerConfig
from liju.objective.examples import tokenizer
from liju.text import rows

WORDS = tokenizer("encoder")
SENTENCES = st.lists(
    st.sampled_from(["春", "天", "New", "York", "天天", "\u00ad", "x" * 9]), min_size=1, max_size=30
)


def example(words, tags, place="x:1"):
    return Example({"text": words.replace(" ", ""), "words": words, "tags": tags}, place)


@given(st.lists(SENTENCES, min_size=1, max_size=5), st.sampled_from([5, 7, 16]))
def test_every_word_is_predicted_once_at_its_first_piece(sentences, max_length):
    rows = [(words, list(range(len(words)))) for words in sentences]
    objective = Tagged(rows, WORDS, max_length)
    found = {}
    for i in range(objective.size):
        sample = objective.at(i, i)
        assert sample.encoder is not None and len(sample.encoder) <= max_length
        assert objective.lengths(objective.order.take([i]) * 0 + i)[0, 1] == 0
        row, start = objective.sentence[i]
        goal = sample.goals["tag"]
        assert len(goal.places) == len(goal.values) and list(goal.places) == sorted(set(goal.places))
        for at, value in enumerate(goal.values.tolist()):
            assert value == start + at
            found[row, value] = found.get((row, value), 0) + 1
    assert found == {(row, at): 1 for row, (words, _) in enumerate(rows) for at in range(len(words))}


def model_for(task, d_model=12):
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=WORDS.size, d_model=d_model, num_heads=3, num_layers=1, num_types=2, max_length=16
    )
    model = Transformer(config)
    task.prepare(model)
    return model.eval()


def test_together_is_alone_and_a_long_sentence_is_answered_whole():
    train = [example("春 天 来 了", "B-X E-X O O"), example("春 天", "B-X E-X")]
    task = Tagging.of(train, 16)
    model = model_for(task)
    inputs = [{"words": " ".join(["春"] * 50)}, {"words": "天 New York"}, {"text": "春天来了"}]
    together = task.answer(model, WORDS, inputs, Evaluate())
    alone = [task.answer(model, WORDS, [one], Evaluate())[0] for one in inputs]
    assert [len(answer["tags"]) for answer in together] == [50, 3, 4]
    for one, other in zip(together, alone, strict=True):
        assert one["tags"] == other["tags"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_it_learns_and_tells_entities(tmp_path):
    train = [
        example("春 天 来 了", "B-X E-X O O"),
        example("来 春 天", "O B-X E-X"),
        example("了 来", "O O"),
    ] * 4
    task = Tagging.of(train, 16)
    assert task.scheme == "BIOES" and task.metric == "entity_f1" and task.characters
    model = model_for(task)
    settings = Finetune(task="tagging", epochs=40, batch_tokens=64, learning_rate=1e-2, dropout=0.0)
    finetune(model, WORDS, task, train, settings, tmp_path, precision="float32")
    (answer,) = task.answer(model, WORDS, [{"text": "来春天了"}], Evaluate())
    assert answer["tags"] == ["O", "B-X", "E-X", "O"]
    assert answer["entities"] == [{"type": "X", "text": "春天", "begin": 1, "end": 3}]
    answers = task.evaluate(model, WORDS, train, Evaluate())
    assert task.score(answers, train) == {"entity_f1": 1.0, "accuracy": 1.0}
    again = Tagging.from_description(task.describe())
    assert again.describe() == task.describe()


def test_tags_without_a_scheme_are_scored_by_word():
    train = [example("春 天", "n n"), example("来 了", "v u")]
    task = Tagging.of(train, 16)
    assert task.scheme is None and task.metric == "accuracy"
    scores = task.score([{"label": "n v"}, {"label": "v u"}], train)
    assert scores["accuracy"] == 0.75 and 0 < scores["macro_f1"] < 1


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [("a b", "O", "x:1: 2 words and 1 tags"), ("a b", "O B-Y", "x:1: unknown tag 'B-Y'")],
)
def test_bad_examples_are_named(words, tags, message):
    task = Tagging.of([example("春 天", "B-X O")], 16)
    with pytest.raises(DataError, match=message):
        task.check([example(words, tags)])
    with pytest.raises(RequestError, match="empty"):
        task.answer(model_for(task), WORDS, [{"text": "  "}], Evaluate())


def test_conll_files(tmp_path):
    (tmp_path / "a.conll").write_text(
        "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n我 B-PER\n走\n\n在 O\n京 S-LOC\n",
        encoding="utf-8",
    )
    problems = []
    found = list(rows(Source(path="a.conll"), tmp_path, errors="skip", problems=problems))
    assert [row.values for row in found] == [
        {"text": "EU rejects", "words": "EU rejects", "tags": "B-ORG O"},
        {"text": "在京", "words": "在 京", "tags": "O S-LOC"},
    ]
    assert [row.place for row in found] == ["a.conll:3", "a.conll:9"]
    assert [str(problem) for problem in problems] == ["a.conll:7: no tag after '走'"]
    settings = Finetune(task="tagging", train=[Source(path="a.conll")], test=[Source(path="a.conll")])
    with pytest.raises(DataError, match="no usable example"):
        read_examples(settings, Tagging.needed, base=tmp_path)


def tagged(folder, lines, name="a.jsonl", **section):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = Finetune(task="tagging", train=[Source(path=name)], test_share=0.5, **section)
    how = {"optional": Tagging.optional, "from_row": Tagging.from_row}
    return read_examples(settings, Tagging.needed, base=folder, **how)


def test_lists_of_words_and_tags_are_read_item_by_item(tmp_path):
    listed = [json.dumps({"words": [f"Ada{i}", "lives"], "tags": ["B-PER", "O"]}) for i in range(20)]
    spaced = [json.dumps({"words": f"Ada{i} lives", "tags": "B-PER O"}) for i in range(20)]
    columns = [json.dumps({"tokens": [f"Ada{i}", "lives"], "ner_tags": [1, 0]}) for i in range(20)]
    python = ["words,tags", *(f"\"['Ada{i}', 'lives']\",\"['B-PER', 'O']\"" for i in range(20))]
    found = tagged(tmp_path, listed)
    assert not +found.dropped and {e["tags"] for e in found.train + found.test} == {"B-PER O"}
    assert all(e["words"] == e["text"] and e["words"].endswith(" lives") for e in found.train)
    assert Tagging.of(found.train, 16).scheme == "BIO"
    for others in (tagged(tmp_path, spaced), tagged(tmp_path, python, "a.csv")):
        assert [e.values for e in others.train] == [e.values for e in found.train]
    found = tagged(tmp_path, columns, fields={"words": "tokens", "tags": "ner_tags"})
    assert {e["tags"] for e in found.train} == {"1 0"}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"words": ["New York", "is"], "tags": ["B", "O"]}, "word 1, 'New York', has a space in it"),
        ({"words": ["a", "b"], "tags": ["O"]}, "2 words and 1 tags"),
        ({"words": ["a", ""], "tags": ["O", "O"]}, "word 2, '', is empty"),
        ({"words": ["a", "b"], "tags": ["O", None]}, "tag 2 is null"),
        ({"words": "['a' 'b']", "tags": "['O' 'O']"}, "are no whole list"),
        ({"words": "a b", "tags": "[1 0]"}, "are no whole list"),
    ],
)
def test_lists_that_are_no_words_and_tags_are_named_by_line(tmp_path, row, what):
    good = [json.dumps({"words": [f"Ada{i}", "lives"], "tags": ["B-PER", "O"]}) for i in range(20)]
    found = tagged(tmp_path, [*good, json.dumps(row)])
    assert found.dropped["bad example"] == 1
    (problem,) = found.problems
    assert problem.startswith("a.jsonl:21: ") and what in problem


def test_brackets_and_quotation_marks_are_words(tmp_path):
    lines = [f"[ 1 ] word{i}" for i in range(20)]
    found = tagged(tmp_path, [json.dumps({"words": line, "tags": "O B O O"}) for line in lines])
    assert not +found.dropped and {e["words"] for e in found.train} <= set(lines)
    found = tagged(
        tmp_path, ["\n".join(f"{w} O" for w in f'[ "a" ] x{i}'.split()) + "\n" for i in range(9)], "b.conll"
    )
    assert not +found.dropped and found.train[0]["words"].startswith('[ "a" ] x')
