import json
import resource

from hypothesis import given, settings
from hypothesis import strategies as st

from liju.train import Run, TrainSettings


def test_a_log_that_cannot_be_written_is_told_once_and_leaves_no_half_line(tmp_path):
    notices = []
    run = Run(tmp_path, notices.append)
    run.log({"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # files may have 20 kB
        for step in (2, 3):
            run.log({"step": step, "long": "x" * 30_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(notices) == 1 and "metrics.jsonl cannot be written" in notices[0]
    run.log({"step": 4})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 4}\n'


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(0, 9), back=st.integers(0, 9), cut=st.integers(0, 30))
def test_rewind_keeps_whole_lines_up_to_the_step(tmp_path_factory, steps, back, cut):
    folder = tmp_path_factory.mktemp("run")
    run = Run(folder)
    for step in range(1, steps + 1):
        run.log({"step": step, "loss": 0.5, "text": "例句"})
    whole = run.metrics()
    path = folder / "metrics.jsonl"
    if steps:
        path.write_bytes(path.read_bytes()[:-cut] if cut else path.read_bytes())
    run.rewind(back)
    kept = run.metrics()
    assert kept == whole[: len(kept)]
    assert len(kept) in ({min(steps, back)} if cut < 2 else {min(steps, back), min(steps - 1, back)})


def test_settings_and_environment_are_written(tmp_path):
    run = Run(tmp_path / "new")
    run.begin(TrainSettings(seed=3), {"device": "cpu", "precision": "float32"}, {"data": "abc"})
    run.begin(TrainSettings(seed=3), {"device": "cpu", "precision": "float32"}, {"data": "abc"})
    told = json.loads((run.folder / "settings.json").read_text())
    assert told["settings"]["seed"] == 3 and told["fingerprints"] == {"data": "abc"}
    assert run.chosen() == {"device": "cpu", "precision": "float32"}
    entries = json.loads((run.folder / "environment.json").read_text())
    assert len(entries) == 2 and entries[0]["versions"].keys() >= {"torch", "numpy", "liju"}
    assert entries[0]["threads"] >= 1
