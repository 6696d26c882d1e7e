"""A GGUF file beside the model it was made of: its tensors as another reader sees them, its cut of text, and
the answers of llama.cpp."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liju.errors import ExportError, MissingExtra
from liju.hub.bundle import Bundle
from liju.hub.engines import llama_run
from liju.hub.engines.checks import (
    Check,
    Made,
    apart,
    ends_alike,
    greedy,
    larger,
    next_logp,
    probe_ids,
    same_tokens,
    start_of,
)
from liju.hub.engines.gguf import DTYPES, load_gguf, write_gguf
from liju.hub.engines.gguf_shapes import shape_of
from liju.hub.engines.gguf_tokenizer import PROBES, RARE_PROBES, vocabulary
from liju.hub.engines.stock import Stock
from liju.samples.batch import Side

__all__ = ["make_gguf"]

# Largest rounding of a tensor, as a share of its largest value: half a unit in the last place; q8_0 has 127
# steps for each row of 32 numbers, whose own size is rounded to 16 bits.
ROUNDING = {"F32": 0.0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 0.57 / 127}
# Largest difference of log-probabilities, as a share of their spread, and of hidden states, of their largest.
# Its products with 16- and 8-bit weights round both sides; its GELU is a table of 16-bit numbers.
ANSWERS = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2, "q8_0": 1e-1}
GELU = 2e-3
TOKENS = 16


def make_gguf(folder: Path, bundle: Bundle, dtype: str) -> Made:
    """Write `<name>-<dtype>.gguf` into the folder and compare it, in three ways.

    Raises MissingExtra where gguf or llama.cpp is not installed, ExportError where llama.cpp cannot load it.
    """
    load_gguf()
    if find_spec("xllamacpp") is None:
        raise MissingExtra("xllamacpp", extra="gguf")
    config, tokenizer = bundle.config, bundle.tokenizer
    if tokenizer is None:
        raise ExportError(
            f"{bundle.folder}: no tokenizer, and a GGUF file holds one", hint="put its tokenizer.json there"
        )
    words = vocabulary(tokenizer, config.vocab_size)
    if bundle.task.get("pairs"):
        raise ExportError(
            "llama.cpp gives every token the first type, and this model was trained on pairs of texts",
            hint="nearest: onnx, which takes the types",
        )
    stock = Stock(bundle.model)
    name = bundle.folder.resolve().name or "model"
    path = folder / f"model-{dtype}.gguf"
    details = write_gguf(
        path,
        config,
        stock,
        words,
        dtype=dtype,
        name=name,
        labels=bundle.labels,
        chat_template=_chat_template(bundle.folder),
    )
    checks = [_tensors(path, bundle, dtype)]
    said = _ask(path, bundle)
    notes = []
    checks.append(_texts(tokenizer, PROBES, said["texts"][: len(PROBES)]))
    rare = _texts(tokenizer, RARE_PROBES, said["texts"][len(PROBES) :])
    details["rare texts cut otherwise"] = rare.details["cut otherwise"]
    if words.exact:
        checks.append(Check("rare texts", rare.what, rare.figure, 0.0, rare.details))
    else:
        same = len(RARE_PROBES) - int(rare.figure)
        notes.append(
            f"llama.cpp cuts text by rules of its own: {same} of {len(RARE_PROBES)} texts of rare kinds "
            "(other scripts' marks and numbers, runs of spaces) have the same tokens"
        )
    bound = max(ANSWERS[dtype], GELU if config.activation.startswith("gelu") else 0.0)
    if config.family == "decoder":
        checks += _decoder(bundle, said, bound)
    else:
        checks += _encoder(bundle, said, bound)
        label = "label" in bundle.model.heads
        gives = "the outputs of the label head (pooling: rank)" if label else "the vectors of an encoder"
        notes.append(f"llama.cpp gives {gives}, and every token the first type")
    return Made(said["version"], checks, stock.left, notes, details)


def _chat_template(folder: Path) -> str | None:
    plain, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if plain.exists():
        return plain.read_text(encoding="utf-8")
    template = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    template = template.get("chat_template")
    return template if isinstance(template, str) else None


def _tensors(path: Path, bundle: Bundle, dtype: str) -> Check:
    """What the reader of the gguf package finds in the file, beside the weights in memory."""
    gguf = load_gguf()
    shape = shape_of(bundle.config)
    assert shape is not None
    wanted = dict(shape.weights(bundle.config, Stock(bundle.model)))
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    worst = 0.0 if set(found) == set(wanted) else float("inf")
    for name, array in wanted.items():
        if name not in found:
            continue
        kind = found[name].tensor_type
        read = gguf.quants.dequantize(found[name].data, kind).reshape(array.shape)
        # A share of what the kind of this tensor allows: 1 is the bound of each.
        share = apart(array, read) / ROUNDING[kind.name] if ROUNDING[kind.name] else apart(array, read) * 1e9
        worst = larger(worst, share)
    what = f"{len(wanted)} tensors read back by gguf, as a share of the rounding of {DTYPES[dtype]}"
    return Check("tensors", what, worst, 1.0)


def _ask(path: Path, bundle: Bundle) -> dict[str, Any]:
    """llama.cpp's answers, from a process of its own."""
    config = bundle.config
    question: dict[str, Any] = {
        "model": str(path),
        "context": config.max_length,
        "threads": torch.get_num_threads(),
        "texts": [*PROBES, *RARE_PROBES],
    }
    if config.family == "decoder":
        prompts = _prompts(bundle)
        question |= {"prompts": prompts, "tokens": _room(bundle, prompts), "places": _places(bundle)}
        question["top"] = config.vocab_size if config.vocab_size <= 4096 else 64
    else:
        question |= {
            "inputs": _framed(bundle),
            "pooling": "rank" if "label" in bundle.model.heads else "none",
        }
    with tempfile.TemporaryDirectory() as place:
        asked, told = Path(place) / "question.json", Path(place) / "answer.json"
        asked.write_text(json.dumps(question), encoding="utf-8")
        command = [sys.executable, llama_run.__file__, str(asked), str(told)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not told.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            lines = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["no word"]
            raise ExportError(
                f"llama.cpp cannot load the file (it ended with {done.returncode}): {lines[0].strip():.200}",
                hint="nearest: huggingface, whose folder llama.cpp's own converter reads",
            )
        return json.loads(told.read_text(encoding="utf-8"))


def _prompts(bundle: Bundle) -> list[list[int]]:
    longest = max(1, min(12, bundle.config.max_length // 4))
    return [[*start_of(bundle), *ids] for ids in probe_ids(bundle, longest)]


def _places(bundle: Bundle) -> list[list[int]]:
    """Beginnings of rows, short and long, where the next token's probabilities are compared."""
    longest = max(2, min(64, bundle.config.max_length - 2))
    rows = [[*start_of(bundle), *ids] for ids in probe_ids(bundle, longest)]
    return [row[:end] for row in rows for end in sorted({len(row), (len(row) + 1) // 2, 2})]


def _room(bundle: Bundle, prompts: list[list[int]]) -> int:
    return max(1, min(TOKENS, bundle.config.max_length - max(map(len, prompts)) - 1))


def _framed(bundle: Bundle) -> list[list[int]]:
    assert bundle.tokenizer is not None
    rows = probe_ids(bundle, max(1, min(48, bundle.config.max_length - 2)))
    return [bundle.tokenizer.pair(ids)[0] for ids in rows]


def _texts(tokenizer: Any, texts: list[str], theirs: list[list[int]]) -> Check:
    ours = tokenizer.encode_batch(texts)
    other = [text for text, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    what = f"of {len(texts)} texts, those that llama.cpp cuts into other tokens"
    return Check("texts", what, float(len(other)), 0.0, {"cut otherwise": other})


def _decoder(bundle: Bundle, said: dict[str, Any], bound: float) -> Iterator[Check]:
    worst, places = 0.0, 0
    for row, told in zip(_places(bundle), said["places"], strict=True):
        if not told:
            continue
        logp = next_logp(bundle.model, row)
        ids = torch.tensor([int(i) for i in told])
        # The server has no word for what is not a number.
        values = torch.tensor([float("nan") if v is None else v for v in told.values()], dtype=torch.float64)
        found = float((logp[ids] - values).abs().max() / (logp.max() - logp.min()))
        worst, places = larger(worst, found), places + 1
    what = f"log-probabilities of the next token at {places} places, as a share of their spread"
    yield Check("logits", what, worst if places else float("inf"), bound)
    prompts = _prompts(bundle)
    room, eos = _room(bundle, prompts), getattr(bundle.tokenizer, "eos", None)
    theirs = ends_alike(said["prompts"], room, eos)
    yield same_tokens(bundle.model, prompts, greedy(bundle.model, prompts, room, eos), theirs, bound)


@torch.no_grad()
def _encoder(bundle: Bundle, said: dict[str, Any], bound: float) -> Iterator[Check]:
    model, worst = bundle.model, 0.0
    label = "label" in model.heads
    for ids, vectors in zip(_framed(bundle), said["inputs"], strict=True):
        hidden = model.encode(Side.of(torch.tensor([ids])))[0]
        ours = model.predict("label", hidden[:1])[0] if label else hidden
        theirs = np.asarray(vectors, np.float64)
        theirs = theirs.ravel()[: len(ours)] if label else theirs
        worst = larger(worst, apart(ours.float().numpy(), theirs))
    what = "outputs of the label head" if label else "vectors of every token"
    yield Check("outputs", f"{what}, {len(said['inputs'])} texts, as a share of the largest", worst, bound)
