"""What a model can do before any fine-tuning: fill masks (encoder), fill spans (encoder-decoder)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from liju.config import Evaluate
from liju.errors import RequestError
from liju.finetune.task import DECODING, Answer
from liju.generate import generate
from liju.model import Transformer
from liju.samples import Goal, Sample, assemble
from liju.vocab import Tokenizer

__all__ = ["FillMask", "FillSpan"]


class FillMask:
    """`The [MASK] sat on the mat.` to the words that fit best."""

    name = "fill-mask"
    mark = "[MASK]"
    options: ClassVar[dict[str, Any]] = {}
    asked: tuple[str, ...] = ("text",)

    def __init__(self, max_length: int):
        self.max_length = max_length

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> FillMask:
        return cls(values["max_length"])

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "max_length": self.max_length}

    @torch.inference_mode()
    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        assert tokenizer.mask is not None
        device = next(model.parameters()).device
        answers = []
        model.eval()
        for values in inputs:
            parts = values["text"].split(self.mark)
            if len(parts) < 2:
                raise RequestError("there is no [MASK] in the text", hint="e.g. 'The [MASK] sat on the mat.'")
            ids: list[int] = []
            for k, part in enumerate(parts):
                ids += ([tokenizer.mask] if k else []) + tokenizer.encode(part)
            whole, types = tokenizer.pair(ids)
            if len(whole) > self.max_length:
                raise RequestError(
                    f"the text has {len(whole)} tokens; the model takes {self.max_length}", hint="shorten it"
                )
            places = np.flatnonzero(np.asarray(whole) == tokenizer.mask)
            goal = Goal(places, np.zeros(len(places), np.int64))
            sample = Sample(0, encoder=np.asarray(whole), types=np.asarray(types), goals={"words": goal})
            batch = assemble([sample]).to(device)
            hidden = model(batch).flatten(0, 1).index_select(0, batch.targets["words"].index)
            best = model.predict("words", hidden).float().softmax(-1).topk(5)
            filled = np.asarray(whole).copy()
            filled[places] = best.indices[:, 0].cpu().numpy()
            answers.append(
                {
                    "text": tokenizer.decode(filled[1:-1].tolist()),
                    "words": [
                        [
                            {"word": tokenizer.decode([int(i)]), "score": float(p)}
                            for i, p in zip(row_ids, row, strict=True)
                        ]
                        for row_ids, row in zip(best.indices.cpu(), best.values.cpu(), strict=True)
                    ],
                }
            )
        return answers


class FillSpan:
    """`The <extra_id_0> on the mat.` to the span that fits best."""

    name = "fill-span"
    options: ClassVar[dict[str, Any]] = DECODING
    asked: tuple[str, ...] = ("text",)

    def __init__(self, max_length: int):
        self.max_length = max_length

    @classmethod
    def from_description(cls, values: dict[str, Any]) -> FillSpan:
        return cls(values["max_length"])

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "max_length": self.max_length}

    def answer(
        self, model: Transformer, tokenizer: Tokenizer, inputs: Sequence[dict[str, str]], settings: Evaluate
    ) -> list[Answer]:
        assert tokenizer.eos is not None
        answers = []
        for values in inputs:
            ids: list[int] = []
            for k, part in enumerate(_split_marks(values["text"])):
                ids += ([tokenizer.sentinels[k - 1]] if k else []) + tokenizer.encode(part)
            if len(ids) + 1 > self.max_length:  # cut off, it would lose its gaps
                raise RequestError(
                    f"the text has {len(ids) + 1} tokens; the model takes {self.max_length}",
                    hint="shorten it",
                )
            source = [[*ids, tokenizer.eos]]
            (output,) = generate(
                model,
                None,
                sources=source,
                eos=tokenizer.eos,
                start=tokenizer.pad or 0,
                max_new_tokens=min(settings.max_new_tokens, self.max_length - 1),
                beam=settings.beam,
                length_penalty=settings.length_penalty,
            )
            spans: list[list[int]] = []
            for token in output:
                if token in tokenizer.sentinels:
                    spans.append([])
                elif spans:
                    spans[-1].append(token)
            answers.append(
                {"text": " … ".join(map(tokenizer.decode, spans)), "spans": [*map(tokenizer.decode, spans)]}
            )
        return answers


def _split_marks(text: str) -> list[str]:
    """The parts between <extra_id_0>, <extra_id_1>, ...

    >>> _split_marks("a <extra_id_0> b")
    ['a ', ' b']
    """
    parts, k = [], 0
    while (mark := f"<extra_id_{k}>") in text:
        part, text = text.split(mark, 1)
        parts.append(part)
        k += 1
    if not parts:
        raise RequestError("there is no <extra_id_0> in the text", hint="e.g. 'The <extra_id_0> on the mat.'")
    return [*parts, text]
