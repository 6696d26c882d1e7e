"""What is trained on: real text as liju's objectives, and the same samples as rows for transformers.

Reads LIJU_DATA: wikitext-2 (masked words with next sentence, next word) and multi30k-ende (translation).
"""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.objective import Causal, Masked, Objective, Translation
from liju.samples import TokenShards, write_shards
from liju.vocab import Tokenizer, train

DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
VOCAB, WIDTH, HEADS = 8192, 256, 4
LENGTHS = {"encoder": 128, "decoder": 256, "encdec": 128}

# BERT, GPT-2 and T5: what liju, transformers and nanoGPT all can be.
SHAPES: dict[str, dict[str, Any]] = {
    "encoder": {"num_layers": 4},
    "decoder": {
        "num_layers": 6,
        "d_ff": 4 * WIDTH,
        "norm": "layer",
        "norm_bias": True,
        "activation": "gelu_tanh",
        "gated": False,
        "bias": True,
        "position": "learned",
    },
    "encdec": {"num_layers": 3},
}


def read(name: str) -> str:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return file.read()


def articles(part: str) -> list[str]:
    """The articles of a part of WikiText-2."""
    found: list[list[str]] = []
    for line in read(f"wikitext-2/wiki.{part}.tokens.gz").splitlines():
        line = line.strip().replace("<unk>", "unk")
        if line.startswith("= ") and not line.startswith("= ="):
            found.append([])
        if line and found:
            found[-1].append(line)
    return ["\n".join(article) for article in found]


def paragraphs(part: str) -> list[str]:
    """The paragraphs of a part of WikiText-2, without headings."""
    lines = (
        line.strip().replace("<unk>", "unk")
        for line in read(f"wikitext-2/wiki.{part}.tokens.gz").splitlines()
    )
    return [line for line in lines if line and not line.startswith("=")]


def shards(texts: list[str], tokenizer: Tokenizer) -> TokenShards:
    folder = tempfile.TemporaryDirectory(prefix="liju-bench-")
    made = write_shards(texts, tokenizer, Path(folder.name) / "tokens")
    made.keep = folder  # type: ignore[attr-defined] - the folder goes when the shards go
    return made


def objective(family: str) -> Objective:
    """The work of a family, with a vocabulary learned from its text."""
    length = LENGTHS[family]
    if family == "encdec":
        sides = [read(f"multi30k-ende/train.{language}.gz").splitlines() for language in ("en", "de")]
        tokenizer = train([*sides[0][::2], *sides[1][::2]], Vocab(size=VOCAB), family)
        ids = [tokenizer.encode_batch(side) for side in sides]
        keep = [i for i in range(len(ids[0])) if max(len(ids[0][i]), len(ids[1][i])) < length]
        return Translation(*([side[i] for i in keep] for side in ids), tokenizer, length)
    cut = paragraphs if family == "encoder" else articles
    text = cut("valid") + cut("test")
    kind = "wordpiece" if family == "encoder" else "bpe"
    tokenizer = train(text, Vocab(size=VOCAB, kind=kind), family)
    made = Masked if family == "encoder" else Causal
    return made(shards(text, tokenizer), tokenizer, length)


def network(family: str) -> Transformer:
    shape = {"vocab_size": VOCAB, "d_model": WIDTH, "num_heads": HEADS, "max_length": LENGTHS[family]}
    model = Transformer(TransformerConfig.default(family, **shape, **SHAPES[family]))  # type: ignore[arg-type]
    if family == "encoder":
        model.add_head("next_sentence", 2)
    return model


def rows(family: str, work: Objective, count: int) -> list[dict[str, Any]]:
    """The first samples as transformers' Trainer reads them. A decoder's text is cut into full blocks, as
    its run_clm.py does: there is nothing to pad."""
    samples = [work.sample(i) for i in range(min(count, work.size))]
    if family == "decoder":
        stream = np.concatenate([sample.decoder for sample in samples])
        length = LENGTHS[family]
        blocks = stream[: len(stream) // length * length].reshape(-1, length).tolist()
        return [{"input_ids": block, "labels": block, "length": length} for block in blocks]
    made = []
    for sample in samples:
        words = sample.goals["words"]
        row: dict[str, Any] = {"input_ids": sample.encoder.tolist(), "length": sum(sample.lengths)}
        if family == "encoder":
            labels = np.full(len(sample.encoder), -100)
            labels[words.places] = words.values
            row |= {"token_type_ids": sample.types.tolist(), "labels": labels.tolist()}
            told = sample.goals.get("next_sentence")
            row["next_sentence_label"] = int(told.values[0]) if told else -100
        else:
            row["labels"] = words.values.tolist()
        made.append(row)
    return made
