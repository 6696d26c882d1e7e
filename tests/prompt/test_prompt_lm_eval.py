"""lm-eval's questions answered by hand, and lm-eval itself on a task of ours where it is installed."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.errors import MissingExtra, RequestError
from liju.evaluate import choice_scores
from liju.prompt import lm_eval as ours
from liju.prompt.lm_eval import HarnessAnswers, windows
from liju.prompt.reading import read_rows

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-eval is not installed (pip install 'liju[lm-eval]')",
)


def asked(*args):
    return SimpleNamespace(args=args)


@given(st.integers(0, 40), st.integers(1, 9))
def test_every_token_is_scored_once_with_as_much_before_it_as_fits(length, longest):
    tokens = list(range(length))
    parts = list(windows(tokens, -1, longest))
    assert [token for _, scored in parts for token in scored] == tokens
    for before, scored in parts:
        assert before and len(before) + len(scored) <= longest + 1
        assert before == ([-1] if scored[0] == 0 else tokens[scored[0] - len(before) : scored[0]])
    if len(parts) > 1:
        assert all(len(before) + len(scored) == longest + 1 for before, scored in parts)


def test_likelihoods_are_those_of_the_score_and_of_whole_rows(writer):
    answers = HarnessAnswers(writer)
    context, texts = "the room was", [" clean", " rude and cold", " 很好"]
    found = answers.loglikelihood([asked(context, text) for text in texts])
    for (nats, greedy), score in zip(found, writer.score(context, texts), strict=True):
        assert nats == pytest.approx(score.logprob, abs=1e-4) and greedy == score.greedy
    # Another question in between changes nothing.
    mixed = answers.loglikelihood([asked(context, texts[0]), asked("房间", "干净"), asked(context, texts[1])])
    assert mixed[0][0] == pytest.approx(found[0][0], abs=1e-4)
    assert mixed[2][0] == pytest.approx(found[1][0], abs=1e-4)
    assert answers.shortened == 0


def test_what_is_written_greedily_is_greedy(writer):
    answers, tokenizer, found = HarnessAnswers(writer), writer.tokenizer, []
    for prompt in ("the soup", "the room was", "房间", "def f", "the waiter", "cold", "kind", "很好"):
        (text,) = answers.generate_until([asked(prompt, {"until": [], "max_gen_toks": 1})])
        assert text == writer.generate([prompt], max_new_tokens=1)[0].text
        whole = tokenizer.encode(prompt + text)
        if text and whole[:-1] == tokenizer.encode(prompt):  # cut as it was written
            found += [answers.loglikelihood([asked(prompt, one)])[0][1] for one in (text, "?")]
    assert found and found == [True, False] * (len(found) // 2)


def test_a_text_by_itself_is_read_whole(writer):
    answers = HarnessAnswers(writer)
    text = "the room was clean"
    ids = [*answers.start, *writer.tokenizer.encode(text)]
    want = sum(score.logprob for score in read_rows(writer.model, [ids])[0][1:])
    assert answers.loglikelihood_rolling([asked(text)]) == [pytest.approx(want, abs=1e-4)]
    # After nothing a continuation is a text by itself.
    assert answers.loglikelihood([asked("", text)])[0][0] == pytest.approx(want, abs=1e-4)
    long = " ".join([text] * 20)  # several windows
    assert len(writer.tokenizer.encode(long)) > writer.limit
    assert answers.loglikelihood_rolling([asked(long)])[0] < want


def test_a_context_that_is_too_long_is_shortened_from_the_left(writer):
    answers = HarnessAnswers(writer)
    long = "the waiter was rude " * 30
    (short,) = answers.loglikelihood([asked(long, " indeed")])
    ids, ends = writer.tokenizer.encode_with_ends(long + " indeed")
    cut = sum(end <= len(long) for end in ends)
    row = ids[-writer.limit - 1 :]  # the last token is scored and not read
    want = sum(s.logprob for s in read_rows(writer.model, [row])[0][len(row) - (len(ids) - cut) :])
    assert short[0] == pytest.approx(want, abs=1e-4) and answers.shortened == 1
    answers.generate_until([asked(long, {"until": "x", "max_gen_toks": 3})])
    assert answers.shortened == 2
    with pytest.raises(RequestError, match="a continuation of"):
        answers.loglikelihood([asked("a", long)])
    with pytest.raises(RequestError, match="no token to score"):
        answers.loglikelihood([asked("a", "")])


def test_an_encoder_decoder_answers_its_source(translator):
    answers = HarnessAnswers(translator)
    ((nats, _),) = answers.loglikelihood([asked("the room", "房间")])
    assert nats == pytest.approx(translator.score("the room", ["房间"])[0].logprob)
    assert answers.generate_until([asked("the room", {"until": ["\n"], "max_gen_toks": 3})])
    with pytest.raises(RequestError, match="no likelihood of a text alone"):
        answers.loglikelihood_rolling([asked("a")])


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    ours.adapter.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtra) as error:
        ours.LijuLM
    assert error.value.hint == "pip install 'liju[lm-eval]'"
    with pytest.raises(AttributeError, match="no attribute 'LijuML'"):
        ours.LijuML


TASK = """
task: liju_toy_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
target_delimiter: ""
metric_list: [{{metric: acc}}, {{metric: acc_norm}}, {{metric: acc_bytes}}]
"""


@needs_lm_eval
@pytest.mark.filterwarnings("ignore")
def test_lm_eval_and_our_own_multiple_choice_agree(writer, tmp_path):
    import json

    import lm_eval
    from lm_eval.tasks import TaskManager

    rows = [
        {"question": "the room was", "choices": [" clean", " rude", " 很好"], "gold": 0},
        {"question": "the soup was", "choices": [" cold", " kind and clean", "，"], "gold": 1},
        {"question": "房间", "choices": ["很干净", "cold", "x"], "gold": 2},
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "toy.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = lm_eval.simple_evaluate(
        ours.LijuLM(writer), tasks=["liju_toy_choice"], task_manager=manager, bootstrap_iters=0
    )["results"]["liju_toy_choice"]
    scores = choice_scores(
        [[s.logprob for s in writer.score(row["question"], row["choices"])] for row in rows],
        [row["choices"] for row in rows],
        [row["gold"] for row in rows],
    )
    assert found["acc,none"] == pytest.approx(scores.accuracy)
    assert found["acc_norm,none"] == pytest.approx(scores.accuracy_by_character)
    assert found["acc_bytes,none"] == pytest.approx(scores.accuracy_by_byte)


@needs_lm_eval
@given(st.integers(0, 40), st.integers(1, 9))
def test_windows_are_lm_evals(length, longest):
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    tokens = list(range(length))
    theirs = [make_disjoint_window(pair) for pair in get_rolling_token_windows(tokens, -1, longest, 1)]
    assert list(windows(tokens, -1, longest)) == [(list(a), list(b)) for a, b in theirs]
