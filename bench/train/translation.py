"""BLEU after a given time: liju's encoder-decoder beside joeynmt's Transformer, Multi30k, English to German.

The same sizes (width 128, 2 + 2 layers, 4 heads), the same vocabulary (joeynmt reads the pieces of liju's BPE
as words), label smoothing 0.1, no dropout, steps of about as many tokens, beam 1, the 1,000 sentences of
test_2016_flickr. joeynmt has the noam schedule and Adam's betas of its Transformer configurations; the peak
of the rate is searched for both on the same grid of factors, judged on the validation part. The time is of
the training steps.

    python bench/train/translation.py --joeynmt PYTHON --seconds 240 [--seeds 3] [--share 0.5] [--clock cpu]
    python bench/train/translation.py --joeynmt PYTHON --seconds 60 --search [--factors 1 2 4]

PYTHON is an interpreter that has joeynmt 2.3.0 (its pins would not fit liju's).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from decoders import CLOCKS
from timed import timed
from works import read

import liju  # noqa: F401 - before torch's first use, for the threads
from liju.config import Evaluate, Vocab
from liju.finetune import TASKS
from liju.model import Transformer, TransformerConfig
from liju.objective import Translation
from liju.train import TrainSettings
from liju.vocab import Tokenizer, train

WIDTH, LAYERS, HEADS, LENGTH, BATCH = 128, 2, 4, 96, 1024
SPECIAL = ["<unk>", "<pad>", "<s>", "</s>"]  # joeynmt's, the first four of its vocabulary


def sides(part: str) -> list[list[str]]:
    """The English and the German lines."""
    return [read(f"multi30k-ende/{part}.{language}.gz").splitlines() for language in ("en", "de")]


@dataclass
class Pairs:
    """The data and the vocabulary that both sides share."""

    tokenizer: Tokenizer
    train: list[list[list[int]]]
    test: list[list[str]]

    @classmethod
    def of(cls, size: int, test: str) -> Pairs:
        texts = sides("train")
        tokenizer = train([*texts[0], *texts[1]], Vocab(size=size), "encdec")
        ids = [tokenizer.encode_batch(side) for side in texts]
        keep = [i for i in range(len(ids[0])) if max(len(ids[0][i]), len(ids[1][i])) < LENGTH]
        return cls(tokenizer, [[side[i] for i in keep] for side in ids], sides(test))


def bleu(written: list[str], references: list[str]) -> tuple[float, str]:
    metric = sacrebleu.BLEU()
    return metric.corpus_score(written, [references]).score, str(metric.get_signature())


OURS = {
    "muon": {"optimizer": "muon", "learning_rate": 8e-3, "muon_learning_rate": 0.014, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01},
}


# The shape of recipes/data/multi30k.toml: norms after each part, sinusoidal positions, one table of words.
MARIAN = {
    "norm": "layer",
    "norm_bias": True,
    "norm_place": "post",
    "norm_eps": 1e-5,
    "final_norm": False,
    "bias": True,
    "activation": "silu",
    "position": "sinusoidal",
    "sinusoid_halves": True,
    "embedding_scale": True,
    "attention_scale": (WIDTH // HEADS) ** -0.5,
    "tied": True,
    "head_bias": True,
    "logit_scale": 1.0,
}
# The same with norms before each part, as joeynmt's has them.
SWITCHES = {"t5": {}, "marian": MARIAN, "pre": {**MARIAN, "norm_place": "pre", "final_norm": True}}


def ours(pairs: Pairs, seconds: float, asked: argparse.Namespace, seed: int, factor: float) -> dict:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": WIDTH, "num_layers": LAYERS, "num_heads": HEADS, "d_ff": 4 * WIDTH}
    sizes |= {"vocab_size": len(pairs.tokenizer), "max_length": LENGTH}
    model = Transformer(TransformerConfig.default("encdec", **sizes, **SWITCHES[asked.shape]))
    told: dict[str, Any] = OURS[asked.optimizer]
    rates = {name: value * factor for name, value in told.items() if name.endswith("learning_rate")}
    settings = TrainSettings(batch_tokens=BATCH, micro_batch_tokens=2 * BATCH, **{**told, **rates})
    work = Translation(*pairs.train, pairs.tokenizer, LENGTH, seed)
    taken = timed(model, work, settings, seconds, asked.clock, seed=seed)
    task = TASKS["translation"](LENGTH)
    inputs = [{"source": line} for line in pairs.test[0]]
    found = task.answer(model.eval(), pairs.tokenizer, inputs, Evaluate(beam=1, max_new_tokens=64))
    score, signature = bleu([answer["text"] for answer in found], pairs.test[1])
    size = sum(p.numel() for p in model.parameters())
    return {"bleu": score, "steps": taken.steps, "tokens": taken.tokens, "parameters": size, "by": signature}


def config_of(folder: Path, peak: float, warmup: int) -> dict:
    """joeynmt's configuration: configs/transformer_iwslt14_deen_sp.yaml at our size, without dropout."""
    side = {
        "type": "transformer",
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "embeddings": {"embedding_dim": WIDTH, "scale": True, "dropout": 0.0},
        "hidden_size": WIDTH,
        "ff_size": 4 * WIDTH,
        "dropout": 0.0,
        "layer_norm": "pre",
    }
    words = {"level": "word", "max_length": LENGTH, "voc_file": str(folder / "vocab.txt")}
    return {
        "name": "bench",
        "model_dir": str(folder / "model"),
        "use_cuda": False,
        "data": {
            "train": str(folder / "train"),
            "dev": str(folder / "test"),
            "test": str(folder / "test"),
            "dataset_type": "plain",
            "src": {"lang": "en", **words},
            "trg": {"lang": "de", **words},
        },
        "testing": {"batch_size": 64, "beam_size": 1, "max_output_length": 64, "eval_metrics": []},
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "normalization": "tokens",
            "scheduling": "noam",
            "learning_rate_factor": peak * (WIDTH * warmup) ** 0.5,
            "learning_rate_warmup": warmup,
            "learning_rate": 1e-3,
            "learning_rate_min": 1e-9,
            "label_smoothing": 0.1,
            "clip_grad_norm": 1.0,
            "batch_size": BATCH,
            "batch_type": "token",
            "epochs": 10_000,
            "validation_freq": 1_000_000,
            "logging_freq": 100,
            "early_stopping_metric": "loss",
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "embed_init_gain": 1.0,
            "init_gain": 1.0,
            "bias_initializer": "zeros",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": side,
            "decoder": side,
        },
    }


