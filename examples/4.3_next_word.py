"""The next word: what a decoder learns, and how long documents are cut without losing a token."""

import tempfile
from pathlib import Path

from liju.config import Vocab
from liju.objective import Causal
from liju.samples import write_shards
from liju.vocab import train

texts = ["Rain fell all night on the roof of the small hotel.", "白日依山尽，黄河入海流。"]
with tempfile.TemporaryDirectory() as folder:
    tokenizer = train(texts * 20, Vocab(size=340), "decoder")
    shards = write_shards(texts, tokenizer, Path(folder) / "tokens")
    objective = Causal(shards, tokenizer, max_length=8)
    for number in range(objective.size):
        sample = objective.sample(number)
        print("sees ", " ".join(repr(token) for token in tokenizer.tokens(sample.decoder)))
        print("tells", " ".join(repr(token) for token in tokenizer.tokens(sample.goals["words"].values)))

    # Every token of every document is told exactly once, and so is every end.
    told = sum(len(objective.sample(number).goals["words"].values) for number in range(objective.size))
    print(f"{told} told = {len(shards.tokens)} tokens + {len(shards)} ends")
    assert told == len(shards.tokens) + len(shards)
