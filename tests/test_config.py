"""The project file: what is read, and what is told about what is wrong."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju import config
from liju.config import Evaluate, Finetune, Model, Pretrain, Project, Serve, Source, Text, Vocab, documented
from liju.config.lines import key_lines
from liju.config.sections import SMOOTHED, TASKS_OF, is_section
from liju.errors import ConfigError
from liju.project.parts import check_model

SECTIONS = {"text": Text, "vocab": Vocab, "model": Model, "pretrain": Pretrain, "finetune": Finetune}
SECTIONS |= {"evaluate": Evaluate, "serve": Serve}


def problems(text, overrides=(), checks=()):
    with pytest.raises(ConfigError) as caught:
        config.parse(text, overrides, checks)
    return caught.value.problems


def test_every_mistake_at_once_with_its_line():
    text = """
name = "a/b"
[text]
min_character = 3
[model]
d_model = 250
num_heads = 4
family = "decoder"
[pretrain]
steps = "many"
objective = "masked"
[finetune]
task = "translation"
trainable = "top"
"""
    found = problems(text)
    assert [(where, message.split(":")[0]) for where, message, _ in found] == [
        ("liju.toml:2", "name"),
        ("liju.toml:4", "text.min_character"),
        ("liju.toml:7", "model.num_heads"),
        ("liju.toml:10", "pretrain.steps"),
        ("liju.toml:11", "pretrain.objective"),
        ("liju.toml:12", "finetune.train"),
        ("liju.toml:13", "finetune.task"),
        ("liju.toml:14", "finetune.trainable"),
    ]
    assert found[1][2] == "did you mean 'min_characters'?"
    assert "'many'" in found[3][1]
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert str(caught.value).count("\n") == 7  # all of them are in the message too


@pytest.mark.parametrize("section", ["", *SECTIONS])
def test_a_misspelt_key_of_every_section_is_named(section):
    kind = SECTIONS.get(section, Project)
    for key in kind.model_fields:
        if section or not is_section(Project.model_fields[key]):
            wrong = key[:2] + key[3:] if len(key) > 4 else key + "x"
            header = f"[{section}]\n" if section else ""
            ((where, message, hint),) = problems(f"{header}{wrong} = 1")
            assert where == f"liju.toml:{2 if section else 1}"
            assert "unknown key" in message and hint == f"did you mean {key!r}?"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[text.sources]]\npath = "a"\n\n[[text.sources]]\npath = "b"\nformt = "lines"', 6),
        ('[text]\nsources = ["a", {path = "b", formt = "lines"}]', 2),
        ('[text]\nsources = [\n  "a",  # [[x]]\n  {path = "b]", formt = "lines"},\n]', 4),
        ('text.sources = [\n"""a\nb""",\n{path = \'b\', "formt" = "lines"}]', 4),
    ],
)
def test_a_misspelt_key_inside_a_list_is_named_with_its_own_line(text, line):
    ((where, message, hint),) = problems(text)
    assert (where, hint) == (f"liju.toml:{line}", "did you mean 'format'?")
    assert message == "text.sources.1.formt: unknown key"


def test_a_key_of_another_section_is_told_where_it_belongs():
    ((_, _, hint),) = problems("[pretrain]\nd_model = 8")
    assert hint == "it belongs to [model]"
    ((_, _, hint),) = problems("[pretrain]\nseed = 8")
    assert hint == "it belongs above the first section"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 5", "a text in quotes is needed, not 5"),
        ("seed = true", "a whole number is needed, not True"),
        ('[vocab]\nsize = "4000"', "a whole number is needed, not '4000'"),
        ("[vocab]\nsize = 299", "greater than or equal to 300, not 299"),
        ("[text]\nrepair = 1", "true or false is needed, not 1"),
        ('[text]\nsources = "notes.txt"', "a list is needed, not 'notes.txt'"),
        ("[text]\nsources = [7]", "a section or table is needed, not 7"),
        ('[text]\nsources = [{format = "csv"}]', "path: is missing"),
        ("[pretrain]\nlearning_rate = inf", "finite number, not inf"),
        ("[pretrain]\nlearning_rate = 0", "greater than 0, not 0"),
        ("[pretrain]\nsteps = 1e3", "a whole number is needed, not 1000.0"),
        ('[vocab]\nkind = "bpee"', "'bpe', 'wordpiece' or 'unigram', not 'bpee'"),
        ("model = 3", "a section or table is needed, not 3"),
        ('name = ".."', "should match pattern"),
        ('[text]\nsources = [""]', "at least 1 character"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_with_what_was_given(text, says):
    ((where, message, _),) = problems(text)
    assert says in message
    assert where == f"liju.toml:{len(text.splitlines())}"


def test_hints_of_wrong_values_can_be_copied():
    hints = {
        '[text]\nsources = "notes.txt"': 'write ["notes.txt"]',
        "[pretrain]\nsteps = 1e3": "write 1000",
        '[vocab]\nkind = "bpee"': "did you mean 'bpe'?",
    }
    for text, hint in hints.items():
        assert problems(text)[0][2] == hint


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[model]\nd_model = 10\nnum_heads = 4", "model.num_heads", "num_heads = 1"),
        ('[model]\nfamily = "encdec"\n[pretrain]\nobjective = "causal"', "pretrain.objective", "'denoising'"),
        ('[finetune]\ntask = "generation"\ntrain = ["a"]', "finetune.task", "family = 'decoder'"),
        ('[finetune]\ntask = "classification"', "finetune.train", "train = ["),
        ('[model]\nfamily = "decoder"\n[finetune]\ntask = "generation"', "finetune.train", "train = ["),
        ('[finetune]\ntrainable = "top-0"', "finetune.trainable", "top-2"),
        ("[pretrain]\nmicro_batch_tokens = 100", "pretrain.micro_batch_tokens", "at least 128"),
        (
            '[finetune]\ntask = "classification"\ntrain = ["a"]\n[evaluate]\nbaselines = ["retrieval"]',
            "evaluate.baselines",
            "leave it out",
        ),
        (
            '[finetune]\ntask = "classification"\ntrain = ["a"]\n[evaluate]\nbaselines = ["statistical"]',
            "evaluate.baselines",
            "leave it out",
        ),
    ],
)
def test_impossible_combinations(text, key, hint):
    ((where, message, told),) = problems(text)
    assert message.startswith(f"{key}: ") and hint in told
    starts = ("[finetune]",) if key == "finetune.train" else (f"{key.split('.')[1]} = ",)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith(starts))
    assert where == f"liju.toml:{line}"


TASK = '[finetune]\ntask = "classification"\ntrain = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (f"{TASK}label_smoothing = 0.1", "finetune.label_smoothing", "no effect on 'classification'"),
        (
            f"{TASK}muon_learning_rate = 0.02",
            "finetune.muon_learning_rate",
            "no effect with optimizer 'adamw'",
        ),
        ("[pretrain]\nmuon_learning_rate = 0.1", "pretrain.muon_learning_rate", "optimizer 'adamw'"),
        ('[model]\nfamily = "decoder"\n[pretrain]\nmask_rate = 0.3', "pretrain.mask_rate", "'causal'"),
        (f'{TASK}optimizer = "muon"\ntrainable = "lora-8"', "finetune.optimizer", "trainable 'lora-8'"),
        (f'{TASK}optimizer = "muon"\ntrainable = "head"', "finetune.optimizer", "whole matrices"),
        (f'{TASK}layer_decay = 0.8\ntrainable = "head"', "finetune.layer_decay", "no block is trained"),
        (f'{TASK}trainable = "top-99"', "finetune.trainable", "'top-99' of a model with 4 blocks"),
        (f'{TASK}trainable = "top-2"\n[model]\nnum_layers = 1', "finetune.trainable", "with 1 block$"),
    ],
)
def test_a_key_without_effect_is_told(text, key, says):
    ((where, message, told),) = problems(text)
    assert message.startswith(f"{key}: ") and re.search(says, message) and told
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith(f"{key.split('.')[1]} = "))
    assert where == f"liju.toml:{line}"


@pytest.mark.parametrize(
    "text",
    [
        f"{TASK}label_smoothing = 0.0\nmuon_learning_rate = 0.01\nlayer_decay = 1.0",  # what is usual
        f'{TASK}optimizer = "muon"\nmuon_learning_rate = 0.02\ntrainable = "top-2"',
        f'{TASK}trainable = "top-4"\nlayer_decay = 0.8',
        f'{TASK}trainable = "lora-8"\nlayer_decay = 0.8',
        '[model]\nfamily = "encdec"\nnum_layers = 2\nswitches = { num_decoder_layers = 6 }\n'
        '[finetune]\ntask = "translation"\ntrain = ["a"]\nlabel_smoothing = 0.1\ntrainable = "top-6"',
        "[finetune]\nlabel_smoothing = 0.1",  # there is no task
        f'{TASK}trainable = "top-9"\n[model]\npath = "somewhere"',  # of so many blocks as that has
    ],
)
def test_a_key_with_an_effect_is_taken(text):
    config.parse(text)


@pytest.mark.parametrize(
    ("text", "override", "reset"),
    [
        ('optimizer = "muon"\nmuon_learning_rate = 0.02', "optimizer=adamw", ["muon_learning_rate"]),
        (
            'optimizer = "muon"\nmuon_learning_rate = 0.02',
            "trainable=lora-8",
            ["optimizer", "muon_learning_rate"],
        ),
        ("layer_decay = 0.8", "trainable=head", ["layer_decay"]),
    ],
)
def test_an_override_takes_along_what_it_leaves_without_effect(text, override, reset):
    found = config.parse(f"{TASK}{text}", [f"finetune.{override}"]).finetune
    assert [getattr(found, name) for name in reset] == [getattr(Finetune(), name) for name in reset]


def test_an_override_without_effect_is_told():
    ((where, message, _),) = problems(TASK, ["finetune.muon_learning_rate=0.02"])
    assert "command line" in where and "has no effect" in message


def test_label_smoothing_is_for_the_tasks_that_use_it():
    """Each task's objective has what the section says, or nothing."""
    from liju.finetune import TASKS, Example
    from liju.objective.examples import tokenizer

    told = json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    spans = json.dumps([{"text": "b", "begin": 2, "end": 3}])
    values = {"text": "a b", "pair": "c", "labels": "x", "words": "a b", "tags": "O X", "messages": told}
    values |= {"source": "a", "target": "b", "question": "a", "context": "a b", "summary": "a"}
    for family, tasks in TASKS_OF.items():
        for name in tasks:
            own = {**values, "answers": spans if name == "answering" else '["b"]'}
            own = TASKS[name].from_row(own)[0] if name == "instruction" else own
            rows = [Example({**own, "score": f"{i}", "label": f"{i % 2}"}, f"x:{i}") for i in range(5)]
            task: Any = TASKS[name].of(rows, 64)
            task.decoder, task.encdec = family == "decoder", family == "encdec"
            found = task.objective(rows, tokenizer(family), Finetune(label_smoothing=0.1), 0)
            assert found.label_smoothing == (0.1 if name in SMOOTHED else 0.0), name


