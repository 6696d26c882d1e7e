"""A training that is stopped and resumed ends with the same bits as one that was not (law 3)."""

import tempfile
from pathlib import Path

import torch

from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal
from liju.samples import write_shards
from liju.train import TrainSettings, newest, train
from liju.vocab import train as train_vocab

texts = ["The cat sat on the mat. The dog sat on the log.", "春眠不觉晓，处处闻啼鸟。"] * 4
settings = TrainSettings(steps=12, batch_tokens=96, save_every=4, precision="float32", compile="off")

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    tokenizer = train_vocab(texts, Vocab(size=320), "decoder")
    objective = Causal(write_shards(texts, tokenizer, folder / "tokens"), tokenizer, max_length=16)

    def model() -> Transformer:
        torch.manual_seed(0)
        sizes = {"vocab_size": tokenizer.size, "d_model": 24, "num_heads": 3, "num_layers": 2, "dropout": 0.1}
        return Transformer(TransformerConfig.default("decoder", **sizes))

    straight = model()
    result = train(straight, objective, settings, folder / "straight")
    print(f"straight: {result.step} steps, loss {result.loss:.3f}")

    stopped = train(model(), objective, settings, folder / "resumed", stop_after=7)
    saved = newest(folder / "resumed" / "checkpoints").folder.name
    print(f"stopped after step {stopped.step}; saved: {saved}")
    resumed = model()
    train(resumed, objective, settings, folder / "resumed", resume=True)

    same = all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))
    print("every weight bit for bit the same:", same)
    assert same
