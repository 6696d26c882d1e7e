"""tiktoken's files: one token a line, its bytes in base64 and its rank (Llama 3's tokenizer.model)."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from tokenizers import Regex, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.bytes import LETTERS
from liju.vocab.declared import Declared
from liju.vocab.frames import bos_and_eos

__all__ = ["is_tiktoken", "read_ranks", "tiktoken_backend"]

# llama3/llama/tokenizer.py; tiktoken's cl100k_base cuts in the same places.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The files hold no pattern: the number of ranks tells which vocabulary it is.
_PATTERNS = {128_000: _LLAMA3, 100_256: _LLAMA3, 50_256: _GPT2}
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?")


def is_tiktoken(path: Path) -> bool:
    """Whether a file begins as tiktoken's do. A SentencePiece .model is binary."""
    with path.open("rb") as file:
        return _LINE.fullmatch(file.readline(4096).rstrip(b"\n")) is not None


def read_ranks(path: Path) -> dict[bytes, int]:
    """The tokens and their ranks. Raises TokenizerError naming the line."""
    ranks: dict[bytes, int] = {}
    seen: set[int] = set()
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            if _LINE.fullmatch(line) is None:
                raise ValueError
            token, rank = line.split()
            token, rank = base64.b64decode(token, validate=True), int(rank)
        except (ValueError, binascii.Error):
            raise TokenizerError(
                f"{path}:{number}: not a token in base64 and its rank: {line[:40]!r}", hint="copy it again"
            ) from None
        if token in ranks or rank in seen:
            what = f"the token {token!r}" if token in ranks else f"the rank {rank}"
            raise TokenizerError(f"{path}:{number}: {what} is there twice", hint="each token has one rank")
        ranks[token] = rank
        seen.add(rank)
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing or max(seen) != len(ranks) - 1:
        what = f"no token for the byte {missing[0]}" if missing else f"{len(ranks)} ranks up to {max(seen)}"
        raise TokenizerError(f"{path}: {what}", hint="the file is cut off: copy it again")
    return ranks


def tiktoken_backend(path: Path, declared: Declared) -> Backend:
    """The tokenizer of a file of ranks. Raises TokenizerError where its pattern is not known."""
    ranks = read_ranks(path)
    pattern = _PATTERNS.get(len(ranks))
    if pattern is None and path.name == "tokenizer.model":
        pattern = _LLAMA3
    if pattern is None:
        raise TokenizerError(
            f"{path}: {len(ranks)} ranks, and the file does not say how text is cut into words",
            hint="convert it to a tokenizer.json; read are Llama 3's tokenizer.model, cl100k_base, r50k_base",
        )
    ids = {_letters(token): rank for token, rank in ranks.items()}
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        merges += [(rank, ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
    pairs = [(_letters(a), _letters(b)) for *_, a, b in sorted(merges)]
    backend = Backend(models.BPE(ids, pairs, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    if declared.added:
        declared.add_to(backend)
    elif len(ranks) == 128_000:
        backend.add_special_tokens(_llama3_special())
    elif len(ranks) in (50_256, 100_256):  # cl100k's others are not next to it
        backend.add_special_tokens(["<|endoftext|>"])
    bos = declared.roles.get("bos", "<|begin_of_text|>")
    if declared.flag("add_bos_token", True) and backend.token_to_id(bos) is not None:
        bos_and_eos(backend, bos, None)
    return backend


def _letters(token: bytes) -> str:
    return "".join(LETTERS[byte] for byte in token)


def _llama3_special() -> list[str]:
    """Llama 3's 256 special tokens, as its own tokenizer.py numbers them."""
    reserved = [f"<|reserved_special_token_{n}|>" for n in range(251)]
    return [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        *reserved[:4],
        "<|start_header_id|>",
        "<|end_header_id|>",
        reserved[4],
        "<|eot_id|>",
        *reserved[5:],
    ]
