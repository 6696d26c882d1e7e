"""What is known of a published system: its switches, where they are from, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Objective", "Preset", "VocabKind"]

Objective = Literal["masked", "causal", "denoising", "translation"]
VocabKind = Literal["wordpiece", "bpe", "unigram"]


@dataclass(frozen=True)
class Preset:
    """One size of a published system, as data.

    >>> Preset("toy", "toys", {"family": "decoder"}, "nobody", "causal", "bpe", "7").pretraining
    'causal'
    """

    name: str
    system: str  # the family of presets that it belongs to: bert, gpt3, llama
    switches: Mapping[str, Any]  # values of TransformerConfig's fields; what is left out has its usual value
    source: str  # the paper and its table, or the configuration file that the values were read from
    objective: Objective  # what the paper trains it on
    vocab: VocabKind
    published: str  # the number of parameters in the words of the paper
    note: str = ""  # what a reader should know before quoting it
    weights: int = 0  # parameters of the public weights, to the unit; 0: there are none
    buffers: int = 0  # of our parameters, those that the public weights do not count
    next_sentence: bool = False  # also trained on next-sentence prediction
    lowercase: bool = False  # the vocabulary is of lower-cased text
    mask_rate: float = 0.15  # of masked words and of denoised spans

    @property
    def heads(self) -> dict[str, int]:
        """Further heads that training puts on top, by name: their outputs."""
        return {"next_sentence": 2} if self.next_sentence else {}

    @property
    def pretraining(self) -> str:
        """What a project trains it on without labels: a translation system learns to denoise first."""
        return "denoising" if self.objective == "translation" else self.objective

    @property
    def learns(self) -> str:
        """The objective in words.

        >>> Preset("toy", "toys", {}, "nobody", "masked", "bpe", "7", next_sentence=True).learns
        'masked + next sentence'
        """
        return f"{self.objective} + next sentence" if self.next_sentence else self.objective
