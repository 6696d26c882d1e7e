"""[model] preset: what a file leaves out follows, what it says wins, what is wrong is told by line."""

from __future__ import annotations

import re

import pytest

from liju import config
from liju.errors import ConfigError, ModelError
from liju.model import PRESETS, preset
from liju.project import do, new, open_run
from liju.project.parts import check_model, initialise, model_config
from liju.project.preset import follow_preset


def parse(text: str, *overrides: str) -> config.Project:
    return config.parse(text, overrides, [check_model], follow=follow_preset)


@pytest.mark.parametrize("name", ["transformer-base", "bert-base", "gpt2", "modernbert-base", "qwen3-8b"])
def test_what_the_file_leaves_out_follows(name):
    entry = PRESETS[name]
    project = parse(f'[model]\npreset = "{name}"\nscale = 0.05\n[pretrain]\nmicro_batch_tokens = 9999')
    assert model_config(project, 97) == preset(name, scale=0.05, vocab_size=97)
    assert project.model.family == entry.switches["family"]
    assert (project.vocab.kind, project.vocab.lowercase) == (entry.vocab, entry.lowercase)
    assert project.pretrain.next_sentence == (name == "bert-base")
    objective = {"encoder": "masked", "decoder": "causal", "encdec": "denoising"}[project.model.family]
    assert project.pretrain.objective == objective
    assert project.pretrain.mask_rate == (0.3 if name == "modernbert-base" else 0.15)
    # The resolved file says all of it, and is the same project.
    assert parse(config.documented(project)) == project
    assert config.parse(config.documented(project), (), [check_model]) == project


def test_what_the_file_says_wins():
    text = """
[vocab]
kind = "unigram"
[model]
preset = "llama3-8b"
scale = 0.01
d_model = 64
num_heads = 8
max_length = 40
switches = {rope_theta = 7e3}
[pretrain]
objective = ""
"""
    project = parse(text, "model.num_layers=3")
    found = model_config(project, 97)
    assert (found.d_model, found.num_heads, found.num_layers, found.max_length) == (64, 8, 3, 40)
    assert (found.d_ff, found.rope_theta, found.norm) == (project.model.d_ff, 7e3, "rms")
    assert project.model.d_ff == round(64 * 126 / 36)
    assert (project.vocab.kind, project.pretrain.objective) == ("unigram", "causal")
    assert parse(text, "model.preset=gpt2", "model.switches={}").pretrain.objective == "causal"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('preset = "bert-bas"', "model.preset: unknown preset 'bert-bas' (did you mean 'bert-base'?)"),
        ('preset = "gpt-4"', "there is no preset of GPT-4"),
        ('preset = "gpt2"\nfamily = "encoder"', "liju.toml:3: model.family: gpt2 is a family 'decoder'"),
        ("scale = 0.5", "liju.toml:2: model.scale: is of a preset, and there is none"),
        ('preset = "gpt2"\nscale = 0', "liju.toml:3: model.scale: input should be greater than 0"),
        ('preset = "gpt2"\nscale = "small"', "liju.toml:3: model.scale: a number is needed"),
        ("preset = 3", "liju.toml:2: model.preset: a text in quotes is needed"),
        ('preset = "gpt2"\nd_model = 10\nnum_heads = 4', "d_model 10 is not a multiple of num_heads 4"),
        ('preset = "gpt2"\nd_model = "wide"', "liju.toml:3: model.d_model: a whole number is needed"),
        ('preset = "gpt2"\nswitches = {softcup = 1.0}', "model.switches.softcup: unknown switch"),
        ('preset = "bert-base"\nd_modle = 3', "model.d_modle: unknown key (did you mean 'd_model'?)"),
    ],
)
def test_what_is_wrong_is_told_by_line(text, says):
    with pytest.raises(ConfigError) as error:
        parse(f"[model]\n{text}")
    assert says in str(error.value)


def test_a_project_read_without_its_preset_is_told():
    project = config.parse('[model]\npreset = "gpt2"')
    assert [problem[0] for problem in check_model(project)] == ["model.family"]


def test_new_names_the_preset_and_shows_what_follows(tmp_path):
    new(tmp_path / "p", preset="bert-base", scale=0.1)
    text = (tmp_path / "p" / "liju.toml").read_text(encoding="utf-8")
    assert text.startswith("# bert-base at 0.1 of its width, from text to a served model.")
    assert re.search(r'(?m)^preset = "bert-base" +#', text) and re.search(r"(?m)^scale = 0.1 +#", text)
    for line in ("d_model = 80", 'family = "encoder"', 'kind = "wordpiece"', "lowercase = true"):
        assert re.search(rf"(?m)^# {line} +#", text), line
    assert re.search(r"(?m)^size = 1000 +#", text)
    project = open_run(tmp_path / "p").project
    assert (project.model.d_model, project.model.num_layers, project.pretrain.next_sentence) == (80, 4, True)
    # A comment's mark taken away: that key is the file's.
    (tmp_path / "p" / "liju.toml").write_text(text.replace("# num_layers = 4", "num_layers = 2"), "utf-8")
    assert open_run(tmp_path / "p").project.model.num_layers == 2
    assert open_run(tmp_path / "p", ["model.scale=0.2"]).project.model.d_model == 28 * 5


def test_new_refuses(tmp_path):
    with pytest.raises(ModelError, match="unknown preset"):
        new(tmp_path, preset="bert-bas")
    with pytest.raises(ConfigError, match="gpt2 is a family 'decoder', not 'encoder'"):
        new(tmp_path, "encoder", preset="gpt2")
    with pytest.raises(ConfigError, match="scale is of a preset"):
        new(tmp_path, scale=0.5)
    with pytest.raises(ModelError, match="scale is"):
        new(tmp_path, preset="gpt2", scale=-1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["gpt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bert-tiny", "modernbert-base"))]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("t5-small", "marian", "opt-350m", "palm-8b")],
)
def test_a_preset_goes_the_whole_way(name, tmp_path):
    new(tmp_path, preset=name, scale=40 / PRESETS[name].switches["d_model"])
    quick = ["pretrain.steps=2", "pretrain.batch_tokens=256", "finetune.epochs=0.2", "evaluate.baselines=[]"]
    quick += ["evaluate.max_new_tokens=3", "evaluate.beam=1", "model.max_length=64", "pretrain.compile=off"]
    quick += ["pretrain.precision=float32", "device=cpu", "text.held_out=0.02"]
    run = open_run(tmp_path, quick)
    do(run)
    model = initialise(run.project, 997)
    assert ("next_sentence" in model.heads) == PRESETS[name].next_sentence
    assert model.config.norm_place == preset(name).norm_place
    again = open_run(run.folder / "liju.toml", [f"out={tmp_path / 'runs'}"]).project
    assert again.model == run.project.model
