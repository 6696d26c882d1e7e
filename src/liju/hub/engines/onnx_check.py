"""ONNX graphs beside the model they were made of, in ONNX Runtime: several batch sizes and lengths, empty
places, and the words that it writes with the keys and values of earlier calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liju.errors import MissingExtra
from liju.hub.bundle import Bundle
from liju.hub.engines.checks import (
    Check,
    Made,
    apart,
    ends_alike,
    greedy,
    larger,
    probe_ids,
    same_tokens,
    start_of,
)
from liju.hub.engines.onnx import write_onnx
from liju.hub.engines.stock import Stock
from liju.hub.files import save_tokenizer
from liju.samples.batch import Sample, Side, assemble

__all__ = ["make_onnx"]

# Largest difference of any output, as a share of the largest: both compute in float32, in another order.
BOUND = 5e-5
TOKENS = 12
SIZES = [(1, 1), (1, 2), (3, 7), (2, 33)]  # (batch, longest row)


def make_onnx(folder: Path, bundle: Bundle, dtype: str) -> Made:
    """Write the graphs and the tokenizer into the folder, and compare.

    Raises MissingExtra where onnx or onnxruntime is not installed.
    """
    runtime = _runtime()
    model, config = bundle.model, bundle.config
    stock = Stock(model)
    state = model.state_dict()
    heads = {
        name: config.vocab_size if name == "words" else len(state[f"heads.{name}.weight"])
        for name in model.heads
    }
    files = write_onnx(folder, config, stock, heads)
    if bundle.tokenizer is not None:
        save_tokenizer(bundle.tokenizer, folder, config.max_length)
    asked = _Asked(runtime, folder, bundle)
    checks = [asked.outputs()]
    notes = []
    if config.family == "encoder":
        notes.append("empty places come last in a row; attention_mask is 0 there")
    else:
        notes.append("empty places come first in a row; attention_mask, over past and new places, is 0 there")
        checks.append(asked.padded())
        if "words" in heads:
            checks.append(asked.greedy())
    details = {name: asked.signature(name) for name in files}
    return Made(f"onnxruntime {runtime.__version__}", checks, stock.left, notes, details)


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", extra="onnx") from None
    return onnxruntime


class _Asked:
    """ONNX Runtime's answers, and ours."""

    def __init__(self, runtime: Any, folder: Path, bundle: Bundle):
        self.bundle, self.model, self.config = bundle, bundle.model, bundle.config
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.sessions = {
            path.name: runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for path in sorted(folder.glob("*.onnx"))
        }

    def signature(self, name: str) -> dict[str, Any]:
        """Inputs and outputs of a graph, for the report: past and present once."""
        session = self.sessions[name]

        def shown(values: Any) -> dict[str, Any]:
            return {one.name: one.shape for one in values if ".0." in one.name or "." not in one.name}

        return {"inputs": shown(session.get_inputs()), "outputs": shown(session.get_outputs())}

    def outputs(self) -> Check:
        """Every output for rows of several lengths, and of several rows."""
        worst, sizes = 0.0, []
        for batch, longest in SIZES:
            longest = min(longest, self.config.max_length)
            rows = self._rows(batch, longest)
            sizes.append(f"{batch} x {longest}")
            theirs, ours = self._both(rows)
            for name, values in ours.items():
                worst = larger(worst, apart(values, theirs[name]))
        what = f"every output, batch x length {', '.join(sizes)}, as a share of its largest"
        return Check("outputs", what, worst, BOUND)

    def padded(self) -> Check:
        """A decoder's rows of other lengths together, empty places first, the second half after the first."""
        rows = self._rows(3, min(11, self.config.max_length))
        theirs = self._onward(rows)
        worst = 0.0
        for row, told in zip(rows, theirs, strict=True):
            worst = larger(worst, apart(self._hidden(row, rows[0]), told))
        return Check("past", "rows of other lengths in two calls, as a share of the largest", worst, BOUND)

    def greedy(self) -> Check:
        """Words written one at a time with the keys and values of the calls before."""
        start = start_of(self.bundle)
        rows = probe_ids(self.bundle, max(1, min(9, self.config.max_length // 4)))
        sources = None
        prompts = [[*start, *row] for row in rows]
        if self.config.has_encoder:
            sources, prompts = rows, [start for _ in rows]
        room = max(1, min(TOKENS, self.config.max_length - max(map(len, prompts)) - 1))
        eos = getattr(self.bundle.tokenizer, "eos", None)
        ours = greedy(self.model, prompts, room, eos, sources)
        theirs = []
        for i, prompt in enumerate(prompts):
            cross = {} if sources is None else self._cross([sources[i]], typed=False)
            past, new, written = self._empty(1), prompt, []
            while len(written) < room and eos not in written[-1:]:
                told = self._step([new], past, cross, len(prompt) + len(written))
                past = {k.replace("present", "past"): v for k, v in told.items() if k.startswith("present")}
                new = [int(told["words"][0, -1].argmax())]
                written += new
            theirs.append(written)
        theirs = ends_alike(theirs, room, eos)
        return same_tokens(self.model, prompts, ours, theirs, BOUND, sources)

    # ours and theirs

    def _rows(self, batch: int, longest: int) -> list[list[int]]:
        """Rows of lengths from `longest` down."""
        found = probe_ids(self.bundle, longest)[-1]
        return [(found[i:] + found[:i])[: max(1, longest - 2 * i)] for i in range(batch)]

    def _sides(self, rows: list[list[int]], typed: bool = True) -> Side:
        types = None
        if typed and self.config.num_types and self.config.has_encoder:
            types = [np.arange(len(row)) * self.config.num_types // len(row) for row in rows]
        samples = [
            Sample(i, encoder=np.asarray(row), types=None if types is None else types[i])
            for i, row in enumerate(rows)
        ]
        side = assemble(samples).encoder
        assert side is not None
        return side

    @torch.no_grad()
    def _hidden(self, row: list[int], source: list[int]) -> np.ndarray:
        """Our hidden states of a row alone, [place d_model]."""
        side = Side.of(torch.tensor([row]))
        if self.config.has_encoder:
            memory = self._sides([source])
            return self.model.decode(side, self.model.encode(memory), memory)[0].numpy()
        return self.model.decode(side)[0].numpy()

    @torch.no_grad()
    def _both(self, rows: list[list[int]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Every output of a batch where there is a token, theirs and ours."""
        model, config = self.model, self.config
        side = self._sides(rows)
        there = (side.segment > 0).numpy()
        if config.family == "encoder":
            feed = {"input_ids": side.tokens.numpy(), "attention_mask": there.astype(np.int64)}
            if side.types is not None:
                feed["token_type_ids"] = side.types.numpy()
            theirs = self._run("model.onnx", feed)
            hidden = model.encode(side)
        else:
            cross = self._cross(rows) if config.has_encoder else {}
            count = side.tokens.shape[1]
            # All rows begin at once here, empty places last: no one looks at those in causal order.
            mask = np.ones_like(there, np.int64)
            told = self._step(side.tokens.tolist(), self._empty(len(rows)), cross, count, mask)
            theirs = {name: value for name, value in told.items() if not name.startswith("present")}
            memory = model.encode(side) if config.has_encoder else None
            hidden = model.decode(side, memory, side if config.has_encoder else None)
        ours = {"last_hidden_state": hidden}
        for name in model.heads:
            whole = config.family == "encoder" and theirs[name].ndim == 2
            ours[name] = model.predict(name, hidden[:, 0] if whole else hidden)
        kept = {name: value.numpy() for name, value in ours.items()}
        return tuple(  # type: ignore[return-value]
            {name: values[name] if values[name].ndim == 2 else values[name][there] for name in kept}
            for values in (theirs, kept)
        )

    def _onward(self, rows: list[list[int]]) -> Iterator[np.ndarray]:
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for r, row in enumerate(rows):
            ids[r, width - len(row) :], mask[r, width - len(row) :] = row, 1
        cross = self._cross([rows[0]] * len(rows)) if self.config.has_encoder else {}
        half = (width + 1) // 2
        told = self._step(ids[:, :half].tolist(), self._empty(len(rows)), cross, half, mask[:, :half])
        past = {k.replace("present", "past"): v for k, v in told.items() if k.startswith("present")}
        then = self._step(ids[:, half:].tolist(), past, cross, width, mask) if half < width else None
        parts = [one["last_hidden_state"] for one in (told, then) if one is not None]
        hidden = np.concatenate(parts, axis=1)
        for r, row in enumerate(rows):
            yield hidden[r, width - len(row) :]

    # the graphs

    def _run(self, name: str, feed: dict[str, Any]) -> dict[str, np.ndarray]:
        session = self.sessions[name]
        names = [one.name for one in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))

    def _empty(self, batch: int) -> dict[str, np.ndarray]:
        config = self.config
        none = np.zeros((batch, config.num_kv_heads, 0, config.d_k), np.float32)
        return {f"past.{i}.{kind}": none for i in range(config.decoder_layers) for kind in ("key", "value")}

    def _cross(self, rows: list[list[int]], typed: bool = True) -> dict[str, np.ndarray]:
        """What the encoder gives the decoder."""
        side = self._sides(rows, typed)
        there = (side.segment > 0).numpy().astype(np.int64)
        feed = {"input_ids": side.tokens.numpy(), "attention_mask": there}
        if self.config.num_types:
            types = torch.zeros_like(side.tokens) if side.types is None else side.types
            feed["token_type_ids"] = types.numpy()
        told = self._run("encoder.onnx", feed)
        cross = {name: value for name, value in told.items() if name.startswith("cross")}
        return {**cross, "encoder_attention_mask": there}

    def _step(
        self,
        ids: list[list[int]],
        past: dict[str, np.ndarray],
        cross: dict[str, np.ndarray],
        total: int,
        mask: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        mask = np.ones((len(ids), total), np.int64) if mask is None else mask
        feed = {"input_ids": np.asarray(ids, np.int64), "attention_mask": mask, **past, **cross}
        return self._run("decoder.onnx" if self.config.has_encoder else "model.onnx", feed)
