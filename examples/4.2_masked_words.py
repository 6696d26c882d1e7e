"""Masked words and next sentence: what an encoder learns from text without labels."""

import tempfile
from pathlib import Path

from liju.config import Vocab
from liju.objective import Masked
from liju.samples import write_shards
from liju.vocab import train

texts = [
    "The cat sat on the mat. The dog sat on the log. Then it rained.",
    "Rain fell on the roof. In the morning the street was clean. The guests left.",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",
]
with tempfile.TemporaryDirectory() as folder:
    tokenizer = train(texts * 20, Vocab(size=400), "encoder")
    shards = write_shards(texts, tokenizer, Path(folder) / "tokens")
    objective = Masked(shards, tokenizer, max_length=40, mask_rate=0.15)
    kept = replaced = masked = 0
    for number in range(400):
        sample = objective.sample(number)
        words = sample.goals["words"]
        shown = sample.encoder[words.places]
        masked += int((shown == tokenizer.mask).sum())
        kept += int((shown == words.values).sum())
        replaced += int(((shown != tokenizer.mask) & (shown != words.values)).sum())
        if number < 3:
            next_sentence = "follows" if sample.goals["next_sentence"].values[0] == 0 else "is from elsewhere"
            print(f"sample {number}: B {next_sentence}")
            print("  sees ", "│".join(tokenizer.tokens(sample.encoder)))
            print("  tells", "│".join(tokenizer.tokens(words.values)))
    total = masked + kept + replaced
    for what, count in (("[MASK]", masked), ("another word", replaced), ("left as it is", kept)):
        print(f"{what}: {count / total:.0%}")
