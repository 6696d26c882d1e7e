"""Samples are functions of (seed, number): nothing to store, nothing to lose."""

import tempfile
from pathlib import Path

import numpy as np

from liju.config import Vocab
from liju.objective import Causal
from liju.samples import Order, Steps, write_shards
from liju.vocab import train

# A permutation for every pass over the data, computed and never kept.
order = Order("fingerprint of the data", seed=0, size=7)
print("first pass: ", order.take(np.arange(7)).tolist())
print("second pass:", order.take(np.arange(7, 14)).tolist())
print("sample 1,000,000,000 is number", order[1_000_000_000], "of the data")

texts = ["The cat sat on the mat.", "One more sentence.", "夜来风雨声，花落知多少。"] * 8
with tempfile.TemporaryDirectory() as folder:
    tokenizer = train(texts, Vocab(size=320), "decoder")
    shards = write_shards(texts, tokenizer, Path(folder) / "tokens")
    print(f"{len(shards)} documents, {len(shards.tokens)} tokens of {shards.index['dtype']} on disk")
    objective = Causal(shards, tokenizer, max_length=12, seed=0)
    again = Causal(shards, tokenizer, max_length=12, seed=0)
    assert np.array_equal(objective.sample(5).decoder, again.sample(5).decoder)

    # A step is a set of sample numbers, of about one length, and depends on the step alone.
    steps = Steps(objective, batch_tokens=48, seed=0, window=4)
    for step in range(4):
        lengths = objective.lengths(steps.numbers(step))[:, 1]
        print(f"step {step}: samples {steps.numbers(step).tolist()}, {lengths.sum()} tokens")
