"""Writing: greedy, drawn and searched; with a cache as without, together as alone."""

import tempfile
from pathlib import Path

import torch

from liju.config import Vocab
from liju.generate import generate, stream
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal
from liju.samples import Side, write_shards
from liju.train import TrainSettings, train
from liju.vocab import train as train_vocab

texts = ["The cat sat on the mat.", "The dog sat on the log.", "春眠不觉晓，处处闻啼鸟。"] * 8
settings = TrainSettings(steps=60, batch_tokens=256, learning_rate=5e-3, precision="float32", compile="off")
with tempfile.TemporaryDirectory() as name:
    tokenizer = train_vocab(texts, Vocab(size=300), "decoder")
    objective = Causal(write_shards(texts, tokenizer, Path(name) / "tokens"), tokenizer, max_length=32)
    torch.manual_seed(0)
    sizes = {"vocab_size": tokenizer.size, "d_model": 48, "num_heads": 4, "num_layers": 2}
    model = Transformer(TransformerConfig.default("decoder", **sizes))
    print(f"loss {train(model, objective, settings, Path(name) / 'run').loss:.3f}")
prompts = [[tokenizer.bos, *tokenizer.encode(text)] for text in ("The cat", "The dog sat", "春眠")]
common = {"eos": tokenizer.eos, "max_new_tokens": 24}
for way in ({}, {"temperature": 1.0, "top_p": 0.9, "seed": 7}, {"beam": 3}):
    answers = generate(model, prompts, **common, **way)
    print(way or "greedy", [tokenizer.decode(answer) for answer in answers])
    way["seed"] = way.get("seed", 0) + 2  # row i draws with seed + i
    assert answers[2] == generate(model, prompts[2:], **common, **way)[0]  # together = alone (law 5)

# The same greedy answer, by the whole forward pass at every word (law 4).
ids = list(prompts[0])
while len(ids) < len(prompts[0]) + 24:
    ids.append(int(model.predict("words", model.decode(Side.of(torch.tensor([ids])))[0, -1:]).argmax()))
    if ids[-1] == tokenizer.eos:
        break
answer = ids[len(prompts[0]) : -1]
print("without a cache:", tokenizer.decode(answer), answer == list(stream(model, prompts[0], **common)))
