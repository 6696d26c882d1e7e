"""Translation: an encoder-decoder learns short sentences, and is asked for one it never saw."""

import tempfile
from pathlib import Path

import torch

from liju.config import Evaluate, Finetune, Vocab
from liju.finetune import Example, TranslationTask, finetune
from liju.model import Transformer, TransformerConfig
from liju.vocab import train

THINGS = {"room": "房间", "soup": "汤", "street": "街道", "book": "书", "garden": "花园", "river": "河"}
THINGS |= {"house": "房子", "bed": "床", "road": "路", "story": "故事", "train": "火车", "tree": "树"}
IS = {"clean": "很干净", "small": "很小", "good": "很好", "long": "很长", "old": "很旧", "new": "很新"}

pairs = [
    Example({"source": f"The {a} is {b}.", "target": f"{THINGS[a]}{IS[b]}。"}, "here")
    for a in THINGS
    for b in IS
]
test = [pair for pair in pairs if pair["source"] in ("The soup is good.", "The river is old.")]
examples = [pair for pair in pairs if pair not in test]

tokenizer = train([text for pair in pairs for text in pair.values.values()] * 9, Vocab(size=460), "encdec")
torch.manual_seed(0)
sizes = {"vocab_size": tokenizer.size, "d_model": 48, "num_heads": 4, "num_layers": 1, "max_length": 24}
model = Transformer(TransformerConfig.default("encdec", **sizes))
task = TranslationTask(max_length=24)
settings = Finetune(epochs=40, batch_tokens=160, learning_rate=3e-3, dropout=0.0, label_smoothing=0.1)
with tempfile.TemporaryDirectory() as folder:
    result = finetune(model, tokenizer, task, examples, settings, Path(folder), precision="float32")
print(f"{len(examples)} pairs, {result.step} steps, loss {result.loss:.3f} (with smoothing it never is 0)")

for pair, answer in zip(test, task.evaluate(model, tokenizer, test, Evaluate(beam=3)), strict=True):
    print(pair["source"], "->", answer["text"], "(right:", pair["target"] + ")")
