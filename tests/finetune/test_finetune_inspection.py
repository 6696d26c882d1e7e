"""What is found in labelled examples before training, and parts that leak nothing."""

import random

import pytest
from finetune_toys import examples, labelled, sentences, settings, vocabulary
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError
from liju.finetune import Classification, Example, ExampleSet
from liju.finetune.duplicates import clusters, letters, near_pairs
from liju.finetune.folds import fold_numbers
from liju.finetune.inspection import doubtful, inspect, told

LONG = [
    "The quick brown fox jumps over the lazy dog near the old river bank at noon",
    "A slow green turtle walks under the tall tree far from the busy road today",
    "北京的秋天很美，香山的红叶吸引了很多游客前来观赏和拍照留念",
]


def changed(text, seed=0):
    """The text with one character changed, its case and its spaces."""
    draw = random.Random(seed)
    at = draw.randrange(len(text))
    return (text[:at] + "x" + text[at + 1 :]).upper().replace(" ", "  ")


def test_near_duplicates_are_found_in_both_languages():
    texts = [*LONG, LONG[0].upper() + "!", changed(LONG[1]), changed(LONG[2], 3)]
    found = {(one, other): alike for one, other, alike in near_pairs(texts)}
    assert found.pop((0, 3)) == 1.0
    assert (1, 4) in found and all(0.8 <= alike < 1 for alike in found.values())
    assert not {(0, 1), (0, 2), (1, 2)} & found.keys()
    assert clusters(["", "", *texts])[:2] == [0, 1]  # what has no letters is like nothing


@given(st.lists(st.text("ab c!", max_size=12), max_size=20))
def test_texts_of_the_same_letters_are_in_one_cluster(texts):
    of = clusters(texts)
    for i, one in enumerate(texts):
        for j, other in enumerate(texts[:i]):
            if letters(one) and letters(one) == letters(other):
                assert of[i] == of[j]


@given(st.integers(2, 5), st.integers(0, 99))
def test_parts_hold_every_example_out_once_and_no_duplicate_on_both_sides(count, seed):
    base = labelled(30, seed)
    twins = [
        Example({**e.values, "text": e["text"].upper() + " !"}, f"t:{i}") for i, e in enumerate(base[::3])
    ]
    rows = [*base, *twins]
    numbers = fold_numbers(rows, count)
    assert set(numbers) == set(range(count)) and len(numbers) == len(rows)
    part = {}
    for example, number in zip(rows, numbers, strict=True):
        assert part.setdefault(letters(example["text"]), number) == number
    sizes = [numbers.count(one) for one in range(count)]
    assert max(sizes) - min(sizes) <= 8  # clusters are not cut to even them out
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    again = fold_numbers([rows[i] for i in order], count)
    assert [again[order.index(i)] for i in range(len(rows))] == numbers


def test_labels_are_spread_over_the_parts():
    rows = examples(
        [
            {"text": f"{one} {i * i}", "label": "rare" if i % 6 == 0 else "usual"}
            for i, one in enumerate(sentences(60))
        ]
    )
    numbers = fold_numbers(rows, 5)
    rare = [
        sum(n == part and e["label"] == "rare" for n, e in zip(numbers, rows, strict=True))
        for part in range(5)
    ]
    assert rare == [2, 2, 2, 2, 2]


def test_more_parts_than_examples_are_refused():
    with pytest.raises(DataError, match="2 distinct examples cannot be held out in 3 parts"):
        fold_numbers(examples([{"text": t, "label": "a"} for t in ("a", "A!", "b", "b ")]), 3)


