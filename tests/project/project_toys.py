"""A whole project so small that every step of it takes a moment."""

from __future__ import annotations

import json
import random

from liju import config
from liju.project import do, open_run

# Words enough for a vocabulary, few enough for a moment.
SUBJECTS = [
    "the cook",
    "a guest",
    "our guide",
    "the doctor",
    "one child",
    "my friend",
    "the captain",
    "a singer",
]
VERBS = ["opens", "finds", "paints", "carries", "forgets", "describes", "repairs", "watches"]
OBJECTS = [
    "the window",
    "a small boat",
    "the old map",
    "some bread",
    "the letter",
    "a garden",
    "the clock",
    "a song",
]
FAMILIES = {"encoder": "classification", "decoder": "generation", "encdec": "translation"}


def lines(count=60, seed=0):
    draw, found = random.Random(seed), {}
    while len(found) < count:
        one = f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)} {draw.choice(OBJECTS)}"
        found[f"{one.capitalize()}. Then {draw.choice(SUBJECTS)} {draw.choice(VERBS)} it."] = None
    return list(found)


def write(folder, family="encoder", **sections):
    """liju.toml, text.txt and examples.tsv; `sections` change the file. Ten examples are in the text."""
    folder.mkdir(exist_ok=True)
    text = lines()
    (folder / "text.txt").write_text("\n".join(text), encoding="utf-8")
    task = FAMILIES[family]
    rows = ["text\tlabel" if task != "translation" else "source\ttarget"]
    for one in lines(30, seed=1) + text[:10]:
        label = "sea" if "boat" in one or "captain" in one else "land"
        rows.append(f"{one}\t{one.split('.')[0] if task == 'translation' else label}")
    (folder / "examples.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    tree = {
        "name": "toy",
        "device": "cpu",
        "text": {"sources": [{"path": "text.txt", "format": "lines"}], "held_out": 0.1},
        "vocab": {"size": 400},
        "model": {"family": family, "d_model": 24, "num_layers": 1, "num_heads": 3, "max_length": 64},
        "pretrain": {
            "steps": 3,
            "batch_tokens": 200,
            "save_every": 50,
            "precision": "float32",
            "compile": "off",
        },
        "finetune": {"task": task, "train": ["examples.tsv"], "test_share": 0.3, "epochs": 1.0},
        "evaluate": {"max_new_tokens": 6, "beam": 1},
    }
    tree["pretrain"] |= {"precision": "float32", "compile": "off", "layout": "grouped"}
    for name, values in sections.items():
        tree[name] = {**tree[name], **values} if isinstance(values, dict) else values
    if not tree["finetune"]["task"]:
        tree["finetune"] = {}
    project = config.Project.model_validate(tree)
    (folder / "liju.toml").write_text(config.documented(project) + "\n", encoding="utf-8")
    return folder / "liju.toml"


def folders(where):
    """The folder of each step's newest output, by the step's name."""
    steps = json.loads((where / "run.json").read_text())["steps"]
    return {name: where / folder for name, folder in steps.items()}


def steps_done(path, *overrides, **how):
    """Run; gives the steps that were not up to date, in order."""
    told = []
    do(open_run(path, overrides, tell=told.append, **how))
    heads = [line for line in told if line.startswith("[bold]")]
    return [line.split("]")[1].split("[")[0] for line in heads if "up to date" not in line]
