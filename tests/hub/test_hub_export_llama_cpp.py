"""GGUF in a second build of llama.cpp: llama-cpp-python, which has no wheels, where someone has compiled it.

pip install llama-cpp-python    (a quarter of an hour)
pytest -m slow tests/hub/test_hub_export_llama_cpp.py
"""

from __future__ import annotations

import pytest
from hub_export_toys import DECODERS, stories, toy

from liju.generate import generate
from liju.hub import export

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytestmark = pytest.mark.slow


def written(path, prompt: list[int], tokens: int, eos: int) -> list[int]:
    """The greedy words of llama-cpp-python."""
    llama = llama_cpp.Llama(str(path), n_ctx=0, n_threads=1, verbose=False)
    found: list[int] = []
    for token in llama.generate(prompt, temp=0.0, top_k=1):
        if token == eos or len(found) == tokens:
            break
        found.append(token)
    llama.close()
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("text", ["Once upon a time", "The dog", "Lily and Ben"])
def test_real_weights_write_the_same_story(dtype, text, data, tmp_path):
    bundle = stories(data / "stories260k")
    export(bundle, "gguf", tmp_path / "out", dtype=dtype)
    path = tmp_path / "out" / f"model-{dtype}.gguf"
    prompt = [1, *bundle.tokenizer.encode(text)]
    llama = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    assert llama.tokenize(text.encode(), add_bos=True, special=False) == prompt
    llama.close()
    [ours] = generate(bundle.model, [prompt], eos=2, max_new_tokens=48)
    assert written(path, prompt, 48, 2) == ours


@pytest.mark.parametrize("name", [name for name in DECODERS if name.startswith(("llama", "qwen"))])
def test_toys_of_every_shape(name, build, tmp_path):
    bundle = toy(build, DECODERS[name])
    export(bundle, "gguf", tmp_path / "out")
    prompt = [bundle.tokenizer.bos, *bundle.tokenizer.encode("The text")[:4]]
    [ours] = generate(bundle.model, [prompt], eos=bundle.tokenizer.eos, max_new_tokens=12)
    # keys and values are rounded to 16 bits there by default, and random weights have near ties
    assert written(tmp_path / "out" / "model-float32.gguf", prompt, 12, bundle.tokenizer.eos)[:4] == ours[:4]
