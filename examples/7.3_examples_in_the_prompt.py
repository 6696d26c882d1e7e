"""Examples for a prompt: nearest by n-grams, or by the vectors of a model that learned two languages."""

import tempfile
from pathlib import Path

import torch

from liju.config import Finetune, Vocab
from liju.finetune import Embedding, Example, finetune
from liju.model import Transformer, TransformerConfig
from liju.prompt import FewShot, NgramSelector, VectorSelector
from liju.vocab import train

THINGS = {"room": "房间", "soup": "汤", "street": "街道", "garden": "花园", "tea": "茶", "bed": "床"}
WORDS = {"clean": "很干净", "cold": "很冷", "lovely": "很可爱", "dirty": "很脏"}
pairs = [
    Example({"text": f"The {thing} is {word}.", "pair": f"{there}{so}。"}, "here")
    for thing, there in THINGS.items()
    for word, so in WORDS.items()
]
learned = [pair for i, pair in enumerate(pairs) if i % 5]  # a fifth is never seen

texts = [pair[side] for pair in pairs for side in ("text", "pair")]
tokenizer = train(texts, Vocab(size=420), "encoder")
torch.manual_seed(0)
sizes = {"vocab_size": tokenizer.size, "d_model": 32, "num_heads": 4, "num_layers": 1, "max_length": 24}
model, task = Transformer(TransformerConfig.default("encoder", **sizes)), Embedding.of(learned, 24)
how = Finetune(epochs=60, batch_tokens=200, learning_rate=5e-3)
with tempfile.TemporaryDirectory() as folder:
    finetune(model, tokenizer, task, learned, how, Path(folder), device="cpu", precision="float32")
model.eval()

good = {"clean": "good", "lovely": "good", "cold": "bad", "dirty": "bad"}
pool = [Example({"text": p["text"], "label": good[p["text"].split()[-1][:-1]]}, "pool") for p in learned]
inputs = [example.input for example in pool]
queries = ["花园很脏。", "茶很干净。"]
for selector in (NgramSelector(inputs), VectorSelector(inputs, lambda t: task.vectors(model, tokenizer, t))):
    print(type(selector).__name__)
    print(*FewShot(pool, selector, k=2).prompts(queries), sep="\n\n", end="\n\n")
