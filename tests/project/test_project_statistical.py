"""The statistical translator in the table of a translation project."""

import json

from project_toys import folders, steps_done, write

from liju.finetune import Example, TranslationTask


def test_it_learns_from_the_training_pairs_alone():
    pairs = [("a red dog", "ein roter Hund"), ("a dog", "ein Hund"), ("a red cat", "eine rote Katze")] * 3
    train = [Example({"source": a, "target": b}, f"train:{n}") for n, (a, b) in enumerate(pairs)]
    test = [Example({"source": "a dog", "target": "never seen"}, "test:1")]
    (system,) = TranslationTask(max_length=8).baselines(["statistical"], train, test)
    assert system.name == "statistical" and "Model 1" in system.note
    assert system.answers() == [{"text": "ein Hund"}]


def test_it_stands_in_the_table(tmp_path):
    path = write(tmp_path / "p", "encdec", evaluate={"baselines": ["retrieval", "statistical"]})
    steps_done(path)
    done = folders(tmp_path / "p/runs/toy")["evaluate"] / "done.json"
    rows = json.loads(done.read_text())["summary"]["table"]["rows"]
    assert [row["system"] for row in rows] == ["n-gram", "statistical", "fine-tuned"]
    assert all(0 <= row["values"]["bleu"][0] <= 100 for row in rows)
