"""The largest micro-batch is tried first: it leaves no trace, and memory that runs out says what to lower."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from train_toy import Toy, toy_model, toy_settings

from liju.errors import TrainingError
from liju.samples.layout import micro_batches
from liju.samples.steps import Steps
from liju.train import Muon, Quiet, train, training, worst
from liju.train.optimizer import build_optimizer
from liju.train.training import Training
from liju.train.worst import is_out_of_memory, largest_batches

FAMILIES = ["encoder", "decoder", "encdec"]
CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["grouped", "packed", "flat"])
def test_nothing_that_the_run_sees_is_larger(family, layout):
    objective, settings = Toy(family), toy_settings(steps=64, batch_tokens=300, micro_batch_tokens=70)
    steps = Steps(objective, settings.batch_tokens, settings.seed)
    tried = largest_batches(objective, steps, settings, layout)
    for step in range(settings.steps):
        samples = [objective.sample(int(number)) for number in steps.numbers(step)]
        for batch in micro_batches(samples, settings.micro_batch_tokens, layout, objective.pad):
            # Scores of attention and words to predict, both of real batches, are bounded too.
            widest = max(one.predicting.tokens.shape[1] for one in tried)
            assert batch.predicting.tokens.shape[1] <= widest
            assert batch.places <= max(one.places for one in tried) + widest
            words = len(batch.targets["words"].index)
            assert words <= 1.25 * max(len(one.targets["words"].index) for one in tried)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_leaves_no_trace(tmp_path, monkeypatch, family):
    def weights(folder):
        model = toy_model(family, dropout=0.1)
        train(model, Toy(family), toy_settings(optimizer="muon"), folder)
        return model.state_dict()

    drawn = []
    with_it = weights(tmp_path / "with")
    monkeypatch.setattr(Training, "try_largest", lambda self: drawn.append(1))
    without = weights(tmp_path / "without")
    assert drawn and all(torch.equal(with_it[name], without[name]) for name in with_it)


def test_it_is_tried_before_the_first_step_and_after_a_resume(tmp_path, monkeypatch):
    tried = []
    real = training.try_batch

    def watch(model, batch, *rest):
        tried.append(batch.predicting.tokens.shape)
        torch.manual_seed(5)
        before = torch.get_rng_state()
        real(model, batch, *rest)
        assert torch.equal(torch.get_rng_state(), before)
        assert all(p.grad is None for p in model.parameters())

    monkeypatch.setattr(training, "try_batch", watch)
    model = toy_model("decoder", dropout=0.1)
    train(model, Toy("decoder"), toy_settings(), tmp_path, stop_after=2)
    assert tried == [(3, 11)]  # 33 of 40 places
    train(model, Toy("decoder"), toy_settings(), tmp_path, resume=True)
    assert tried == [(3, 11)] * 2
    train(model, Toy("decoder"), toy_settings(), tmp_path, resume=True)  # nothing is left to do
    assert len(tried) == 2


def test_memory_that_runs_out_says_what_to_lower(tmp_path, monkeypatch):
    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "try_batch", fails)
    with pytest.raises(TrainingError) as caught:
        train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path / "a")
    assert "in the largest micro-batch of this run: 3 rows of 11 tokens (33 places)" in caught.value.message
    assert "GB of them for weights, gradients and optimizer" in caught.value.message
    assert caught.value.hint.startswith("micro_batch_tokens = 16 (it is 40)")
    monkeypatch.undo()
    monkeypatch.setattr(training, "accumulate", fails)  # a step, later
    with pytest.raises(TrainingError, match="memory ran out on cpu in step 1: "):
        train(toy_model("encdec"), Toy("encdec"), toy_settings(), tmp_path / "b")
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="memory ran out") as caught:
        monkeypatch.setattr(training, "try_batch", fails)
        train(toy_model("encoder"), Toy("encoder"), toy_settings(micro_batch_tokens=3), tmp_path / "c")
    assert "a single sample of 11 tokens does not fit: lower model.max_length" in caught.value.hint


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    def fails(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(training, "try_batch", fails)
    with pytest.raises(RuntimeError, match="mat1"):
        train(toy_model("decoder"), Toy("decoder"), toy_settings(), tmp_path)
    assert is_out_of_memory(MemoryError()) and not is_out_of_memory(ValueError("not enough memory"))


def test_too_little_memory_for_the_arithmetic_is_told(tmp_path, monkeypatch):
    notices = []

    class Told(Quiet):
        def notice(self, text):
            notices.append(text)

    monkeypatch.setattr(training, "free_memory", lambda device: 1000)
    train(toy_model("decoder"), Toy("decoder"), toy_settings(steps=1), tmp_path, live=Told())
    assert any("GB are needed and 0.0 GB are free: lower micro_batch_tokens" in t for t in notices)


CODE = """
import resource, sys
import liju, torch
from train_toy import Toy, toy_model, toy_settings
from liju.errors import TrainingError
torch.set_num_threads(1)
class Long(Toy):
    def _size(self, number): return 900
