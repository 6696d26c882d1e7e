"""tokenizer.json: the file of `tokenizers`, looked at before it is handed over."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.declared import is_cut

__all__ = ["fast_backend"]

_MODELS = ("BPE", "WordPiece", "Unigram", "WordLevel")


def fast_backend(path: Path) -> Backend:
    """The tokenizer in a tokenizer.json. Raises TokenizerError naming the line or the key."""
    try:
        text = path.read_text(encoding="utf-8")
        said = json.loads(text)
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: not UTF-8 (byte {error.start:,})", hint="copy it again") from None
    except json.JSONDecodeError as error:
        what = "cut off" if is_cut(error) else "not JSON"
        raise TokenizerError(f"{path}:{error.lineno}: {what} ({error.msg})", hint="copy it again") from None
    if not isinstance(said, dict) or not isinstance(said.get("model"), dict):
        raise TokenizerError(
            f"{path}: not a tokenizer: no key model", hint="it is a file that the library tokenizers writes"
        )
    _check_model(said["model"], path)
    try:
        backend = Backend.from_str(text)
    except Exception as error:  # the Rust side raises plain Exception
        raise TokenizerError(f"{path}: not a tokenizer ({error})", hint=_culprit(said)) from None
    _check_ids(said, backend, path)
    return backend


def _check_model(model: dict[str, Any], path: Path) -> None:
    kind = model.get("type")  # old files leave it out
    if kind is not None and kind not in _MODELS:
        near = difflib.get_close_matches(str(kind), _MODELS, 1, 0.5)
        raise TokenizerError(
            f"{path}: model.type: {kind!r}",
            hint=f"did you mean {near[0]}?" if near else f"one of {', '.join(_MODELS)}",
        )
    vocab = model.get("vocab")
    if not isinstance(vocab, (dict, list)) or not vocab:
        raise TokenizerError(
            f"{path}: model.vocab: nothing in it", hint="the file is of no trained tokenizer"
        )
    if isinstance(vocab, dict):
        owners: dict[Any, str] = {}
        for word, number in vocab.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise TokenizerError(
                    f"{path}: model.vocab: {word!r} has the id {number!r}", hint="an id is a whole number"
                )
            if number in owners:
                raise TokenizerError(
                    f"{path}: model.vocab: {owners[number]!r} and {word!r} have the same id {number}",
                    hint="each token has one id",
                )
            owners[number] = word
        _check_merges(model, vocab, path)


def _check_merges(model: dict[str, Any], vocab: dict[str, int], path: Path) -> None:
    prefix = model.get("continuing_subword_prefix") or ""
    for number, merge in enumerate(model.get("merges") or []):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise TokenizerError(
                f"{path}: model.merges[{number}]: {merge!r}", hint="a merge is of two tokens"
            )
        for token in (*pair, pair[0] + pair[1].removeprefix(prefix)):
            if token not in vocab:
                raise TokenizerError(
                    f"{path}: model.merges[{number}]: {' '.join(pair)!r} needs {token!r}, "
                    "which model.vocab has not",
                    hint="the merges are of another vocabulary",
                )


def _check_ids(said: dict[str, Any], backend: Backend, path: Path) -> None:
    """What has an id of its own in the file has this one in the tokenizer."""
    for number, token in enumerate(said.get("added_tokens") or []):
        got = backend.token_to_id(token["content"])
        if got != token["id"]:
            raise TokenizerError(
                f"{path}: added_tokens[{number}]: {token['content']!r} has the id {token['id']}, "
                f"and {got} in the vocabulary",
                hint="the ids of added tokens follow the vocabulary's without a gap",
            )
    size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    for name, number in _framed(said.get("post_processor")):
        if number >= size:
            raise TokenizerError(
                f"{path}: post_processor: {name!r} has the id {number}, the vocabulary has {size}",
                hint="the frame is of another vocabulary",
            )


def _framed(processor: Any) -> list[tuple[str, int]]:
    """The special tokens that are put around a text, and their ids."""
    if not isinstance(processor, dict):
        return []
    found = [pair for one in processor.get("processors") or [] for pair in _framed(one)]
    found += [tuple(processor[key]) for key in ("cls", "sep") if isinstance(processor.get(key), list)]
    special = processor.get("special_tokens")
    for name, token in special.items() if isinstance(special, dict) else ():
        found += [(name, number) for number in token["ids"]]
    return found


def _culprit(said: dict[str, Any]) -> str:
    """Which part the library cannot read, each tried with a small model."""
    small = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"):
        if said.get(key):
            empty = {"version": "1.0", "added_tokens": [], "model": small}
            empty |= dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder"))
            try:
                Backend.from_str(json.dumps({**empty, key: said[key]}))
            except Exception:
                kind = said[key].get("type") if isinstance(said[key], dict) else None
                return f"look at its key {key}" + (f", type {kind!r}" if kind else "")
    return "look at its key model"
