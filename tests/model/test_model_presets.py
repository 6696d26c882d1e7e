"""Presets: every count is the published one, every size can be built, every system learns a paragraph."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from preset_peers import einsum_palm, parity, random_toy
from preset_toys import BOUNDS, representatives, toy, train_toy

from liju.errors import ModelError
from liju.hub import probe_batch
from liju.model import PRESETS, Transformer, preset
from liju.model.presets import NO_GPT4, SYSTEMS, known
from liju.plan import count_parameters

GPT3 = ["small", "medium", "large", "xl", "2.7b", "6.7b", "13b", "175b"]
SIZES = {
    "transformer": ["base", "big"],
    "gpt": [""],
    "bert": ["tiny", "mini", "small", "medium", "base", "large", "base-cased", "base-chinese"],
    "gpt2": ["", "medium", "large", "xl"],
    "t5": ["small", "base", "large", "3b", "11b"],
    "t5-v1.1": ["small", "base", "large", "xl", "xxl"],
    "bart": ["base", "large"],
    "marian": [""],
    "gpt3": [*GPT3, *(f"{size}-sparse" for size in GPT3)],
    "lamda": ["2b", "8b", "137b"],
    "palm": ["8b", "62b", "540b"],
    "opt": ["125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b", "175b"],
    "llama": ["7b", "13b", "30b", "65b"],
    "llama2": ["7b", "13b", "70b"],
    "llama3": ["8b", "70b"],
    "llama3.1": ["405b"],
    "llama3.2": ["1b"],
    "qwen2.5": ["0.5b"],
    "qwen3": ["0.6b", "1.7b", "4b", "8b"],
    "modernbert": ["base", "large"],
}
NAMES = [f"{system}-{size}".removesuffix("-") for system, sizes in SIZES.items() for size in sizes]
UNITS = {"M": 1e6, "B": 1e9}

# Of systems without public weights, from the papers' sizes: what transformers counts for the same shapes.
COUNTED = {
    "transformer-base": 63_082_496,
    "transformer-big": 214_245_376,
    "gpt3-small": 125_226_240,
    "gpt3-medium": 355_871_744,
    "gpt3-large": 760_300_032,
    "gpt3-xl": 1_315_723_264,
    "gpt3-2.7b": 2_651_553_280,
    "gpt3-6.7b": 6_658_404_352,
    "gpt3-13b": 12_853_386_240,
    "gpt3-175b": 174_604_259_328,
    "palm-8b": 8_632_012_800,
    "palm-62b": 62_495_662_080,
    "palm-540b": 540_356_474_880,
}
# BERT without its heads, as the small models were published.
BARE = {
    "bert-tiny": 4_385_920,
    "bert-mini": 11_170_560,
    "bert-small": 28_763_648,
    "bert-medium": 41_373_184,
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "bert-base-cased": 108_310_272,
    "bert-base-chinese": 102_267_648,
}


def total(name: str, **switches) -> int:
    return count_parameters(preset(name, **switches), PRESETS[name].heads).total


def test_the_names_and_what_every_entry_says():
    assert list(PRESETS) == NAMES
    for name, entry in PRESETS.items():
        assert re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)*", name)
        assert entry.source and entry.note.endswith(".") and entry.system in SYSTEMS
        assert re.search(r"\b20[12]\d\b|hf\.co/", entry.source)
        assert "reconstruction" in entry.note if entry.system == "lamda" else True
        assert "choice" in entry.note if name.endswith("-sparse") else True
        assert entry.next_sentence == (entry.system == "bert")


@pytest.mark.parametrize("name", [name for name, entry in PRESETS.items() if entry.weights])
def test_the_count_is_that_of_the_public_weights(name):
    assert total(name) - PRESETS[name].buffers == PRESETS[name].weights


def test_the_count_is_that_of_the_papers_sizes():
    assert {name: total(name) for name in COUNTED} == COUNTED
    assert {name: total(f"{name}-sparse") for name in COUNTED if name.startswith("gpt3")} == {
        name: count for name, count in COUNTED.items() if name.startswith("gpt3")
    }
    bare = {name: count_parameters(preset(name, head="none")).total for name in BARE}
    assert bare == BARE
    without = {name: count_parameters(preset(name)) for name in NAMES if name.startswith("lamda")}
    rounded = {name: round((parts.total - parts.token) / 1e6) for name, parts in without.items()}
    assert rounded == {"lamda-2b": 2097, "lamda-8b": 8590, "lamda-137b": 137440}
    assert without["lamda-137b"].total - without["lamda-137b"].token == 137_440_014_336
    counted = {*COUNTED, *(f"{n}-sparse" for n in COUNTED if "gpt3" in n), *without}
    assert counted | {name for name, entry in PRESETS.items() if entry.weights} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_own_words_are_near(name):
    entry = PRESETS[name]
    number, unit = re.match(r"([\d.]+)([MB])", entry.published).groups()
    parts = count_parameters(preset(name), entry.heads)
    ours = parts.total - (parts.token if "without" in entry.published else 0)
    assert abs(ours / (float(number) * UNITS[unit]) - 1) < 0.08


@pytest.mark.parametrize(
    "name",
    [
        *("transformer-base", "gpt", "bert-base", "gpt2", "t5-3b", "t5-v1.1-small", "bart-base", "marian"),
        *("gpt3-xl", "gpt3-small-sparse", "lamda-2b", "palm-8b", "opt-350m", "opt-125m", "llama2-70b"),
        *("llama3.2-1b", "qwen2.5-0.5b", "qwen3-0.6b", "modernbert-base"),
    ],
)
def test_the_count_is_that_of_the_network(name):
    with torch.device("meta"):
        model = Transformer(preset(name))
        for head, outputs in PRESETS[name].heads.items():
            model.add_head(head, outputs)
    assert sum(p.numel() for p in model.parameters()) == total(name)


def test_where_counters_go_wrong():
    own = {n for n in NAMES if (c := preset(n)).num_heads * c.d_k != c.d_model}
    assert own == {
        *("lamda-2b", "lamda-8b", "lamda-137b", "palm-540b", "t5-3b", "t5-11b"),
        *("t5-v1.1-small", "qwen3-0.6b", "qwen3-4b"),
    }
    # The paper's GPT-3 XL as it is printed, and its 13B.
    assert total("gpt3-xl", num_heads=24, d_k=128) == 1_517_123_584
    assert total("gpt3-13b", d_model=5140, d_k=128) == 12_936_488_380
    with pytest.raises(ModelError, match="d_model 5140 is not a multiple of num_heads 40"):
        preset("gpt3-13b", d_model=5140)
    narrow = preset("opt-350m")
    wide = count_parameters(narrow.replace(d_embedding=narrow.d_model))
    assert count_parameters(narrow).total == wide.total - 512 * narrow.vocab_size + 2 * 512 * 1024
    relative = preset("t5-small")
    assert count_parameters(relative).position == 2 * 32 * relative.num_heads  # once a stack
    assert count_parameters(preset("palm-8b")).norms == (32 + 1) * 4096  # one a block
    assert count_parameters(preset("modernbert-base")).norms == (2 * 22 - 1 + 2) * 768  # the first has none
    assert count_parameters(preset("modernbert-base")).heads == 768 * 768 + 768 + 50368


def test_a_name_that_is_not_there():
    with pytest.raises(ModelError) as error:
        preset("bert-bas")
    assert "'bert-base'" in error.value.hint
    for name in ("gpt4", "gpt-4", "GPT-4-turbo"):
        with pytest.raises(ModelError) as error:
            known(name)
        assert error.value.hint == NO_GPT4 and "RemoteModel" in NO_GPT4
    with pytest.raises(ModelError, match="unknown switch 'd_modle'"):
        preset("gpt2", d_modle=3)
    for scale in (0, -1, float("nan")):
        with pytest.raises(ModelError, match="scale is"):
            preset("gpt2", scale=scale)


@given(st.sampled_from(NAMES), st.floats(0.001, 1.5))
def test_any_scale_keeps_the_structure(name, scale):
    full, small = preset(name), preset(name, scale=scale)
    assert small.d_k % 2 == 0 and small.num_heads % small.num_kv_heads == 0
    assert (small.num_kv_heads < small.num_heads) == (full.num_kv_heads < full.num_heads)
    inner, width = small.num_heads * small.d_k, small.d_model
    full_inner = full.num_heads * full.d_k
    assert (inner > width) - (inner < width) == (full_inner > full.d_model) - (full_inner < full.d_model)
    assert (small.d_embedding < width) == (full.d_embedding < full.d_model)
    assert (small.window > 0) == (full.window > 0) and small.max_length >= min(64, full.max_length)
    blocks = range(small.num_layers)
    if full.window:
        assert {i % small.global_every > 0 for i in blocks} == {False, True}
    assert (small.num_decoder_layers > 0) == (full.num_decoder_layers > 0)
    assert small.logit_scale == (None if full.logit_scale is None else width**-0.5)
    # Near the asked width, and the ratio of the feed-forward layer kept.
    if width >= 64:
        assert 0.6 < width / (full.d_model * scale) < 1.7
        assert abs(small.d_ff / width / (full.d_ff / full.d_model) - 1) < 0.1
    switches = {"norm", "norm_place", "activation", "gated", "bias", "position", "tied", "rope_scaling"}
    assert all(getattr(small, name) == getattr(full, name) for name in switches)


def test_scale_one_is_the_preset_and_a_given_width_keeps_the_ratios():
    for name in NAMES:
        assert preset(name, scale=1.0) == preset(name)
    given_width = preset("llama3-8b", d_model=64, num_heads=8)
    assert (given_width.d_ff, given_width.num_kv_heads) == (224, 2)
    assert preset("t5-small", d_model=64, d_k=8).logit_scale == 64**-0.5
    assert preset("t5-v1.1-small", d_model=64).logit_scale is None
    assert preset("opt-350m", d_model=64, num_heads=2).d_embedding == 32


def test_presets_are_looked_at_without_torch():
    code = (
        "import sys; from liju.model.presets import preset; preset('gpt2'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# --- each system against another implementation, with the same weights

# Largest difference of logits in float64, as a share of the largest. transformers computes RMS norms and
# rotations in float32 even then, and T5's softmax.
FLOORS = {"t5": 3e-4, "lamda": 5e-6, "llama": 2e-5, "qwen": 5e-6, "modernbert": 1e-5}
COMPOSED = ["transformer-base", "gpt3-small-sparse", "lamda-2b", "palm-8b", "palm-540b"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in COMPOSED else pytest.mark.slow)
        for name in dict.fromkeys(representatives().values())
    ],
)
def test_another_implementation_agrees(name, tmp_path):
    pytest.importorskip("transformers")
    figure, _ = parity(name, tmp_path / "bundle")
    assert figure < FLOORS.get(PRESETS[name].system, 1e-12)


def test_palm_is_the_papers_formulas():
    """The parallel block with one head of keys and values, against an einsum; what is wrong by one switch is
    seen."""
    config = toy("palm-8b", num_heads=3, d_k=10, d_model=28, d_ff=36)
    assert (config.num_kv_heads, config.norm_place, config.d_k) == (1, "parallel", 10)
    model = random_toy(config, {})
    batch = probe_batch(config, rows=2, length=11)
    expected = einsum_palm(dict(model.state_dict()), config, batch.predicting.tokens)

    @torch.no_grad()
    def apart(**switches) -> float:
        other = Transformer(config.replace(**switches)).double().eval()
        other.load_state_dict(model.state_dict())
        return float((other.logits(batch) - expected).abs().max() / expected.abs().max())

    assert apart() < 1e-12
    wrong = [{"rope_theta": 1e3}, {"logit_scale": None}, {"activation": "gelu"}, {"attention_scale": 1.0}]
    wrong += [{"norm_eps": 1e-5}, {"position": "none"}, {"softcap": 30.0}]
    for switches in wrong:
        assert apart(**switches) > 1e-7, switches


def test_a_band_is_not_the_whole(tmp_path):
    """The negative control of the comparison above: GPT-2 without the band is something else."""
    config = toy("gpt3-small-sparse")
    model = random_toy(config, {})
    dense = Transformer(config.replace(window=0, global_every=0)).double().eval()
    dense.load_state_dict(model.state_dict())
    batch = probe_batch(config)
    assert (model.logits(batch) - dense.logits(batch)).abs().max() > 1e-3


# --- each system learns


FIRST = {entry.system: name for name, entry in reversed(PRESETS.items())}
QUICK = 40  # steps
UNTRAINED = 5.0  # nats a word; a toy begins between 5.5 and 7.6


@pytest.mark.parametrize("system", FIRST)
def test_a_toy_of_each_system_begins_to_learn(system, tmp_path):
    _, _, losses = train_toy(FIRST[system], tmp_path, QUICK, batch=128)
    assert losses[0] > UNTRAINED and sum(losses[-5:]) / 5 < 4.0


@pytest.mark.slow
@pytest.mark.parametrize("name", dict.fromkeys(representatives().values()))
def test_a_toy_of_each_structure_learns_the_paragraph(name, tmp_path):
    _, _, losses = train_toy(name, tmp_path)
    assert losses[0] > UNTRAINED
    assert sum(losses[-5:]) / 5 < BOUNDS[PRESETS[name].objective]
