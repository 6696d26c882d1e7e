"""What a tokenizer puts around a text and a pair of texts: [CLS] a [SEP] b [SEP]; <s> a; a </s>."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import processors

__all__ = ["Frame", "bos_and_eos"]


@dataclass(frozen=True)
class Frame:
    """`single` and `pair` in order: ("A" or "B", token type), or (ids, token type) of special tokens."""

    single: list[tuple[Any, int]]
    pair: list[tuple[Any, int]]

    @classmethod
    def of(cls, backend: Backend) -> Frame | None:
        """The frame of a tokenizer; None where it puts nothing around a text.

        >>> from tokenizers import models
        >>> backend = Backend(models.WordLevel({"<s>": 0, "</s>": 1}))
        >>> backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
        >>> Frame.of(backend).fill([7], [8])
        ([0, 7, 1, 1, 8, 1], [0, 0, 0, 0, 0, 0])
        """
        processor: Any = backend.post_processor
        return None if processor is None else _read(json.loads(processor.__getstate__()))

    def fill(self, a: Sequence[int], b: Sequence[int] | None) -> tuple[list[int], list[int]]:
        """The ids and the token types."""
        ids: list[int] = []
        types: list[int] = []
        for part, kind in self.single if b is None else self.pair:
            piece = a if part == "A" else b or () if part == "B" else part
            ids += piece
            types += [kind] * len(piece)
        return ids, types


def _read(said: dict[str, Any]) -> Frame | None:
    kind = said["type"]
    if kind == "Sequence":
        found = [frame for one in said["processors"] if (frame := _read(one)) is not None]
        return found[-1] if found else None
    if kind == "TemplateProcessing":
        tokens = {name: token["ids"] for name, token in said["special_tokens"].items()}
        return Frame(_template(said["single"], tokens), _template(said["pair"], tokens))
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls, sep = [said["cls"][1]], [said["sep"][1]]
        single = [(cls, 0), ("A", 0), (sep, 0)]
        second = int(kind == "BertProcessing")
        between = [] if second else [(sep, 0)]
        return Frame(single, [*single, *between, ("B", second), (sep, second)])
    return None


def _template(parts: list[dict[str, Any]], tokens: dict[str, list[int]]) -> list[tuple[Any, int]]:
    found: list[tuple[Any, int]] = []
    for part in parts:
        for kind, said in part.items():
            what = said["id"] if kind == "Sequence" else tokens[said["id"]]
            found.append((what, said["type_id"]))
    return found


def bos_and_eos(backend: Backend, bos: str | None, eos: str | None, types: bool = True) -> None:
    """Give a tokenizer the frame `bos a eos`, `bos a eos bos b eos`; None leaves a token out."""
    tokens = [(name, backend.token_to_id(name)) for name in dict.fromkeys((bos, eos)) if name is not None]
    before, after = (f"{bos} " if bos else ""), (f" {eos}" if eos else "")
    second = "".join(
        [f"{bos}:{int(types)} " if bos else "", f"$B:{int(types)}", f" {eos}:{int(types)}" if eos else ""]
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{before}$A{after}", pair=f"{before}$A{after} {second}", special_tokens=tokens
    )
