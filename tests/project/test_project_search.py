"""The search looks at a part of the training examples, goes on where it stopped, and writes what it found."""

import json
import shlex
import shutil

import pytest
import torch
from project_toys import folders, steps_done, write

from liju import config
from liju.cli import main
from liju.errors import ConfigError, LijuError, TrainingError
from liju.evaluate import ScoreTable
from liju.finetune import Example
from liju.project import open_run
from liju.project import search as searching
from liju.project.leaks import evaluation_texts, examples_of
from liju.project.search import apply_values, grid, search


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("search") / "p", finetune={"epochs": 4.0, "batch_tokens": 300})
    open_run(path, tell=lambda line: None).ensure("pretrain")
    return path


class Untouchable(Example):
    """A test example that may be counted and not be read."""

    def __getitem__(self, name):
        raise AssertionError("the search looked at the test set")

    @property
    def input(self):
        raise AssertionError("the search looked at the test set")


def sealed(path, *overrides):
    run = open_run(path, overrides, tell=lambda line: None)
    found = examples_of(run)
    found.test[:] = [Untouchable({}, e.place) for e in found.test]
    return run


def test_half_goes_on_at_each_look_and_the_test_set_is_not_read(pretrained):
    found = search(sealed(pretrained), ["learning_rate", "dropout"], trials=4)
    assert [one.looks for one in found.trials] == [4, 2, 1, 1]
    assert found.best.values.keys() == {"learning_rate", "dropout"} and 0 <= found.best.score <= 1
    assert sorted(one.number for one in found.trials) == [0, 1, 2, 3]
    kept = json.loads((found.folder / "search.json").read_text())
    assert len(kept["trials"]) == 4 and kept["metric"] == "accuracy"
    lines = found.lines()
    assert lines[0].split()[:3] == ["trial", "learning_rate", "dropout"] and len(lines) == 5


def test_a_search_again_trains_nothing_and_a_stopped_one_goes_on(pretrained, monkeypatch):
    told = ["epochs"]
    first = search(sealed(pretrained), told, trials=3)

    def refuse(*words, **how):
        raise AssertionError("trained again")

    monkeypatch.setattr(searching, "finetune", refuse)
    again = search(sealed(pretrained), told, trials=3)
    assert [(one.values, one.score) for one in again.trials] == [
        (one.values, one.score) for one in first.trials
    ]
    # A trial whose last look is not written down yet: its checkpoint is gone on with.
    best = next(path for path in first.folder.glob("trial-*") if (path / "look-4.json").exists())
    kept = (best / "look-4.json").read_text()
    (best / "look-4.json").unlink()
    monkeypatch.undo()
    search(sealed(pretrained), told, trials=3)
    assert json.loads((best / "look-4.json").read_text())["score"] == json.loads(kept)["score"]


def test_no_time_is_one_trial(pretrained):
    found = search(sealed(pretrained, "seed=0"), ["warmup"], trials=4, minutes=1e-9)
    assert [one.looks for one in found.trials] == [1, 0, 0, 0] and found.best.number == 0
    assert "–" in found.lines()[-1]


def test_the_grid_begins_with_the_file_and_is_drawn_by_the_seed():
    settings = config.Finetune(learning_rate=2e-4, trainable="lora-4", batch_tokens=512)
    one, other = (
        grid(settings, ["learning_rate", "trainable"], 1),
        grid(settings, ["learning_rate", "trainable"], 2),
    )
    assert one[0] == other[0] == {"learning_rate": 2e-4, "trainable": "lora-4"}
    assert one != other and sorted(map(str, one)) == sorted(map(str, other))
    assert {values["learning_rate"] for values in one} == {2e-4, 6e-4, 6.67e-5, 2e-3, 2e-5}
    assert all(type(v["batch_tokens"]) is int for v in grid(settings, ["batch_tokens"]))


@pytest.mark.parametrize(
    ("keys", "message"),
    [(["learning_rat"], "'learning_rat' is not searched"), (["epochs", "epochs"], "names each key once")],
)
def test_what_cannot_be_searched_is_told(keys, message):
    with pytest.raises(ConfigError, match=message):
        grid(config.Finetune(), keys)