def test_what_a_wrong_value_makes_impossible_is_not_told_twice():
    assert len(problems('[model]\nd_model = 10\nnum_heads = "two"')) == 1
    assert len(problems("[model]\nd_model = 10\nnum_head = 5")) == 1
    assert len(problems('[finetune]\ntask = "classification"\ntrain = [{pth = "a"}]')) == 2  # and no path


def test_not_toml_has_a_line():
    ((where, message, _),) = problems('name = "a"\n[text\n')
    assert where == "liju.toml:2" and "not TOML" in message
    ((where, message, _),) = problems('name = "a"\n[text]\nsources = ["a",')
    assert where == "liju.toml:3"
    ((where, message, _),) = problems('seed = 1\nname = "a"\nseed = 2')
    assert where == "liju.toml:3"


def test_overrides_win_whatever_the_order():
    text = '[pretrain]\nsteps = "many"\n[model]\nfamily = "encoder"'
    for overrides in (
        ["pretrain.steps=7", "model.family=decoder", "name=7"],
        ["name=7", "model.family=decoder", "pretrain.steps=3", "pretrain.steps=7"],
    ):
        project = config.parse(text, overrides)
        assert (project.pretrain.steps, project.model.family, project.name) == (7, "decoder", "7")
        assert project.pretrain.objective == "causal"
    project = config.parse('[text]\nsources = ["a"]', ['text.sources=["b", {path="c", format="lines"}]'])
    assert project.text.sources == [Source(path="b"), Source(path="c", format="lines")]
    assert config.parse("", ["model.switches={activation='relu'}"]).model.switches == {"activation": "relu"}
    assert config.parse("", ["text.field=a=b"]).text.field == "a=b"


