"""Which of a folder's files are its tokenizer, and what they say together.

tokenizer.json                            `fast`
vocab.json + merges.txt, encoder.json + vocab.bpe    `merges`
vocab.txt                                 `wordpiece`
a SentencePiece .model or .spm            `sentencepiece`, `pieces`
tiktoken's ranks (tokenizer.model, .tiktoken)        `tiktoken`
llama2.c's .bin                           `llama2c`
source.spm + target.spm + vocab.json      `marian`, by Tokenizer.load
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.declared import Declared
from liju.vocab.fast import fast_backend
from liju.vocab.frames import bos_and_eos
from liju.vocab.llama2c import read_llama2c
from liju.vocab.merges import merges_backend
from liju.vocab.pieces import pieces_backend
from liju.vocab.sentencepiece import SentencePiece, read_sentencepiece
from liju.vocab.special import sentinels
from liju.vocab.tiktoken import is_tiktoken, tiktoken_backend
from liju.vocab.wordpiece import lowercases, wordpiece_backend

__all__ = ["Found", "find", "read"]

_MERGES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_MODELS = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
# Settings that are of this place, or that another class than the one written would read otherwise.
_PLACES = {
    "auto_map",
    "name_or_path",
    "tokenizer_file",
    "vocab_file",
    "special_tokens_map_file",
    "merges_file",
}
_ANY = "PreTrainedTokenizerFast"  # the class that takes a tokenizer.json as it is


@dataclass(frozen=True)
class Found:
    """`settings` are those of tokenizer_config.json that belong to the tokenizer as it is written again."""

    backend: Backend
    roles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    chat_template: str | None = None


def find(path: Path) -> Path | None:
    """The file that is the tokenizer of a folder, the most complete first; None where there is none."""
    if (path / "tokenizer.json").is_file():
        return path / "tokenizer.json"
    if (path / "source.spm").is_file():
        return path / "source.spm"
    for name in (*_MODELS, *(vocab for vocab, _ in _MERGES), "vocab.txt", "tokenizer.bin"):
        if (path / name).is_file():
            return path / name
    return next(iter(sorted(path.glob("*.tiktoken"))), None)


def read(path: Path) -> Found:
    """The tokenizer at `path`, a file or a folder, with what the files beside it declare.

    Raises TokenizerError where nothing is there, or what is there is not a tokenizer.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        found = find(path)
        if found is None:
            raise TokenizerError(
                f"{path}: no tokenizer here",
                hint="it has tokenizer.json, vocab.json and merges.txt, vocab.txt, or a SentencePiece .model",
            )
        path = found
    if not path.is_file():
        raise TokenizerError(f"{path}: no such file")
    declared = Declared.of(folder)
    try:
        backend, roles, settings = _read(path, declared)
    except TokenizerError:
        raise
    except Exception as error:  # the Rust side raises plain Exception
        raise TokenizerError(f"{path}: not a tokenizer ({error})", hint="copy it again") from None
    backend.no_padding()
    backend.no_truncation()
    kept = {name: value for name, value in settings.items() if name not in _PLACES}
    return Found(backend, roles, kept, declared.chat_template)


def _read(path: Path, declared: Declared) -> tuple[Backend, dict[str, str], dict[str, Any]]:
    settings = declared.settings
    merges = next((path.parent / merges for vocab, merges in _MERGES if path.name == vocab), None)
    if merges is not None and merges.is_file():
        return merges_backend(path, merges, declared), declared.roles_of(declared.style), settings
    if path.suffix in (".model", ".spm", ".bin", ".tiktoken"):
        settings = {**settings, "tokenizer_class": _ANY}
        if path.suffix != ".bin" and is_tiktoken(path):
            return tiktoken_backend(path, declared), declared.roles, settings
        model = read_llama2c(path) if path.suffix == ".bin" else read_sentencepiece(path)
        return _sentencepiece(model, declared), {**model.roles(), **declared.roles}, settings
    if path.suffix == ".json":
        if merges is not None and not (path.parent / "tokenizer.json").is_file() and _is_vocabulary(path):
            raise TokenizerError(
                f"{merges}: no such file",
                hint=f"{path.name} has the tokens; their merges are in {merges.name}",
            )
        if "auto_map" in settings:  # a class in a file that is not copied
            settings = {**settings, "tokenizer_class": _ANY}
        return fast_backend(path), declared.roles, settings
    backend = wordpiece_backend(path, declared)
    vocabulary = backend.get_vocab(with_added_tokens=False)
    return backend, declared.roles, {**settings, "do_lower_case": lowercases(vocabulary, declared)}


def _is_vocabulary(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return '"model"' not in file.read(100_000)


def _sentencepiece(model: SentencePiece, declared: Declared) -> Backend:
    """The model with its added tokens; T5's sentinels are in no file where they are not declared."""
    backend = pieces_backend(model)
    added = declared.added
    declared.add_to(backend)
    if declared.style == "t5" and not any(token.content == "<extra_id_0>" for token in added.values()):
        count = declared.settings.get("extra_ids", len(sentinels("encdec")))
        names = sentinels("encdec")[-count:] if count else []
        names = [name for name in names if backend.token_to_id(name) is None]
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    roles = {**model.roles(), **declared.roles}
    flags = [name in declared.settings for name in ("add_bos_token", "add_eos_token")]
    if any(flags):
        bos = roles.get("bos") if declared.flag("add_bos_token", True) else None
        eos = roles.get("eos") if declared.flag("add_eos_token", False) else None
        vocabulary = backend.get_vocab(with_added_tokens=True)
        bos_and_eos(backend, bos if bos in vocabulary else None, eos if eos in vocabulary else None)
    return backend
