"""SQuAD and CMRC: real leaderboard files, the official definitions by hand, and thresholds by trying all."""

from __future__ import annotations

import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import DataError, MissingExtra
from liju.evaluate import best_threshold, cmrc, cmrc_scores, squad, squad_scores
from liju.evaluate.metrics.chinese_answers import chinese_exact_match, chinese_f1, mixed_tokens

LEADERBOARD = {
    "BERT_ensemble_Google_AI_Language_": (86.21, 92.20),
    "Logistic_Regression_Baseline_Stanford_University_": (40.14, 50.98),
    "r_net+_ensemble_Microsoft_Research_Asia_": (82.47, 88.48),
}


@pytest.mark.parametrize("system", LEADERBOARD)
def test_leaderboard_files_have_their_published_scores(data, system):
    folder = data / "squad11-dev"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    with gzip.open(folder / "dev-v1.1.rebuilt.json.gz") as file:
        articles = json.load(file)["data"]
    with gzip.open(folder / "predictions" / f"{system}.json.gz") as file:
        given = json.load(file)
    questions = [q for article in articles for part in article["paragraphs"] for q in part["qas"]]
    assert len(questions) == 10570
    scores = squad(
        [given.get(q["id"], "") for q in questions], [[a["text"] for a in q["answers"]] for q in questions]
    )
    assert (100 * scores.exact, 100 * scores.f1) == pytest.approx(LEADERBOARD[system], abs=0.01)


def test_the_english_normalisation():
    exact, overlap = squad_scores(
        ["The  Broncos!", "a.b", "An apple, the pear", "theatre", "résumé"],
        [["broncos"], ["ab"], ["apple pear"], ["atre"], ["resume"]],
    )
    assert exact == [1, 1, 1, 0, 0]
    assert overlap == [1, 1, 1, 0, 0]


def test_f1_counts_a_repeated_word_as_often_as_both_have_it():
    assert squad_scores(["new new york"], [["new york york"]])[1] == [pytest.approx(2 / 3)]


def test_the_best_reference_counts_and_no_answer_is_right_where_there_is_none():
    exact, overlap = squad_scores(["x y", "", "x", ""], [["z", "x y", "x"], [], [], ["x"]])
    assert exact == [1, 1, 0, 0] and overlap == [1, 1, 0, 0]
    scores = squad(["x y", "", "x", ""], [["z", "x y", "x"], [], [], ["x"]])
    assert (scores.exact, scores.answered_exact, scores.unanswerable) == (0.5, 0.5, 0.5)
    assert (scores.answered_total, scores.unanswerable_total) == (2, 2)
    assert squad(["x"], [["x"]]).unanswerable is None


def test_an_answer_of_which_nothing_is_left_is_no_answer():
    assert squad_scores(["the!"], [[]]) == ([1.0], [1.0])
    assert squad_scores(["the", ""], [["the", "a cat"], ["..."]]) == ([0.0, 1.0], [0.0, 1.0])


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_the_threshold_is_the_best_of_all(rows):
    scores, sure, has = zip(*rows, strict=True)
    scores = [score if there else 0.0 for score, there in zip(scores, has, strict=True)]
    references = [["x"] if there else [] for there in has]

    def at(threshold):
        given = [
            (0.0 if there else 1.0) if s > threshold else score
            for score, s, there in zip(scores, sure, has, strict=True)
        ]
        return sum(given) / len(given)

    found = best_threshold(scores, sure, references)
    assert found.score == pytest.approx(at(found.threshold))
    assert found.score == pytest.approx(max(at(t) for t in (-math.inf, *sure)))


def test_chinese_is_cut_into_characters_and_english_into_words():
    assert mixed_tokens("2008年，iPhone 3G") == ["2008", "年", "iphone", "3g"]
    assert mixed_tokens("《A-B》") == ["ab"]
    assert mixed_tokens("占40%") == ["占", "40", "%"]
    assert mixed_tokens("  ") == []


def test_chinese_f1_wants_one_run_and_not_a_bag():
    # Common characters 3 of 3, but no run longer than 1 (SQuAD's bag would give 1).
    assert chinese_f1("三二一", "一二三") == pytest.approx(2 * 1 / 6)
    assert chinese_f1("曹雪芹写的", "作者曹雪芹") == pytest.approx(0.6)
    assert chinese_f1("", "曹雪芹") == 0
    assert chinese_exact_match("“红楼梦”。", "红楼梦") == 1
    # What the official list leaves out is left out, and what it does not, is not.
    assert chinese_exact_match("红楼梦;", "红楼梦") == 0


@given(st.text("一二三。，", max_size=6), st.text("一二三。，", min_size=1, max_size=6))
def test_chinese_f1_is_the_definition(answer, reference):
    got, want = mixed_tokens(answer), mixed_tokens(reference)
    runs = [got[i:j] for i in range(len(got)) for j in range(i + 1, len(got) + 1)]
    windows = [want[i:j] for i in range(len(want)) for j in range(i + 1, len(want) + 1)]
    longest = max((len(run) for run in runs if run in windows), default=0)
    expected = 2 * longest / (len(got) + len(want)) if longest else 0
    assert chinese_f1(answer, reference) == pytest.approx(expected)


def test_cmrc_takes_the_best_reference_and_its_own_answers_are_all_right(data):
    assert cmrc_scores(["曹雪芹", "无", ""], [["曹", "曹雪芹"], [], []]) == ([1, 0, 1], [1, 0, 1])
    path = data / "cmrc2018" / "cmrc2018_trial.squad.json.gz"
    if not path.exists():
        pytest.skip(f"no {path}")
    with gzip.open(path) as file:
        articles = json.load(file)["data"]
    known = [[a["text"] for a in q["answers"]] for x in articles for p in x["paragraphs"] for q in p["qas"]]
    scores = cmrc([answers[0] for answers in known], known)
    assert (scores.exact, scores.f1, scores.total) == (1, 1, 1002)


def test_mistakes_are_told(monkeypatch):
    with pytest.raises(DataError, match="question 1: its references are one text"):
        squad(["x"], ["x"])
    for metric in (squad, cmrc):
        with pytest.raises(DataError, match="1 answers for 2"):
            metric(["x"], [["x"], ["y"]])
    import sys

    monkeypatch.setitem(sys.modules, "nltk.tokenize", None)
    with pytest.raises(MissingExtra) as error:
        cmrc(["iPhone"], [["iPhone"]])
    assert error.value.hint == "pip install 'liju[evaluate]'"
    assert cmrc(["2008年"], [["2008年"]]).exact == 1