@pytest.mark.parametrize(
    ("override", "says", "hint"),
    [
        ("pretrain.step=7", "pretrain.step: unknown key", "did you mean 'steps'?"),
        ("pretrian.steps=7", "pretrian: unknown key", "did you mean 'pretrain'?"),
        ("pretrain.steps=seven", "pretrain.steps: a whole number is needed, not 'seven'", ""),
        ("pretrain.steps", "pretrain.steps: an override is section.key=value", ""),
        ("=7", ": an override is section.key=value", ""),
        ("name.x=7", "name.x: 'name' is not a section", "an override replaces a whole value: key=value"),
        ("text.sources=a.txt", "text.sources: a list is needed, not 'a.txt'", 'write ["a.txt"]'),
    ],
)
def test_a_wrong_override_is_told_as_such(override, says, hint):
    assert problems('name = "a"\n[pretrain]\nsteps = 5', [override]) == [("command line", says, hint)]


def test_a_mistake_within_an_override_is_not_laid_on_the_file():
    text = '[text]\nsources = ["a", {path = "b"}]'
    ((where, message, _),) = problems(text, ['text.sources=["c", {path="d", formt="lines"}]'])
    assert (where, message) == ("command line", "text.sources.1.formt: unknown key")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="no such file") as caught:
        config.read(tmp_path / "liju.toml")
    assert "liju new" in caught.value.hint
    (tmp_path / "liju.toml").write_bytes("name = 'ä'".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 8"):
        config.read(tmp_path)  # a folder means its liju.toml
    with pytest.raises(ConfigError, match="Not a directory"):
        config.read(tmp_path / "liju.toml" / "x.toml")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "liju.toml").write_text('name = "例句"\n', encoding="utf-8-sig")
    assert config.read(tmp_path).name == "例句"


