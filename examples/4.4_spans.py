"""Span denoising: what an encoder-decoder learns from text without labels."""

import tempfile
from pathlib import Path

from liju.config import Vocab
from liju.objective import Denoising
from liju.samples import write_shards
from liju.vocab import train

texts = [
    "The cook tasted the soup and added a little salt. Then she called the others to the table.",
    "厨师尝了一口汤，加了一点盐。然后她叫大家上桌。",
]
with tempfile.TemporaryDirectory() as folder:
    tokenizer = train(texts * 20, Vocab(size=400), "encdec")
    shards = write_shards(texts, tokenizer, Path(folder) / "tokens")
    objective = Denoising(shards, tokenizer, max_length=64)
    for number in range(2):
        sample = objective.sample(number)
        print("encoder", "".join(tokenizer.tokens(sample.encoder)))
        print("decoder", "".join(tokenizer.tokens(sample.goals["words"].values)))

        # Put each told span in the place of its sentinel: the text is whole again.
        spans, now = {}, None
        for token in sample.goals["words"].values[:-1].tolist():
            if token in tokenizer.sentinels:
                now = spans.setdefault(token, [])
            else:
                now.append(token)
        whole = [part for token in sample.encoder[:-1].tolist() for part in spans.get(token, [token])]
        print("whole  ", tokenizer.decode(whole))