from liju.model import Transformer, TransformerConfig
model = Transformer(TransformerConfig.default("decoder", vocab_size=17, d_model=48, num_heads=2, num_layers=3,
    d_ff=1200, max_length=1000))
from liju.train import train
kB = int(open("/proc/self/status").read().split("VmSize:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_AS, (kB * 1024 + 250 * 2**20,) * 2)
try:
    train(model, Long("decoder"), toy_settings(batch_tokens=90000, micro_batch_tokens=81000), sys.argv[1])
except TrainingError as error:
    print(error.message)
    print(error.hint)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_the_real_thing_by_a_limit_of_the_system(tmp_path):
    """A process may have 250 MB more; 90 rows of 900 tokens need more than that."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "memory ran out on cpu in the largest micro-batch of this run: 90 rows of 900" in done.stdout, done
    assert "micro_batch_tokens = " in done.stdout
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_flat_line_is_told_by_its_longest_sample(tmp_path, monkeypatch):
    """The line is no sample: it can be made shorter."""

    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "try_batch", fails)
    for layout, shape in (("flat", "1 row of 33 tokens"), ("packed", "3 rows of 11 tokens")):
        with pytest.raises(TrainingError) as caught:
            train(toy_model("decoder"), Toy("decoder"), toy_settings(layout=layout), tmp_path / layout)
        assert shape in caught.value.message
        assert caught.value.hint.startswith("micro_batch_tokens = 16 (it is 40)")


def test_a_kernel_s_scores_are_of_segments_and_a_mask_s_of_rows(monkeypatch):
    objective, settings = Toy("encdec"), toy_settings(batch_tokens=400, micro_batch_tokens=400)
    samples = [objective.sample(number) for number in range(20)]
    (flat,) = micro_batches(samples, 400, "flat")
    (grouped,) = micro_batches(samples, 4000, "grouped")
    by_mask = worst.needed(toy_model("encdec"), flat, settings, "float32", CPU)
    monkeypatch.setattr(worst, "SPANNED", {"cpu"})
    by_kernel = worst.needed(toy_model("encdec"), flat, settings, "float32", CPU)
    rows = worst.needed(toy_model("encdec"), grouped, settings, "float32", CPU)
    assert by_kernel.activations < rows.activations < by_mask.activations


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_optimizer_on_the_host_takes_none_of_the_device_s_memory(monkeypatch, optimizer):
    """That is what it is for. (A device without memory stands for the GPU.)"""
    model, objective, taken = toy_model("decoder"), Toy("decoder"), {}
    monkeypatch.setattr(worst, "backward", lambda *_: None)
    real = torch.empty
    batch = micro_batches([objective.sample(1)], 40)[0]
    for sharding in ("replicate", "offload"):
        for device in (CPU, torch.device("meta")):

            def watch(size, *rest, key=(sharding, device.type), **more):
                taken[key] = size
                return real(size, *rest, **more)

            settings = toy_settings(optimizer=optimizer, sharding=sharding)
            with monkeypatch.context() as patch:
                made = build_optimizer(model, settings, offload=sharding == "offload")
                patch.setattr(torch, "empty", watch)
                worst.try_batch(model, batch, objective, made, settings, "float32", device)
            states = worst.needed(model, batch, settings, "float32", device).optimizer
            assert (states == 0) == (sharding == "offload" and device.type != "cpu")
    assert taken[("offload", "meta")] == 0
    assert taken[("replicate", "meta")] == taken[("replicate", "cpu")] == taken[("offload", "cpu")] > 0


@pytest.mark.parametrize("name", ["clip", "step"])
def test_memory_that_runs_out_in_the_optimizer_is_told_too(tmp_path, monkeypatch, name):
    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    if name == "clip":
        monkeypatch.setattr(training, "clip", fails)
    else:
        monkeypatch.setattr(Muon, "step", fails)
    with pytest.raises(TrainingError, match="memory ran out on cpu in the optimizer of step 1: "):
        train(toy_model("decoder"), Toy("decoder"), toy_settings(optimizer="muon"), tmp_path)
