"""Text to token ids and back."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.formats import read
from liju.vocab.special import NEEDS, ROLES, roles_in

if TYPE_CHECKING:
    from liju.vocab.train import Report

__all__ = ["Tokenizer"]

# Texts handed over at once: enough for two threads, few enough that their results fit in memory.
_BATCH = 1024
_WIDE = "\u2e80-\u303f\u3040-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_MARKS = "\u3000-\u303f\uff00-\uffef"
_SPACE_BESIDE_WIDE = re.compile(f"(?<=[{_WIDE}]) (?=[{_WIDE}])|(?<=[{_MARKS}]) | (?=[{_MARKS}])")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Scores that `tokenizers` may read back with another last digit than it wrote.
_LONG_NUMBER = re.compile(r"-?\d+\.\d{9,}")


class Tokenizer:
    """A vocabulary: text to ids and back, with the special tokens of a family.

    `pad`, `unk`, `cls`, `sep`, `mask`, `bos`, `eos` are ids, or None where there is no such token;
    `sentinels` are the ids of <extra_id_0>, <extra_id_1>, ... `encode` never makes a special token out of
    text: a user who writes
    "[MASK]" or "</s>" has written those characters and no more.

    >>> from liju.config import Vocab
    >>> from liju.vocab import train
    >>> tokenizer = train(["low lower lowest 低 更低"] * 9, Vocab(size=300), "encoder")
    >>> tokenizer.decode(tokenizer.encode("lower 低[MASK]"))
    'lower 低[MASK]'
    >>> tokenizer.tokens(tokenizer.pair(tokenizer.encode("low"), [7])[0])
    ['[CLS]', 'low', '[SEP]', '#', '[SEP]']
    """

    def __init__(self, backend: Backend, roles: Mapping[str, str], report: Report | None = None):
        self.backend = backend
        self.roles = dict(roles)
        self.report = report
        # Special tokens are put in by `pair` and by the objectives, never read from the text.
        backend.encode_special_tokens = True
        ids = {role: backend.token_to_id(token) for role, token in roles.items()}
        self.pad: int | None = ids.get("pad")
        self.unk: int | None = ids.get("unk")
        self.cls: int | None = ids.get("cls")
        self.sep: int | None = ids.get("sep")
        self.mask: int | None = ids.get("mask")
        self.bos: int | None = ids.get("bos")
        self.eos: int | None = ids.get("eos")
        vocabulary = backend.get_vocab(with_added_tokens=True)
        self.sentinels: list[int] = []
        while (sentinel := vocabulary.get(f"<extra_id_{len(self.sentinels)}>")) is not None:
            self.sentinels.append(sentinel)
        self.size: int = max(vocabulary.values(), default=-1) + 1
        added = {i: token.content for i, token in backend.get_added_tokens_decoder().items() if token.special}
        named = {vocabulary[token]: token for token in roles.values() if token in vocabulary}
        self._special: dict[int, str] = {**added, **named}
        model = json.loads(backend.to_str())
        self.kind: str = model["model"]["type"].lower()
        self._byte_level = '"ByteLevel"' in json.dumps(model["decoder"])
        self._guard = self._make_guard()

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change whenever any text could be tokenized differently."""
        text = self.backend.to_str()
        if self.kind == "unigram":
            text = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.9g}", text)
        text += json.dumps(self.roles, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, without special tokens; much faster than one by one."""
        found: list[list[int]] = []
        texts = iter(texts)
        while batch := list(islice(texts, _BATCH)):
            found += self._encode(batch)
        return found

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """The ids of a text as `encode` gives them, and how many characters of it are read with each.

        Tokens that are parts of one character all end where it ends.

        >>> from liju.config import Vocab
        >>> from liju.vocab import train
        >>> tokenizer = train(["low lower lowest"] * 9, Vocab(size=300), "decoder")
        >>> ids, ends = tokenizer.encode_with_ends("low 低")
        >>> tokenizer.tokens(ids), ends
        (['low', ' ', '\\\\xe4', '\\\\xbd', '\\\\x8e'], [3, 4, 5, 5, 5])
        """
        cuts = [0, len(text)]
        if self._guard is not None:
            cuts[1:1] = [match.start() + 1 for match in self._guard.finditer(text)]
        ids: list[int] = []
        ends: list[int] = []
        for start, stop in pairwise(cuts):
            piece = _SURROGATE.sub("\ufffd", text[start:stop])
            encoding = self.backend.encode(piece, add_special_tokens=False)
            ids += encoding.ids
            ends += [start + end for _, end in encoding.offsets]
        return ids, list(accumulate(ends, max))

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of ids; special tokens are left out unless `special`.

        Byte-level and Unigram vocabularies give the text back as it was (Unigram reads ▁ as a space).
        WordPiece does not keep white space or, in a lower-case vocabulary, case; spaces between Chinese
        characters are left out.
        """
        text = self.backend.decode([int(i) for i in ids], skip_special_tokens=not special)
        return _SPACE_BESIDE_WIDE.sub("", text) if self.kind == "wordpiece" else text

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Each id as a person reads it: part of a character as \\xe4, special tokens by
        name.

        Raises TokenizerError for an id outside the vocabulary.
        """
        return [self._token(int(i)) for i in ids]

    def pair(self, a: Sequence[int], b: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """[CLS] a [SEP] or [CLS] a [SEP] b [SEP], and the token types: 0 to the first [SEP], then 1.

        Raises TokenizerError where the vocabulary has no [CLS] and [SEP].
        """
        if self.cls is None or self.sep is None:
            raise TokenizerError(
                "this vocabulary has no [CLS] and [SEP] to join a pair with",
                hint="pairs are for the family encoder",
            )
        ids = [self.cls, *a, self.sep]
        types = [0] * len(ids)
        if b is not None:
            ids += [*b, self.sep]
            types += [1] * (len(b) + 1)
        return ids, types

    def require(self, family: str, size: int | None = None, name: str = "this vocabulary") -> None:
        """Raise TokenizerError where a family cannot use this vocabulary, or it has another size."""
        missing = [role for role in NEEDS[family] if getattr(self, role) is None]
        if family == "encdec" and not self.sentinels:
            missing.append("sentinels (<extra_id_0>, ...)")
        if missing:
            raise TokenizerError(
                f"{name}: a family {family!r} needs special tokens that are not there: {', '.join(missing)}",
                hint="train a vocabulary for this family: leave vocab.path out",
            )
        if size is not None and size != self.size:
            raise TokenizerError(
                f"{name}: {self.size} tokens, and {size} were asked for", hint=f"write size = {self.size}"
            )

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, for AutoTokenizer."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        named = {f"{role}_token": self.roles[role] for role in ROLES if role in self.roles}
        sentinels = [self._special[i] for i in self.sentinels]
        inputs = ["input_ids", "attention_mask"]
        if self.cls is not None:
            inputs.insert(1, "token_type_ids")
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 10**9,
            "clean_up_tokenization_spaces": False,
            "model_input_names": inputs,
            **named,
        }
        if sentinels:
            config["additional_special_tokens"] = sentinels
            named["additional_special_tokens"] = sentinels  # type: ignore[assignment]
        _write(folder / "tokenizer.json", self.backend.to_str(pretty=True))
        _write(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False))
        _write(folder / "special_tokens_map.json", json.dumps(named, indent=2, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a folder or a file: tokenizer.json, vocab.json with merges.txt (GPT-2), or vocab.txt (BERT).

        Raises TokenizerError where there is none.
        """
        backend, declared = read(Path(path))
        return cls(backend, roles_in(backend.get_vocab(with_added_tokens=True), declared))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, {self.size} tokens, {self.fingerprint})"

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if self._guard is not None:
            return [self._encode_guarded(text) for text in texts]
        try:
            found = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            # Half of a surrogate pair is no character and has no UTF-8.
            if not any(_SURROGATE.search(text) for text in texts):
                raise
            texts = [_SURROGATE.sub("\ufffd", text) for text in texts]
            found = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def _make_guard(self) -> re.Pattern[str] | None:
        """A pattern of the special tokens, if this vocabulary reads any of them from text; ours never do."""
        names = [token for i, token in self._special.items() if i != self.unk]
        tries = [text for name in names for text in (name, f" {name}", f"a{name}a")]
        self._guard = None
        special = set(self._special) - {self.unk}
        if any(special.intersection(ids) for ids in self.encode_batch(tries)):
            return re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
        return None

    def _encode_guarded(self, text: str) -> list[int]:
        """Cut every special token's name after its first character, so that it cannot be read as one."""
        assert self._guard is not None
        cuts = [0, *(match.start() + 1 for match in self._guard.finditer(text)), len(text)]
        pieces = [_SURROGATE.sub("\ufffd", text[a:b]) for a, b in pairwise(cuts)]
        found = self.backend.encode_batch_fast(pieces, add_special_tokens=False)
        return [i for encoding in found for i in encoding.ids]

    def _token(self, i: int) -> str:
        token = self.backend.id_to_token(i)
        if token is None:
            raise TokenizerError(f"id {i} is outside the vocabulary of {self.size}")
        if i in self._special:
            return self._special[i]
        if self._byte_level:
            letters = [_BYTES.get(letter) for letter in token]
            if None not in letters:
                return bytes(letters).decode("utf-8", "backslashreplace")  # type: ignore[arg-type]
        return token.replace("▁", " ") if self.kind == "unigram" else token


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def _byte_letters() -> Iterator[tuple[str, int]]:
    """The letter that stands for each byte in byte-level files: itself where printable, else from Ā on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from ((chr(byte), byte) for byte in shown)
    hidden = [byte for byte in range(256) if byte not in shown]
    yield from ((chr(256 + n), byte) for n, byte in enumerate(hidden))


_BYTES = dict(_byte_letters())
