"""A saved model answers: every task, every mistake in what is asked of it."""

import json
import math

import pytest
import torch
from finetune_toys import LENGTH, network, sentences, vocabulary

import liju
from liju.errors import BundleError, RequestError
from liju.finetune import Classification, GenerationTask, TranslationTask, find_bundle, load, pretrained_task
from liju.hub import save_bundle

TASKS = {
    "classification": ("encoder", Classification(["a", "b", "c"], LENGTH)),
    "pairs": ("encoder", Classification(["a", "b"], LENGTH, pairs=True)),
    "last token": ("decoder", Classification(["a", "b"], LENGTH)),
    "translation": ("encdec", TranslationTask(LENGTH)),
    "generation": ("decoder", GenerationTask(LENGTH)),
    "fill-mask": ("encoder", pretrained_task("encoder", LENGTH)),
    "fill-span": ("encdec", pretrained_task("encdec", LENGTH)),
}


def saved(name, folder):
    family, task = TASKS[name]
    tokenizer = vocabulary(family)
    model = network(family, tokenizer)
    if hasattr(task, "prepare"):
        task.prepare(model)
    save_bundle(folder, model.eval(), tokenizer, task.describe(), {})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = load(saved(name, tmp_path_factory.mktemp("bundle") / "bundle"), device="cpu")
        return made[name]

    return get


def question(name):
    extra = {"pairs": {"pair": "cat sees dog"}}.get(name, {})
    marks = {"fill-mask": "[MASK] sees", "fill-span": "<extra_id_0> sees <extra_id_1>"}
    return {"text": f"{marks.get(name, 'red one')} blue bird", **extra}


@pytest.mark.parametrize("name", list(TASKS))
def test_one_answer_many_answers_and_none(models, name):
    model = models(name)
    one = model.predict(question(name))
    assert isinstance(one, dict) and ("label" in one or "text" in one)
    many = model.predict([question(name)] * 3)
    assert [{**answer, "score": 0, "scores": 0} for answer in many] == [{**one, "score": 0, "scores": 0}] * 3
    assert model.predict([]) == []
    json.dumps(one)  # plain values, for the server
    if name not in ("pairs",):
        assert model.predict(question(name)["text"]) == one


@pytest.mark.parametrize("name", ["translation", "generation"])
def test_an_answer_does_not_depend_on_what_stands_beside_it(models, name):
    model = models(name)
    texts = [*sentences(5, 3), " ".join(sentences(9, 4)), "red"]
    how = {"temperature": 0.9, "seed": 7} if name == "generation" else {"beam": 3}
    together = model.predict(texts, max_new_tokens=6, **how)
    assert together == [model.predict(text, max_new_tokens=6, **how) for text in texts]
    assert together == model.predict(texts[::-1], max_new_tokens=6, **how)[::-1]
    assert [answer.get("shortened", False) for answer in together] == [False] * 5 + [True, False]
    if name == "generation":
        assert together != model.predict(texts, max_new_tokens=6, temperature=0.9, seed=8)
        assert model.predict(["red"] * 2, temperature=2.0)[0] == model.predict("red", temperature=2.0)


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"txt": "a"}, "unknown field 'txt'"),
        ({}, "no text"),
        ({"text": 5}, "text: 5 is not a text"),
        (5, "5 is not a text"),
        (None, "None is not a text"),
    ],
)
def test_what_is_not_a_text_is_refused(models, name, item, says):
    with pytest.raises(RequestError, match=says) as caught:
        models(name).predict([question(name), item])
    assert caught.value.hint


