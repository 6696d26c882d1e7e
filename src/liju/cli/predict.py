"""liju predict: answers to texts."""

from __future__ import annotations

import sys
from pathlib import Path

from liju.cli.story import say_next

__all__ = ["predict"]


def predict(
    run: Path,
    /,
    *texts: str,
    json: bool = False,
    beam: int | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
) -> None:
    """Answer texts with a trained model: a label, a translation, a text written on, or a filled gap.

    Without texts it reads standard input, a text a line.

    examples:
      liju predict runs/first "房间很干净，服务也好"
      cat reviews.txt | liju predict runs/first --json
      liju predict runs/writer "Once upon a time" --temperature 0.8

    Parameters
    ----------
    run
        A run directory or a model folder.
    texts
        What to answer.
    json
        One JSON object a line.
    beam
        Beam width of translation.
    max_new_tokens
        Longest answer.
    temperature
        Generation: 0 takes the likeliest word each time.
    seed
        Generation: the source of chance.
    """
    import json as codec

    from liju.finetune import load
    from liju.finetune.loaded import options_of

    model = load(run)
    given = {"beam": beam, "max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    options = {name: value for name, value in given.items() if value is not None}
    options_of(model.task, options)
    lines = list(texts) or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    for start in range(0, len(lines), 64):
        group = lines[start : start + 64]
        for text, answer in zip(group, model.predict(group, **options), strict=True):
            if json:
                print(codec.dumps({"input": text, **answer}, ensure_ascii=False))
            elif "label" in answer:
                print(f"{answer['label']}\t{answer['score']:.3f}\t{text}")
            else:
                print(answer["text"])
    if not json and texts and sys.stdout.isatty():
        say_next(f"liju serve {run}")
