"""Read vocabularies made elsewhere: tokenizer.json, vocab.json + merges.txt (GPT-2, GPT), BERT's vocab.txt,
SentencePiece models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.sentencepiece import read_sentencepiece, sentencepiece_backend
from liju.vocab.special import ROLES

__all__ = ["read"]

_GPT2 = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_SENTENCEPIECE = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "source.spm")


def read(path: Path) -> tuple[Backend, dict[str, str]]:
    """The tokenizer at `path`, a file or a folder, and the roles that the files beside it declare.

    Raises TokenizerError where nothing is there, or what is there is not a tokenizer.
    """
    folder = path if path.is_dir() else path.parent
    declared = _declared(folder)
    if path.is_dir():
        for name in ("tokenizer.json", *_SENTENCEPIECE, *(vocab for vocab, _ in _GPT2), "vocab.txt"):
            if (path / name).is_file():
                path = path / name
                break
        else:
            raise TokenizerError(
                f"{path}: no tokenizer here",
                hint="it has tokenizer.json, vocab.json and merges.txt, vocab.txt, or a SentencePiece .model",
            )
    if not path.is_file():
        raise TokenizerError(f"{path}: no such file")
    try:
        merges = next((folder / merges for vocab, merges in _GPT2 if path.name == vocab), None)
        if merges is not None and merges.is_file():
            backend = _gpt2(path, merges)
        elif path.suffix in (".model", ".spm"):
            model = read_sentencepiece(path)
            backend, declared = sentencepiece_backend(model), {**model.roles(), **declared}
        elif path.suffix == ".json":
            backend = Backend.from_file(str(path))
        else:
            backend = _bert(path, folder)
    except TokenizerError:
        raise
    except Exception as error:  # the Rust side raises plain Exception
        raise TokenizerError(f"{path}: not a tokenizer ({error})") from None
    backend.no_padding()
    backend.no_truncation()
    return backend, declared


def _gpt2(vocab: Path, merges: Path) -> Backend:
    if any(word.endswith("</w>") for word in _settings(vocab)):
        return _gpt(vocab, merges)
    backend = Backend(models.BPE.from_file(str(vocab), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.add_special_tokens([t for t in ("<|endoftext|>",) if backend.token_to_id(t) is not None])
    return backend


def _gpt(vocab: Path, merges: Path) -> Backend:
    """GPT (2018): lower case, the end of a word marked, characters instead of bytes. Its authors cut words
    with ftfy and spaCy; this is BERT's cut, which transformers takes too."""
    backend = Backend(
        models.BPE.from_file(str(vocab), str(merges), unk_token="<unk>", end_of_word_suffix="</w>")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    backend.add_special_tokens([t for t in ("<unk>",) if backend.token_to_id(t) is not None])
    return backend


def _bert(vocab: Path, folder: Path) -> Backend:
    # Not splitlines: a line may be U+2028 itself.
    words = [line.rstrip("\r") for line in vocab.read_text(encoding="utf-8").rstrip("\n").split("\n")]
    if "[UNK]" not in words:
        raise TokenizerError(f"{vocab}: no [UNK] line", hint="a BERT vocab.txt has one token a line")
    lowercase = _settings(folder / "tokenizer_config.json").get("do_lower_case")
    if lowercase is None:
        # A cased vocabulary has capitals outside its special tokens.
        lowercase = not any(re.fullmatch(r"(##)?[A-Z][A-Za-z]*", word) for word in words)
    backend = Backend(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=bool(lowercase))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    names = [name for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if name in words]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    if "[CLS]" in names and "[SEP]" in names:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
        )
    return backend


def _declared(folder: Path) -> dict[str, str]:
    """The roles in special_tokens_map.json and tokenizer_config.json."""
    found = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        settings = _settings(folder / name)
        for role in ROLES:
            token = settings.get(f"{role}_token")
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                found[role] = token
    return found


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path}: not JSON ({error})") from None
    return value if isinstance(value, dict) else {}