@pytest.mark.parametrize(
    ("switches", "key", "hint"),
    [
        ('{activaton = "relu"}', "activaton", "did you mean 'activation'?"),
        ("{d_model = 64}", "d_model", "set model.d_model"),
        ("{vocab_size = 64}", "vocab_size", "set vocab.size"),
        ('{num_kv_heads = "2"}', "num_kv_heads", ""),
        ("{pooler = 1}", "pooler", ""),
    ],
)
def test_switches_are_checked_by_name(switches, key, hint):
    found = problems(f"[model]\nswitches = {switches}", checks=[check_model])
    assert [(where, message.split(":")[0], told) for where, message, told in found] == [
        ("liju.toml:2", f"model.switches.{key}", hint)
    ]


def test_switches_that_do_not_fit_together_are_told_with_the_rest():
    found = problems(
        "[model]\nswitches = {position = 'rope', d_k = 3}\n[pretrain]\nstep = 1", (), [check_model]
    )
    assert [where for where, _, _ in found] == ["liju.toml:1", "liju.toml:4"]
    assert "must be even" in found[0][1]
    assert config.parse("[model]\nswitches = {softcap = 30, qkv_bias = true}", (), [check_model])


# --- the way back

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
counts = st.integers(1, 10**6)
rates = st.floats(1e-6, 0.9)
sources = st.builds(
    Source,
    path=words,
    format=st.sampled_from(["auto", "lines", "csv"]),
    columns=st.lists(words, max_size=3),
    label=words,
    licence=st.just(""),
)
projects = st.builds(
    Project,
    name=st.just("第-1.x"),
    out=words,
    seed=st.integers(0, 2**63),
    text=st.builds(Text, sources=st.lists(sources, max_size=4), field=words, repair=st.booleans()),
    model=st.builds(
        Model,
        switches=st.dictionaries(
            words, st.one_of(words, counts, rates, st.booleans(), st.lists(words, max_size=9)), max_size=3
        ),
    ),
    pretrain=st.builds(Pretrain, objective=st.just("masked"), steps=counts, learning_rate=rates, clip=rates),
    finetune=st.builds(Finetune, fields=st.dictionaries(words, words, max_size=3), epochs=rates),
)


@given(projects)
def test_documented_is_read_back_as_the_same_project(project):
    assert config.parse(documented(project)) == project


@given(projects)
def test_the_line_of_every_key_is_found(project):
    text = documented(project)
    lines = key_lines(text)
    rows = text.split("\n")
    for name, field in Project.model_fields.items():
        if is_section(field):
            assert rows[lines[(name,)] - 1] == f"[{name}]"
            for key in field.annotation.model_fields:
                assert rows[lines[name, key] - 1].startswith(f"{key} = ")
        else:
            assert rows[lines[(name,)] - 1].startswith(f"{name} = ")


def test_few_keys_and_every_one_documented():
    count = 0
    for name, field in Project.model_fields.items():
        keys = field.annotation.model_fields if is_section(field) else {name: field}
        count += len(keys)
        for key, one in keys.items():
            assert one.description and len(one.description) > 5, f"{name}.{key}"
        if is_section(field):
            assert field.annotation.__doc__
    assert count <= 77  # each one explained; a new one has to earn its place
    assert all(field.description for field in Source.model_fields.values())


def test_the_recipes_are_read():
    for path in sorted((Path(__file__).parents[1] / "recipes").glob("**/*.toml")):
        assert config.read(path, checks=[check_model]).name == tomllib.loads(path.read_text())["name"]
