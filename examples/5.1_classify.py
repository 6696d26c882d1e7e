"""Classification: a layer on the first token, trained with a handful of labelled texts."""

import tempfile
from pathlib import Path

import torch

from liju.config import Finetune, Vocab
from liju.finetune import Classification, Example, finetune
from liju.model import Transformer, TransformerConfig
from liju.vocab import train

THINGS = ["The room", "The soup", "The street", "The garden", "房间", "汤", "街道", "花园"]
WORDS = {"good": ["clean", "lovely", "很干净", "真好"], "bad": ["dirty", "awful", "很脏", "真差"]}
rows = [
    Example({"text": thing + (f" is {word}." if thing.isascii() else f"{word}。"), "label": label}, "here")
    for thing in THINGS
    for label, words in WORDS.items()
    for word in words
    if thing.isascii() == word.isascii()
]
train_rows, test_rows = rows[: -len(rows) // 4], rows[-len(rows) // 4 :]  # the last things are never seen

tokenizer = train([row["text"] for row in rows], Vocab(size=420), "encoder")
torch.manual_seed(0)
sizes = {"vocab_size": tokenizer.size, "d_model": 48, "num_heads": 4, "num_layers": 2, "max_length": 24}
model = Transformer(TransformerConfig.default("encoder", **sizes))
task = Classification.of(train_rows, max_length=24)
settings = Finetune(epochs=60, batch_tokens=64, learning_rate=1e-3)
with tempfile.TemporaryDirectory() as folder:
    result = finetune(model, tokenizer, task, train_rows, settings, Path(folder), precision="float32")
print(f"{len(train_rows)} examples, {result.step} steps, loss {result.loss:.4f}")

answers = task.evaluate(model, tokenizer, test_rows, None)
print("held out:", task.score(answers, test_rows))
for row, answer in list(zip(test_rows, answers, strict=True))[::3]:
    print(f"{row['text']:<24} {answer['label']:<5} {answer['score']:.3f}")
