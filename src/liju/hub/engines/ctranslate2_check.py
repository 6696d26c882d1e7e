"""A CTranslate2 folder beside the model it was made of: the log-probabilities of its words, and its greedy
answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from liju.errors import ExportError
from liju.hub.bundle import Bundle
from liju.hub.engines.checks import (
    Check,
    Made,
    ends_alike,
    greedy,
    larger,
    next_logp,
    probe_ids,
    same_tokens,
    start_of,
)
from liju.hub.engines.ctranslate2 import load_ctranslate2, specification
from liju.hub.engines.stock import Stock
from liju.hub.files import save_tokenizer

__all__ = ["make_ctranslate2"]

# Largest difference of log-probabilities, as a share of their spread. 16-bit weights are read back as float32
# on a CPU; with 8 bits each row of a product is rounded too.
ANSWERS = {"float32": 5e-5, "float16": 5e-3, "bfloat16": 5e-2, "int8": 1e-1}
TOKENS = 16


def make_ctranslate2(folder: Path, bundle: Bundle, dtype: str) -> Made:
    """Write CTranslate2's files and the tokenizer into the folder, and compare.

    Raises MissingExtra where ctranslate2 is not installed, ExportError for a vocabulary with a token twice.
    """
    library = load_ctranslate2()
    stock = Stock(bundle.model)
    spec = specification(bundle.config, stock)
    tokens = _tokens(bundle)
    _name(spec, bundle, tokens)
    spec.validate()
    spec.optimize(quantization=None if dtype == "float32" else dtype)
    spec.save(str(folder))
    if bundle.tokenizer is not None:
        save_tokenizer(bundle.tokenizer, folder, bundle.config.max_length)
    ask = _Translator if bundle.config.family == "encdec" else _Generator
    checks = ask(library, folder, bundle, tokens, dtype).checks(ANSWERS[dtype])
    notes = [
        "a text's tokens are those of tokenizer.json beside the model, by name",
        "with beams, CTranslate2 ends a search and weighs lengths by rules of its own: answers may differ",
    ]
    return Made(f"ctranslate2 {library.__version__}", checks, stock.left, notes)


def _tokens(bundle: Bundle) -> list[str]:
    """The name of each row of the embedding. CTranslate2 knows tokens by name, so that each needs its own."""
    size, tokenizer = bundle.config.vocab_size, bundle.tokenizer
    if tokenizer is None:
        raise ExportError(
            f"{bundle.folder}: no tokenizer, and CTranslate2 knows tokens by name",
            hint="put its tokenizer.json there",
        )
    named = [tokenizer.backend.id_to_token(i) for i in range(min(size, tokenizer.size))]
    tokens = [f"<unused {i}>" if name is None else name for i, name in enumerate(named)]
    tokens += [f"<unused {i}>" for i in range(len(tokens), size)]
    if len(set(tokens)) != len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise ExportError(f"{bundle.folder}: the vocabulary has {twice!r} twice")
    return tokens


def _name(spec: Any, bundle: Bundle, tokens: list[str]) -> None:
    """The vocabulary, and the tokens with a role."""
    tokenizer, config = bundle.tokenizer, spec.config
    assert tokenizer is not None
    start = tokens[(start_of(bundle) or [0])[0]]
    config.unk_token = tokens[tokenizer.unk if tokenizer.unk is not None else 0]
    config.eos_token = tokens[tokenizer.eos] if tokenizer.eos is not None else start
    config.bos_token = tokens[tokenizer.bos] if tokenizer.bos is not None else start
    if bundle.config.family == "encdec":
        config.decoder_start_token = start
        spec.register_source_vocabulary(tokens)
        spec.register_target_vocabulary(tokens)
    else:
        spec.register_vocabulary(tokens)


class _Asked:
    """The engine's answers to the probes, and ours."""

    def __init__(self, library: Any, folder: Path, bundle: Bundle, tokens: list[str], dtype: str):
        self.bundle, self.model, self.tokens = bundle, bundle.model, tokens
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.eos = bundle.tokenizer.eos if bundle.tokenizer is not None else None
        self.rows = probe_ids(bundle, max(1, min(12, bundle.config.max_length // 4)))
        self.start = start_of(bundle)
        kind = library.Translator if bundle.config.family == "encdec" else library.Generator
        compute = "int8" if dtype == "int8" else "float32"
        self.engine = kind(str(folder), compute_type=compute, intra_threads=torch.get_num_threads())

    def named(self, ids: list[int]) -> list[str]:
        return [self.tokens[i] for i in ids]


class _Generator(_Asked):
    def checks(self, bound: float) -> list[Check]:
        prompts = [[*self.start, *row] for row in self.rows]
        worst, places = 0.0, 0
        for prompt in prompts:
            told = np.array(self.engine.forward_batch([self.named(prompt)], return_log_probs=True))[0]
            for at in range(len(prompt)):
                logp = next_logp(self.model, prompt[: at + 1]).numpy()
                worst = larger(worst, float(np.abs(logp - told[at]).max() / (logp.max() - logp.min())))
                places += 1
        what = f"log-probabilities of the next token at {places} places, as a share of their spread"
        room = max(1, min(TOKENS, self.bundle.config.max_length - max(map(len, prompts)) - 1))
        said = self.engine.generate_batch(
            [self.named(prompt) for prompt in prompts],
            max_length=room,
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        theirs = ends_alike([result.sequences_ids[0] for result in said], room, self.eos)
        ours = greedy(self.model, prompts, room, self.eos)
        return [Check("logits", what, worst, bound), same_tokens(self.model, prompts, ours, theirs, bound)]


class _Translator(_Asked):
    def checks(self, bound: float) -> list[Check]:
        ends = [] if self.eos is None else [self.eos]
        sources = [[*row, *ends] for row in self.rows]
        targets = self.rows[1:] + self.rows[:1]
        worst = 0.0
        said = self.engine.score_batch([self.named(x) for x in sources], [self.named(x) for x in targets])
        for source, target, scored in zip(sources, targets, said, strict=True):
            for at, told in enumerate(scored.log_probs):
                logp = next_logp(self.model, [*self.start, *target[:at]], source)
                ours = logp[[*target, *ends][at]]
                worst = larger(worst, float((ours - told).abs() / (logp.max() - logp.min())))
        words = sum(len(target) for target in targets)
        what = f"log-probabilities of {words} words of given answers, as a share of their spread"
        room = max(1, min(TOKENS, self.bundle.config.max_length - 1))
        found = self.engine.translate_batch(
            [self.named(source) for source in sources], beam_size=1, max_decoding_length=room
        )
        theirs = ends_alike([[self.ids[t] for t in one.hypotheses[0]] for one in found], room, self.eos)
        prompts = [self.start for _ in sources]
        ours = greedy(self.model, prompts, room, self.eos, sources)
        alike = same_tokens(self.model, prompts, ours, theirs, bound, sources)
        return [Check("scores", what, worst, bound), alike]