def test_what_each_task_cannot_answer(models):
    for name in ("classification", "last token", "translation"):
        with pytest.raises(RequestError, match="the text is empty"):
            models(name).predict("  \n")
    with pytest.raises(RequestError, match="judges pairs"):
        models("pairs").predict("red one")
    with pytest.raises(RequestError, match="2 texts and 1 pairs"):
        models("pairs").predict(["a", "b"], pairs=["c"])
    assert models("pairs").predict("red", pairs="one") == models("pairs").predict(
        {"text": "red", "pair": "one"}
    )
    with pytest.raises(RequestError, match=r"no \[MASK\]"):
        models("fill-mask").predict("red one")
    with pytest.raises(RequestError, match="no <extra_id_0>"):
        models("fill-span").predict("red one")
    long = " ".join(sentences(9, 4))
    for name, mark in (("fill-mask", "[MASK]"), ("fill-span", "<extra_id_0>")):
        with pytest.raises(RequestError, match=f"the model takes {LENGTH}"):
            models(name).predict(f"{long} {mark}")
    assert models("classification").predict(long)["shortened"] is True
    assert "shortened" not in models("classification").predict("red")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("classification", {"beam": 2}, "unknown option 'beam'"),
        ("translation", {"beem": 2}, "unknown option 'beem'"),
        ("translation", {"temperature": 1.0}, "unknown option 'temperature'"),
        ("translation", {"beam": 0}, "beam: "),
        ("translation", {"beam": "two"}, "beam: "),
        ("generation", {"temperature": "hot"}, "temperature: 'hot'"),
        ("generation", {"temperature": math.inf}, "temperature: inf"),
        ("generation", {"temperature": -1.0}, "temperature"),
        ("generation", {"seed": -1}, "seed: -1"),
        ("generation", {"seed": True}, "seed: True"),
        ("generation", {"top_p": 0.0}, "top_p"),
        ("generation", {"top_k": 1.5}, "top_k: 1.5"),
        ("generation", {"max_new_tokens": 0}, "max_new_tokens: "),
    ],
)
def test_options_are_checked(models, name, options, says):
    with pytest.raises(RequestError, match=says):
        models(name).predict("red one", **options)


def test_options_are_described(models):
    described = models("generation").describe()
    assert described["options"]["temperature"] == 0.0 and described["family"] == "decoder"
    assert described["parameters"] == sum(p.numel() for p in models("generation").model.parameters())
    assert models("classification").describe()["options"] == {}
    assert models("classification").describe()["labels"] == ["a", "b", "c"]


def test_generate_writes_and_an_encoder_does_not(models):
    assert isinstance(models("generation").generate("red one", max_new_tokens=3), str)
    assert isinstance(models("translation").generate("red one", max_new_tokens=3), str)
    with pytest.raises(RequestError, match="does not write"):
        models("classification").generate("red")
    with pytest.raises(RequestError, match="5 is not a text"):
        models("generation").generate(5)


def test_logits_are_of_every_place(models):
    for name, count in (("fill-mask", 2), ("generation", 1)):
        model = models(name)
        logits = model.logits("red one")
        assert logits.shape == (len(model.tokenizer.encode("red one")) + count, model.tokenizer.size)
        assert not logits.requires_grad
    model = models("translation")
    target = "rot eins"
    assert model.logits("red one", target).shape[0] == len(model.tokenizer.encode(target)) + 1
    with pytest.raises(RequestError, match=f"the model takes {LENGTH}"):
        models("generation").logits(" ".join(sentences(9)))


def test_greedy_generation_follows_the_logits(models):
    model = models("generation")
    token = int(model.logits("red one")[-1].argmax())
    assert model.generate("red one", max_new_tokens=1) == model.tokenizer.decode([token])


# --- finding and loading


def run_of(folder, steps):
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"name": "x", "steps": steps}))
    return folder


def test_the_newest_model_of_a_run_is_found(tmp_path):
    run = run_of(tmp_path / "run", {"pretrain": "pretrain-1"})
    saved("fill-mask", run / "pretrain-1" / "bundle")
    assert find_bundle(run).parent.name == "pretrain-1" and liju.load(run).task == "fill-mask"
    saved("classification", run / "finetune-2" / "bundle")
    (run / "run.json").write_text(json.dumps({"steps": {"pretrain": "pretrain-1", "finetune": "finetune-2"}}))
    assert liju.load(str(run)).task == "classification"
    assert torch.equal(
        liju.load(run / "finetune-2/bundle").model.state_dict()["token.weight"],
        liju.load(run).model.state_dict()["token.weight"],
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": 5}', '{"steps": {"a": 5}}', "\ufeff{}"])
def test_a_torn_run_json_is_told(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BundleError, match=r"run\.json: cannot be read") as caught:
        load(tmp_path)
    assert "liju run writes it again" in caught.value.hint


def test_what_is_no_model(tmp_path):
    with pytest.raises(BundleError, match="neither a model folder nor a run directory"):
        load(tmp_path / "nothing")
    with pytest.raises(BundleError, match="neither a model folder nor a run directory"):
        load(__file__)
    with pytest.raises(BundleError, match="no trained model in this run yet"):
        load(run_of(tmp_path / "run", {"text": "text-1"}))
    bundle = saved("classification", tmp_path / "bundle")
    record = json.loads((bundle / "liju.json").read_text())
    record["task"]["name"] = "divination"
    (bundle / "liju.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match="divination"):
        load(bundle)