@pytest.mark.parametrize(
    ("keys", "given", "message"),
    [
        (
            ["label_smoothing"],
            {"task": "classification"},
            "label_smoothing: has no effect on 'classification'",
        ),
        (["epochs", "muon_learning_rate"], {}, "muon_learning_rate: has no effect with optimizer 'adamw'"),
        (["optimizer"], {"trainable": "lora-8"}, "optimizer: 'muon' has no effect with trainable 'lora-8'"),
        (["layer_decay"], {"trainable": "head"}, "layer_decay: has no effect"),
    ],
)
def test_a_key_without_effect_is_not_searched(keys, given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        grid(config.Finetune(**given), keys)
    assert caught.value.hint


def test_no_two_trials_are_the_same_training():
    rates = grid(config.Finetune(), ["optimizer", "muon_learning_rate"])
    assert rates[0] == {"optimizer": "adamw", "muon_learning_rate": 0.01}
    assert sum(one["optimizer"] == "adamw" for one in rates) == 1 and len(rates) == 1 + 5
    # A value of the file that is idle in a trial goes back to the usual one, so that its overrides are taken.
    given = {"optimizer": "muon", "muon_learning_rate": 0.02, "task": "translation", "train": [{"path": "a"}]}
    found = grid(config.Finetune.model_validate(given), ["trainable"])
    assert [one["trainable"] for one in found].count("lora-8") == 1
    for one in found:
        plain = "optimizer" if one["trainable"] == "lora-8" else ""
        assert one["optimizer"] == ("adamw" if plain else "muon")
        assert one["muon_learning_rate"] == (0.01 if plain else 0.02)
        section = config.Finetune.model_validate({**given, **one})
        assert not list(config.without_effect(config.Project(finetune=section)))
    # top-2 of one block is no choice.
    shallow = grid(config.Finetune(), ["trainable"], model=config.Model(num_layers=1))
    assert {one["trainable"] for one in shallow} == {"all", "lora-8", "gradual"}


@pytest.fixture
def untrained(tmp_path):
    """A run of which not even the text is there: whoever asks for it fails."""
    path = write(tmp_path / "p")
    (path.parent / "text.txt").unlink()
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--search", "foo"], "--search: 'foo' is not searched"),
        (["--search", ""], "--search: '' is not searched"),
        (["--search", "label_smoothing"], "label_smoothing: has no effect on 'classification'"),
        (["--search", "epochs", "--trials", "0"], "--trials 0: there is nothing to compare"),
        (["--search", "epochs", "--trials", "-3"], "--trials -3: there is nothing to compare"),
        (["--search", "epochs", "--minutes", "-1"], "--minutes -1 is no time"),
        (["--search", "epochs", "--minutes", "nan"], "--minutes nan is no time"),
        (["--search", "epochs", "--on", "local:2"], "--on has no effect with --search"),
        (["--trials", "5"], "--trials is for --search"),
        (["--minutes", "0"], "--minutes is for --search"),
        (["--apply"], "--apply is for --search"),
        (["finetune.trainable=top-99"], "'top-99' of a model with 1 block"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_done(untrained, capsys, words, message):
    assert main(["finetune", str(untrained), *words]) == 2
    err = capsys.readouterr().err
    assert message in err and "hint: " in err
    assert not list((untrained.parent / "runs").glob("*/pretrain-*"))


def test_a_trial_that_is_no_number_is_last(pretrained, monkeypatch):
    """The file's own values cannot be trained, another trial's score is not a number: the rest goes on."""
    real = searching.finetune

    def broken(model, tokenizer, task, train, settings, folder, **how):
        if settings.epochs == 4.0:
            raise TrainingError("the loss is not a number")
        found = real(model, tokenizer, task, train, settings, folder, **how)
        if settings.epochs == 8.0:
            found.scores[task.metric] = float("nan")
        return found

    monkeypatch.setattr(searching, "finetune", broken)
    told = []
    run = open_run(pretrained, ["seed=1"], tell=told.append)
    found = search(run, ["epochs"], trials=3)
    assert [one.values["epochs"] for one in found.trials if one.looks == 4] == [2.0]
    assert found.best.values == {"epochs": 2.0} and found.overrides == ["finetune.epochs=2"]
    assert any("trial 0: the loss is not a number" in line for line in told)
    kept = json.loads((found.folder / "search.json").read_text())["trials"]
    assert [one["score"] is None for one in kept] == [False, True, True]
    records = [path.read_text() for path in found.folder.glob("trial-*/look-*.json")]
    assert records and not any("NaN" in text for text in records)


def test_values_are_written_in_place_and_comments_stay(tmp_path):
    path = tmp_path / "liju.toml"
    text = 'name = "a"\n[finetune]  # labels\nlearning_rate = 1e-3   # peak\ntask = "classification"\n'
    text += "[evaluate]\nseeds = 2\n"
    path.write_text(text)
    apply_values(path, {"learning_rate": 2e-4, "trainable": "lora-8"})
    changed = path.read_text()
    assert "learning_rate = 0.0002   # peak" in changed and "# labels" in changed and "seeds = 2" in changed
    project = config.read(path, ["finetune.train=['x']"])
    assert (project.finetune.learning_rate, project.finetune.trainable) == (2e-4, "lora-8")
    path.write_text("[finetune]\nfields = {\n}\n".replace("{\n}", '"""\na"""'))
    with pytest.raises(LijuError, match="cannot be written in place"):
        apply_values(path, {"fields": "b"})


def test_the_command_says_what_to_copy(pretrained, capsys):
    assert (
        main(["finetune", str(pretrained), "--search", "learning_rate,dropout", "--trials", "4", "--quiet"])
        == 0
    )
    out = capsys.readouterr().out
    assert "(the file's)" in out and f"next: liju finetune {pretrained} finetune.learning_rate=" in out
    # What was overridden is so in the next command too, but for what was found.
    given = ["finetune.dropout=0.3", "finetune.fields={text = 'text'}"]
    words = ["finetune", *given, str(pretrained), "--search", "dropout", "--trials", "2", "--quiet"]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    start = f"next: liju finetune {pretrained} "
    (fields, dropout) = shlex.split(last.removeprefix(start))
    assert last.startswith(start) and fields == given[1] and dropout.startswith("finetune.dropout=")
    assert main(["finetune", str(pretrained), "--search", "epoch"]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err


def test_folds_are_a_row_of_the_table(tmp_path):
    path = write(tmp_path / "p", finetune={"folds": 3}, evaluate={"baselines": ["majority"]})
    steps_done(path)
    where = path.parent / "runs/toy"
    done = json.loads((folders(where)["evaluate"] / "done.json").read_text())["summary"]
    row = done["table"]["rows"][-1]
    assert row["system"] == "fine-tuned, 3 parts" and len(row["values"]["accuracy"]) == 3
    # The interval is of the mean over the parts, which is the value; other rows are of other examples.
    for name, values in row["values"].items():
        assert row["intervals"][name]["low"] <= sum(values) / 3 <= row["intervals"][name]["high"]
    assert row["apart"] and "p_values" not in row
    table = ScoreTable.from_dict(done["table"])
    assert not any(table.cell(table.rows[-1], column).compared for column in table.columns)
    run = open_run(path, tell=lambda line: None)
    found = examples_of(run)
    # What is held out in some part is not in the pre-training text.
    assert len(found.train) + len(found.test) == len(evaluation_texts(run)) == 40
    page = (where / "report.html").read_text()
    assert "Labelled examples" in page and "3 parts" in page and "Every system but one saw" in page


def test_a_project_starts_from_a_model_folder(pretrained, tmp_path):
    run = open_run(pretrained, tell=lambda line: None)
    folder = run.ensure("pretrain").folder / "bundle"
    (tmp_path / "examples.tsv").write_text((pretrained.parent / "examples.tsv").read_text())
    path = tmp_path / "liju.toml"
    path.write_text(
        f'name = "b"\ndevice = "cpu"\n[model]\npath = "{folder}"\nmax_length = 64\n'
        '[finetune]\ntask = "classification"\n'
        'train = ["examples.tsv"]\ntest_share = 0.3\nepochs = 1\n[evaluate]\nbaselines = ["scratch"]\n'
    )
    assert steps_done(path) == ["pretrain", "finetune", "evaluate"]
    assert steps_done(path) == []
    where = tmp_path / "runs/b"
    assert (where / "report.html").exists()
    resolved = config.read(where / "liju.toml")
    assert (resolved.model.d_model, resolved.model.num_layers) == (24, 1)
    from liju.hub import load_bundle

    one, other = (
        load_bundle(folder).model.state_dict(),
        load_bundle(folders(where)["pretrain"] / "bundle").model,
    )
    assert all((other.state_dict()[name] == tensor).all() for name, tensor in one.items())

    def refused(message, *overrides):
        with pytest.raises(ConfigError, match=message):
            open_run(path, overrides)

    refused("model.path", "model.path=nothing/here")
    refused("model.d_model: is 32, and .* has 24", "model.d_model=32", "model.num_heads=4")
    refused("at most|has 64 places", "model.max_length=99")
    refused("text.sources: has no effect", "text.sources=['examples.tsv']")
    refused("finetune.task", "finetune.task=''")


def test_a_start_has_no_layer_of_a_former_task(pretrained, tmp_path):
    former = open_run(pretrained, tell=lambda line: None).ensure("finetune").folder / "bundle"
    (tmp_path / "examples.tsv").write_text((pretrained.parent / "examples.tsv").read_text())
    path = tmp_path / "liju.toml"
    path.write_text(
        f'name = "b"\ndevice = "cpu"\n[model]\npath = "{former}"\nmax_length = 64\n'
        '[finetune]\ntask = "classification"\ntrain = ["examples.tsv"]\ntest_share = 0.3\nepochs = 1\n'
    )
    start = open_run(path, tell=lambda line: None).ensure("pretrain").folder / "bundle"
    from liju.hub import load_bundle

    before, after = load_bundle(former).model, load_bundle(start).model
    assert set(before.heads) - set(after.heads) == {"label"} and "words" in after.heads
    assert "Classification" not in (start / "config.json").read_text()
    kept = before.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in after.state_dict().items())


def test_a_project_starts_from_an_adapter_folder(pretrained, tmp_path):
    """Its base with the adapters merged; another base of the same name is another start."""
    from liju.finetune import add_lora, lora_layers, save_adapter
    from liju.hub import load_bundle
    from liju.hub.check import difference, probe_outputs

    shutil.copytree(
        open_run(pretrained, tell=lambda line: None).ensure("pretrain").folder / "bundle", tmp_path / "base"
    )
    model = load_bundle(tmp_path / "base").model
    add_lora(model, 2)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.3)
    save_adapter(tmp_path / "adapter", model, "../base")
    (tmp_path / "examples.tsv").write_text((pretrained.parent / "examples.tsv").read_text())
    path = tmp_path / "liju.toml"
    path.write_text(
        'name = "b"\ndevice = "cpu"\n[model]\npath = "adapter"\nmax_length = 64\n'
        '[finetune]\ntask = "classification"\n'
        'train = ["examples.tsv"]\ntest_share = 0.3\nepochs = 1\n[evaluate]\nbaselines = []\n'
    )
    assert steps_done(path) == ["pretrain", "finetune", "evaluate"] and steps_done(path) == []
    start = load_bundle(folders(tmp_path / "runs/b")["pretrain"] / "bundle")
    want, found = probe_outputs(model.eval()), probe_outputs(start.model)
    assert difference(want, found) < 1e-5 and start.provenance["model"] == "adapter"
    # A file of the base is a file of the start.
    (tmp_path / "base" / "note.txt").write_text("x")
    assert steps_done(path)[0] == "pretrain"
    settings = tmp_path / "adapter/adapter_config.json"
    settings.write_text(settings.read_text().replace("../base", "bert-base-uncased"))
    with pytest.raises(ConfigError, match=r"model.path: .*no such model folder is here"):
        open_run(path)