PEAK = 1e-3


def joeynmt(pairs: Pairs, seconds: float, asked: argparse.Namespace, seed: int, factor: float) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces = [f"p{i}" for i in range(len(pairs.tokenizer))]
        (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *pieces]) + "\n")
        tests = [pairs.tokenizer.encode_batch(side) for side in pairs.test]
        for part, data in (("train", pairs.train), ("test", tests)):
            for language, side in zip(("en", "de"), data, strict=True):
                lines = (" ".join(f"p{i}" for i in ids) for ids in side)
                (folder / f"{part}.{language}").write_text("\n".join(lines) + "\n")
        answers = folder / "answers.json"
        told = {
            "config": config_of(folder, PEAK * factor, asked.warmup),
            "seconds": seconds,
            "clock": asked.clock,
            "seed": seed,
            "answers": str(answers),
        }
        (folder / "asked.json").write_text(json.dumps(told))
        command = [
            str(asked.joeynmt),
            "-W",
            "ignore",
            str(Path(__file__).with_name("joey.py")),
            str(folder / "asked.json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"joeynmt: {done.stderr[-2000:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        written = [
            pairs.tokenizer.decode([int(piece[1:]) for piece in one if piece not in SPECIAL])
            for one in json.loads(answers.read_text())
        ]
    score, signature = bleu(written, pairs.test[1])
    return {"bleu": score, **told, "by": signature}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--joeynmt", type=Path, required=True, metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=240, help="of joeynmt")
    parser.add_argument("--share", type=float, default=0.5, help="of the time that liju gets")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--vocab", type=int, default=4000)
    parser.add_argument("--search", action="store_true", help="try the factors, one seed, equal time")
    parser.add_argument("--factors", type=float, nargs="+", default=[1, 2, 4])
    parser.add_argument("--best", type=float, nargs=2, default=[1, 1], help="factors of liju and of joeynmt")
    parser.add_argument("--warmup", type=int, default=200, help="steps, of joeynmt; liju's: 5 % of its time")
    parser.add_argument("--optimizer", choices=list(OURS), default="muon", help="of liju")
    parser.add_argument("--shape", choices=list(SWITCHES), default="pre", help="of liju")
    parser.add_argument("--arms", nargs="+", default=["liju", "joeynmt"], help="that are searched")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    pairs = Pairs.of(asked.vocab, "val" if asked.search else "test_2016_flickr")
    told = (
        f"{asked.seconds:.0f} s of {asked.clock} time, {asked.threads} threads, {len(pairs.tokenizer)} pieces"
    )
    print(f"{told}, {len(pairs.train[0]):,} pairs", flush=True)
    runs = {
        "liju": lambda seconds, seed, factor: ours(pairs, seconds, asked, seed, factor),
        "joeynmt": lambda seconds, seed, factor: joeynmt(pairs, seconds, asked, seed, factor),
    }
    if asked.search:
        for factor, name in itertools.product(asked.factors, asked.arms):
            told = json.dumps(runs[name](asked.seconds, 97, factor))
            print(f"  {name}, rate times {factor}: {told}", flush=True)
        return
    found: dict[str, list[dict]] = {name: [] for name in runs}
    times = {"liju": asked.share * asked.seconds, "joeynmt": asked.seconds}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for (name, run), factor in zip(runs.items(), asked.best, strict=True):
            found[name].append(run(times[name], seed, factor))
            print(f"  seed {seed}: {name}, {times[name]:.0f} s: {json.dumps(found[name][-1])}", flush=True)
    rates = {}
    for name, told in found.items():
        scores, seconds = [run["bleu"] for run in told], times[name]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        rates[name] = statistics.mean(run["tokens"] for run in told) / seconds
        mean = statistics.mean(scores)
        print(f"{name:8} {seconds:5.0f} s: BLEU {mean:.2f}{spread}, {rates[name]:,.0f} real tokens a second")
    print(f"liju / joeynmt: {rates['liju'] / rates['joeynmt']:.2f} times the tokens a second")


if __name__ == "__main__":
    main()
