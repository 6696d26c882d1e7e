"""Text to text: long sources are shortened and named, and a decoder learns the target alone."""

from __future__ import annotations

import json

import pytest
from finetune_toys import LENGTH, NAMES, WORDS, examples, network, sentences, translated, tuned
from finetune_toys import vocabulary as words

from liju.config import Evaluate, Finetune, Vocab
from liju.errors import DataError, RequestError
from liju.finetune import Example, GenerativeAnswering, SummarisationTask, TranslationTask, load
from liju.finetune.summarisation import lead
from liju.hub import save_bundle
from liju.prompt import LocalModel
from liju.vocab import train

HOW = Evaluate(beam=2, max_new_tokens=6)


def vocabulary():
    """A decoder's, with the roles of a conversation as words."""
    return train(["user\nassistant", " ".join(WORDS + NAMES)] * 20, Vocab(size=440), "decoder")


def first_words(count, seed=0):
    return examples([{"text": s, "summary": " ".join(s.split()[:1])} for s in sentences(count, seed)])


@pytest.mark.parametrize("family", ["encdec", "decoder"])
def test_summaries_are_learned(tmp_path, family):
    rows = first_words(90)
    task = SummarisationTask.of(rows, LENGTH + 8)
    tokens = vocabulary() if family == "decoder" else words(family)
    model = network(family, tokens, max_length=LENGTH + 8)
    how = {"epochs": 24, "batch_tokens": 120, "learning_rate": 4e-3}
    model, tokens, _ = tuned(task, family, rows[:80], tmp_path / "run", tokenizer=tokens, model=model, **how)
    answers = task.evaluate(model, tokens, rows[80:], HOW)
    assert task.score(answers, rows[80:])["rouge1"] > 0.3  # by chance: 0.08
    save_bundle(tmp_path / "bundle", model, tokens, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    text = rows[80]["text"]
    answer = loaded.predict(text, beam=1, max_new_tokens=6)["text"]
    # behind the chat endpoint the text is the user's message: read as in training
    assert LocalModel(loaded, chat=True).generate([text], max_new_tokens=6)[0].text == answer


@pytest.mark.parametrize("family", ["encdec", "decoder"])
def test_long_sources_keep_their_beginning_and_are_named(family):
    tokens = vocabulary() if family == "decoder" else words(family)
    model = network(family, tokens)
    rows = [
        Example({"text": "red cat", "summary": "rot"}, "a:1"),
        Example({"text": "one two " + "blue " * 40, "summary": "eins"}, "a:2"),
        Example({"text": "red", "summary": "blau " * 40}, "a:3"),
    ]
    task = SummarisationTask(LENGTH)
    task.prepare(model)
    objective = task.objective(rows, tokens, Finetune(), 0)
    assert (task.shortened, task.too_long, objective.size) == (["a:2"], ["a:3"], 2)
    samples = [objective.sample(number) for number in range(2)]
    assert max(max(sample.lengths) for sample in samples) <= LENGTH
    read = [tokens.decode(s.encoder if s.encoder is not None else s.decoder) for s in samples]
    assert any("one two blue blue" in text for text in read)
    targets = {tokens.decode(sample.goals["words"].values, special=True) for sample in samples}
    assert targets == {"rot</s>", "eins</s>"}
    answers = task.evaluate(model, tokens, rows[:2], HOW)
    assert [answer.get("shortened", False) for answer in answers] == [False, True]
    with pytest.raises(DataError, match="every pair"):
        task.objective(rows[2:], tokens, Finetune(), 0)
    # half a sentence has no translation: such pairs are left out
    pairs = [*translated(3), Example({"source": "blue " * 40, "target": "blau"}, "b:9")]
    other = TranslationTask(LENGTH)
    other.prepare(model)
    other.objective(pairs, tokens, Finetune(), 0)
    assert (other.shortened, other.too_long) == ([], ["b:9"])


def test_answers_of_every_form():
    task = GenerativeAnswering
    row = {"question": " Who? ", "context": "Ada lives."}
    forms = {
        "answer": ("Ada", ["Ada"]),
        "answers": (json.dumps(["Ada", "Ada", "A."]), ["Ada", "A."]),
        "answers ": (json.dumps({"text": ["Ada"], "answer_start": [0]}), ["Ada"]),
        "answers  ": (json.dumps([{"text": "Ada", "answer_start": 0}]), ["Ada"]),
        "answers   ": ("[]", []),
        "answers    ": ("Ada", ["Ada"]),
    }
    for name, (value, wanted) in forms.items():
        values, _ = task.from_row({**row, name.strip(): value})
        assert json.loads(values["answers"]) == wanted and values["question"] == "Who?"
        assert task(LENGTH).target(values) == (wanted[0] if wanted else "")
    with pytest.raises(DataError, match="no answer"):
        task.from_row(row)
    with pytest.raises(DataError, match="answers is"):
        task.from_row({**row, "answers": "[7]"})


def test_answers_are_scored_as_squad_and_cmrc():
    def row(*answers):
        return Example({"question": "q", "context": "c", "answers": json.dumps(answers)}, "x:1")

    task = GenerativeAnswering(LENGTH)
    rows = [row("Denver Broncos", "Denver"), row()]
    assert task.score([{"text": "the denver"}, {"text": ""}], rows) == {"answer_f1": 1.0, "exact": 1.0}
    assert task.right({"text": "x"}, rows[1]) is False
    chinese = [row("房间很干净")]
    assert 0.4 < task.score([{"text": "房间干净"}], chinese)["answer_f1"] < 1


def test_the_question_is_read_first_and_both_must_be_there():
    tokens = words("encdec")
    model = network("encdec", tokens)
    task = GenerativeAnswering(LENGTH)
    values = {"question": "red?", "context": "blue " * 40, "answers": '["blau"]'}
    objective = task.objective([Example(values, "a:1")], tokens, Finetune(), 0)
    assert tokens.decode(objective.sample(0).encoder).startswith("red?\nblue")
    assert task.shortened == ["a:1"]
    for asked, told in (({"question": " "}, "question"), ({"question": "red?"}, "from a text")):
        with pytest.raises(RequestError, match=told):
            task.answer(model, tokens, [asked], HOW)


def test_simple_systems():
    rows = first_words(12)
    task = SummarisationTask(LENGTH)
    found = {one.name: one.answers() for one in task.baselines(("majority", "ngram"), rows[:10], rows[8:])}
    assert found["lead-3"][0]["text"] == rows[8]["text"]
    assert found["nearest"][0]["text"] == rows[8]["summary"]
    assert lead("房间很干净。服务好。饭菜香。价格高。") == "房间很干净。服务好。饭菜香。"
    asked = examples(
        [
            {"question": w, "context": "c", "answers": json.dumps([n])}
            for w, n in zip(WORDS, NAMES, strict=True)
        ]
    )
    found = GenerativeAnswering(LENGTH).baselines(("majority", "retrieval"), [*asked, asked[3]], asked[:2])
    assert [[a["text"] for a in one.answers()] for one in found] == [["eins", "eins"], NAMES[:2]]