def test_wrong_labels_are_among_the_first_that_are_doubted():
    """Words that say everything: most of the flipped labels are found, and few others before them."""
    words = {"good": ["fine", "great", "lovely"], "bad": ["awful", "poor", "dull"]}
    draw, rows, wrong = random.Random(2), [], set()
    for i in range(300):
        label = ["good", "bad"][i % 2]
        thing = draw.choice(["room", "food", "film", "day"])
        text = f"{draw.choice(words[label])} {thing} {draw.choice(words[label])} {draw.randrange(1000)}"
        if draw.random() < 0.06:
            wrong.add(f"toy:{i + 1}")
            label = ["bad", "good"][i % 2]
        rows.append({"text": text, "label": label})
    found = doubtful(examples(rows))
    first = {one["place"] for one in found["examples"]}
    assert len(first) == 20 and len(first & wrong) >= 18
    assert found["accuracy"] > 0.9 and abs(found["count"] - len(wrong)) <= 3


def test_the_look_names_every_kind_by_file_and_line():
    train = labelled(60)
    twin = {
        "text": train[0]["text"].upper() + "!",
        "label": "plain" if train[0]["label"] != "plain" else "colourful",
    }
    train = [*train, Example(twin, "toy:99")]
    test = [
        Example({"text": train[5]["text"] + " ?", "label": train[5]["label"]}, "test:7"),
        *labelled(9, 77),
    ]
    tokenizer = vocabulary("encoder")
    found = inspect(ExampleSet(train, test), tokenizer, 6)
    assert found["between"]["same"] >= 1
    assert {"place": "test:7", "other": train[5].place, "alike": 1.0}.items() <= found["between"]["examples"][
        0
    ].items()
    assert (
        found["contradictions"]["count"] == 1 and "toy:99" in found["contradictions"]["examples"][0]["places"]
    )
    objective = Classification.of(train, 6).objective(train, tokenizer, settings(), 0)
    assert found["lengths"]["over"] == sum(objective.shortened)
    lines = "\n".join(told(found))
    assert "over the 6 of model.max_length" in lines and "same words, another label: 1" in lines
    assert "labels: " in lines and "test:7" in lines


def test_a_task_without_labels_is_looked_at_too():
    rows = examples([{"source": s, "target": s[::-1]} for s in sentences(20)])
    found = inspect(ExampleSet(rows, rows[:2]), vocabulary("encdec"), 32)
    assert found["labels"] == {} and "doubtful" not in found and found["between"]["same"] == 2
    assert len(told(found)) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"words": "Ada lives", "tags": "B-PER O"}, {"words": "Ada lives .", "tags": "O O O"}),
        ({"labels": '["a"]'}, {"labels": "[]"}),
        ({"score": "1"}, {"score": "2"}),
    ],
    ids=["tags", "labels", "score"],
)
def test_answers_of_other_kinds_contradict_each_other_too(one, other):
    copy = {**one, "words": "Ada lives !", "tags": "B-PER O O"} if "tags" in one else one
    texts = zip(("Ada lives", "Ada lives .", "Ada lives!"), (one, other, copy), strict=True)
    train = [Example({"text": text, **values}, f"x:{i}") for i, (text, values) in enumerate(texts, 1)]
    tokenizer = vocabulary("encoder")
    found = inspect(ExampleSet(train, train[:1]), tokenizer, 16)
    assert found["contradictions"]["count"] == 1
    assert "same words, another answer: 1, e.g. x:1 " in "\n".join(told(found))
    found = inspect(ExampleSet([train[0], train[2]], train[:1]), tokenizer, 16)
    assert found["contradictions"]["count"] == 0


def test_labels_that_may_be_one_or_none_are_told():
    names = ["True", "true", "1", "1.0", "nan", "good", "fine"]
    train = examples([{"text": text, "label": names[i % 7]} for i, text in enumerate(sentences(28))])
    lines = told(inspect(ExampleSet(train, train[:1]), vocabulary("encoder"), 16))
    assert "labels that may be one: 'True' 4, 'true' 4" in lines
    assert "labels that may be one: '1' 4, '1.0' 4" in lines
    assert "a label that may mean that there is none: 'nan' 4" in lines
