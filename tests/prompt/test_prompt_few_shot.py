"""Examples in the prompt: which are chosen, by n-grams, by vectors or by chance, and how they are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toys import make

from liju.errors import RequestError
from liju.finetune import Embedding, Example, load
from liju.hub import save_bundle
from liju.prompt import FewShot, NgramSelector, RandomSelector, VectorSelector, classify

POOL = ["The soup was cold.", "The room was clean.", "The soup was hot.", "汤很冷。", "房间很干净。"]
LABELS = ["bad", "good", "good", "bad", "good"]


def rows(texts=POOL, labels=LABELS):
    return [
        Example({"text": t, "label": y}, f"x:{i}")
        for i, (t, y) in enumerate(zip(texts, labels, strict=True), 1)
    ]


def axes(texts):
    """Soup, rooms, and whatever else; the language is not seen."""
    kinds = [("soup", "汤"), ("room", "房间")]
    found = [[float(any(word in text for word in words)) for words in kinds] for text in texts]
    table = np.array([[*one, float(not any(one))] for one in found])
    return table / np.sqrt((table * table).sum(1, keepdims=True))


def noisy(texts):
    """The same vectors, moved as far as the company in a batch may move them: otherwise in every call."""
    table = axes(texts) + 1e-7 * np.random.default_rng(len(texts)).normal(size=(len(texts), 3))
    return table / np.sqrt((table * table).sum(1, keepdims=True))


def test_ngrams_see_spelling_and_vectors_meaning():
    assert NgramSelector(POOL)(["The soup was too hot."], 3) == [[2, 0, 1]]
    assert NgramSelector(POOL)(["汤不好喝，很冷。"], 1) == [[3]]
    # In another language: the n-grams know nothing, the vectors do.
    assert VectorSelector(POOL, axes)(["热汤"], 3) == [[0, 2, 3]]
    assert VectorSelector(POOL, axes)(["A room."], 2) == [[1, 4]]


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 35), st.integers(0, 2**31))
def test_vectors_choose_what_sorting_all_cosines_does(size, dimensions, k, seed):
    draw = np.random.default_rng(seed)
    # Whole numbers: several are equally near.
    table = draw.integers(-1, 2, (size + 3, dimensions)).astype(float) + 1e-9
    table /= np.sqrt((table * table).sum(1, keepdims=True))
    of = {f"text {i}": vector for i, vector in enumerate(table)}
    texts = list(of)
    pool, queries = texts[:size], texts[size:]
    chosen = VectorSelector(pool, lambda asked: np.array([of[text] for text in asked]))(queries, k)
    for query, found in zip(queries, chosen, strict=True):
        cosines = [round(float((of[text] * of[query]).sum()), 5) for text in pool]
        assert found == sorted(range(size), key=lambda at: (-cosines[at], at))[:k]


@pytest.mark.parametrize("kind", [NgramSelector, lambda t: VectorSelector(t, noisy), RandomSelector])
def test_each_query_is_answered_as_if_alone(kind):
    queries = ["A soup.", "汤", "A room.", "the soup was cold.", "Rooms", "汤很冷。 "]
    choose = kind(POOL)
    together = choose(queries, 4)
    assert together == [choose([query], 4)[0] for query in queries]
    assert together == kind(POOL)(queries, 4)
    assert [found[:2] for found in together] == choose(queries, 2)
    assert choose([], 3) == [] and choose(["a"], 0) == [[]]


def test_what_is_as_near_stands_in_the_order_of_the_pool():
    twice = [*POOL, *POOL]
    for selector in (VectorSelector(twice, noisy), NgramSelector(twice)):
        (found,) = selector(["The soup was cold!"], 10)
        assert found.index(0) < found.index(5) and found.index(2) < found.index(7)
    assert VectorSelector(twice, noisy)(["A soup!"], 6) == [[0, 2, 3, 5, 7, 8]]


@pytest.mark.parametrize("kind", [NgramSelector, lambda t: VectorSelector(t, axes), RandomSelector])
def test_no_query_is_among_its_own_examples(kind):
    for query in (POOL[0], "  the SOUP was\tcold. "):
        (found,) = kind(POOL)([query], 9)
        assert sorted(found) == [1, 2, 3, 4]
        (prompt,) = FewShot(rows(), kind(POOL), k=9).prompts([query])
        assert prompt.lower().count("cold") == 1


def test_chance_depends_on_the_seed_and_the_query():
    pool = [f"text {i}" for i in range(20)]
    draws = {tuple(RandomSelector(pool, seed)([query], 5)[0]) for seed in range(3) for query in "ab"}
    assert len(draws) == 6
    seen = {at for found in RandomSelector(pool)([f"query {i}" for i in range(50)], 3) for at in found}
    assert seen == set(range(20))


def test_a_model_of_vectors_is_a_selector(tmp_path):
    encoder = make(tmp_path / "encoder", "encoder")
    save_bundle(tmp_path / "pairs", encoder.model, encoder.tokenizer, Embedding(32).describe())
    loaded = load(tmp_path / "pairs", "cpu")
    queries = ["the waiter was kind", "汤"]
    cosines = loaded.embed(queries).astype(float) @ loaded.embed(POOL).astype(float).T
    found = VectorSelector(POOL, loaded)(queries, 5)
    assert found == np.argsort(-cosines, axis=1).tolist() and found[0] != found[1]
    assert VectorSelector(POOL, loaded.embed)(queries, 5) == found
    with pytest.raises(RequestError, match="a fill-mask model has no vectors"):
        VectorSelector(POOL, encoder)


@pytest.mark.parametrize(
    ("embed", "words"),
    [
        (lambda texts: np.ones(len(texts)), r"shape \[5\] for 5 texts"),
        (lambda texts: np.ones((3, 2)), r"shape \[3, 2\] for 5 texts"),
        (lambda texts: np.full((len(texts), 4), 0.4), "the length 0.8, not 1"),
        (lambda texts: np.full((len(texts), 4), np.nan), "the length nan, not 1"),
        (lambda texts: np.eye(5)[: len(texts), : len(texts)], "5 numbers each"),
    ],
)
def test_vectors_that_are_none_are_refused(embed, words):
    with pytest.raises(RequestError, match="vector") as error:
        VectorSelector(POOL, embed)(["汤"], 1)
    assert words.replace("\\", "") in f"{error.value} {error.value.hint}"


def test_the_nearest_stands_beside_the_query():
    shots = FewShot(rows(), VectorSelector(POOL, axes), k=2, between="\n\n", instruction="Good or bad?")
    (prompt,) = shots.prompts(["热汤"])
    assert prompt == "Good or bad?\n\nThe soup was hot. => good\n\nThe soup was cold. => bad\n\n热汤 =>"
    (talk,) = shots.messages(["热汤"])
    assert [one["role"] for one in talk] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [one["content"] for one in talk[-3:]] == ["The soup was cold. =>", "bad", "热汤 =>"]
    assert FewShot(rows(), VectorSelector(POOL, axes), k=0).prompts(["热汤"]) == ["热汤 =>"]


def test_the_farthest_go_where_the_prompt_is_too_long():
    selector = VectorSelector(POOL, axes)
    for limit in range(len("A soup. =>"), 120):
        (prompt,) = FewShot(rows(), selector, k=5, limit=limit).prompts(["A soup."])
        shots = prompt.split("\n")[:-1]
        assert len(prompt) <= limit and prompt.endswith("A soup. =>")
        whole = FewShot(rows(), selector, k=5).prompts(["A soup."])[0].split("\n")[:-1]
        assert shots == whole[len(whole) - len(shots) :]  # the nearest are kept
        if len(shots) < len(whole):
            assert len(whole[len(whole) - len(shots) - 1]) + 1 + len(prompt) > limit
    with pytest.raises(RequestError, match="query 1: 10 long without any example"):
        FewShot(rows(), selector, limit=9).prompts(["A soup."])
    words = FewShot(rows(), selector, k=5, limit=9, length=lambda text: len(text.split()))
    assert words.prompts(["A soup."])[0].split("\n")[0] == "The soup was cold. => bad"


def test_fields_are_named_and_never_read_as_forms():
    pairs = [Example({"text": "{label}", "pair": "}", "label": "{x}"}, "p:1")]
    selector = NgramSelector([pairs[0].input])
    shots = FewShot(pairs, selector, question="{text}|{pair} {{=>", answer="{label}")
    assert shots.prompts([{"text": "a", "pair": "{b}"}]) == ["{label}|} {=>{x}\na|{b} {=>"]
    with pytest.raises(RequestError, match="p:1: no field 'lable'") as error:
        FewShot(pairs, selector, answer="{lable}")
    assert error.value.hint == "did you mean 'label'?"
    with pytest.raises(RequestError, match="query 1: no field 'pair'"):
        shots.prompts(["a"])
    for form in ("{text", "{text:>9}", "{}", "{text.upper}"):
        with pytest.raises(RequestError, match=r"cannot be read|no field"):
            FewShot(pairs, selector, question=form)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(RequestError, match="of other texts than the examples"):
        FewShot(rows(), NgramSelector(POOL[1:]))
    with pytest.raises(RequestError, match="-1 examples"):
        NgramSelector(POOL)(["a"], -1)
    for call in (lambda: NgramSelector("abc"), lambda: NgramSelector(POOL)("abc", 1)):
        with pytest.raises(RequestError, match="is one text"):
            call()
    with pytest.raises(RequestError, match="is one query"):
        FewShot(rows(), NgramSelector(POOL)).prompts("abc")
    empty = [NgramSelector([]), VectorSelector([], axes), RandomSelector([])]
    assert all(selector(["a"], 3) == [[]] for selector in empty)
    assert FewShot([], NgramSelector([])).prompts(["a"]) == ["a =>"]


def test_a_model_classifies_by_what_stands_before(writer):
    shots = FewShot(rows(), NgramSelector(POOL), k=1, question="{text}")
    prompts = shots.prompts(["The soup was too cold.", "The room was too clean."])
    answers = classify(writer, prompts, ["good", "bad"])
    assert [a["label"] for a in answers] == [
        a["label"] for prompt in prompts for a in classify(writer, [prompt], ["good", "bad"])
    ]
    assert all(set(a["scores"]) == {"good", "bad"} for a in answers)
