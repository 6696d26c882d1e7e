"""Text to token ids and back."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.bytes import BYTES
from liju.vocab.formats import find, read
from liju.vocab.frames import Frame
from liju.vocab.guard import guarded
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
# How a byte is named in a vocabulary with byte fallback.
# Scores that `tokenizers` may read back with another last digit than it wrote.
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{9,}")


class Tokenizer:
    """A vocabulary: text to ids and back, with the special tokens of a family.

    `pad`, `unk`, `cls`, `sep`, `mask`, `bos`, `eos` are ids, or None where there is no such token;
    `sentinels` are the ids of <extra_id_0>, <extra_id_1>, ... `encode` never makes a special token out of
    text: a user who writes "[MASK]" or "</s>" has written those characters and no more. `chat_template` is
    the Jinja template of a folder that had one, `settings` its tokenizer_config.json.

    >>> from liju.config import Vocab
    >>> from liju.vocab import train
    >>> tokenizer = train(["low lower lowest 低 更低"] * 9, Vocab(size=300), "encoder")
    >>> tokenizer.decode(tokenizer.encode("lower 低[MASK]"))
    'lower 低[MASK]'
    >>> tokenizer.tokens(tokenizer.pair(tokenizer.encode("low"), [7])[0])
    ['[CLS]', 'low', '[SEP]', '#', '[SEP]']
    """

    def __init__(
        self,
        backend: Backend,
        roles: Mapping[str, str],
        report: Report | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        chat_template: str | None = None,
    ):
        self.backend = backend
        self.roles = dict(roles)
        self.report = report
        self.settings = dict(settings or {})
        self.chat_template = chat_template
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
        self.kind: str = type(backend.model).__name__.lower()
        decoder: Any = backend.decoder
        said = "" if decoder is None else json.dumps(json.loads(decoder.__getstate__()), ensure_ascii=False)
        self._byte_level = '"ByteLevel"' in said
        self._spaced = "▁" in said
        self._encoder = self._make_encoder()

    @property
    def target(self) -> Tokenizer:
        """The tokenizer of what is translated into: this one, save for Marian's two."""
        return self

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
        encoding = self._encoding(text)
        return encoding.ids, list(accumulate((end for _, end in encoding.offsets), max))

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text as `encode` gives them, and the characters (begin, end) that each is read from.

        Tokens that are parts of one character all have its place; a token may hold the space before a word.

        >>> from liju.config import Vocab
        >>> from liju.vocab import train
        >>> tokenizer = train(["low lower lowest"] * 9, Vocab(size=300), "encoder")
        >>> ids, offsets = tokenizer.encode_with_offsets("low  lower")
        >>> tokenizer.tokens(ids), offsets
        (['low', ' ', ' lower'], [(0, 3), (3, 4), (4, 10)])
        """
        encoding = self._encoding(text)
        return encoding.ids, encoding.offsets

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
        """[CLS] a [SEP] or [CLS] a [SEP] b [SEP], and the token types: 0 to the first [SEP], then 1;
        or as the vocabulary's own template has it.

        Raises TokenizerError where the vocabulary has no [CLS] and [SEP].
        """
        if self.cls is None or self.sep is None:
            raise TokenizerError(
                "this vocabulary has no [CLS] and [SEP] to join a pair with",
                hint="pairs are for the family encoder",
            )
        if self._frame is not None:
            return self._frame.fill(a, b)
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
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, for AutoTokenizer, and
        chat_template.jinja where there is one. The settings of the folder that it was read from are kept."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "tokenizer.json", self.backend.to_str(pretty=True) + "\n")
        self._save_settings(folder)

    def _save_settings(self, folder: Path) -> None:
        named: dict[str, Any] = {f"{role}_token": self.roles[role] for role in ROLES if role in self.roles}
        typed = self.cls is not None and 1 in self.pair([], [])[1]
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 10**9,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"],
            **self.settings,
            **named,
        }
        if self.sentinels:
            named["additional_special_tokens"] = [self._special[i] for i in self.sentinels]
        if self.settings.get("additional_special_tokens"):
            named["additional_special_tokens"] = self.settings["additional_special_tokens"]
        config |= named
        if self.chat_template is not None:
            # Where it is read from first. The list of several in tokenizer_config.json stays beside it.
            if isinstance(config.get("chat_template"), str):
                del config["chat_template"]
            _write(folder / "chat_template.jinja", self.chat_template)
        _write(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        _write(folder / "special_tokens_map.json", json.dumps(named, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a folder or a file: tokenizer.json; vocab.json with merges.txt (GPT-2, OPT, BART, Qwen2, GPT);
        vocab.txt (BERT); a SentencePiece model (T5, Llama) or two (Marian); tiktoken's ranks (Llama 3).

        Raises TokenizerError where there is none, naming the file and the line or the key.
        """
        path = Path(path)
        file = find(path) if path.is_dir() else path
        if file is not None and file.name in ("source.spm", "target.spm"):
            from liju.vocab.marian import Marian

            return Marian.read(file.parent)
        found = read(path)
        roles = roles_in(found.backend.get_vocab(with_added_tokens=True), found.roles)
        return cls(found.backend, roles, settings=found.settings, chat_template=found.chat_template)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, {self.size} tokens, {self.fingerprint})"

    def _encode(self, texts: list[str]) -> list[list[int]]:
        try:
            found = self._encoder.encode_batch_fast(texts, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            # Half of a surrogate pair is no character and has no UTF-8.
            if not any(_SURROGATE.search(text) for text in texts):
                raise
            texts = [_SURROGATE.sub("\ufffd", text) for text in texts]
            found = self._encoder.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def _encoding(self, text: str) -> Encoding:
        return self._encoder.encode(_SURROGATE.sub("\ufffd", text), add_special_tokens=False)

    def _make_encoder(self) -> Backend:
        """The tokenizer, or one with a guard where it reads a special token from text; ours never do."""
        special = {i: name for i, name in self._special.items() if i != self.unk}
        tries = [text for name in special.values() for text in (name, f" {name}", f"a{name}a")]
        found = self.backend.encode_batch_fast(tries, add_special_tokens=False)
        read = {i for encoding in found for i in encoding.ids} & special.keys()
        if getattr(self.backend.model, "ignore_merges", False):  # a word that is a token is this token
            own = self.backend.get_vocab(with_added_tokens=False)
            read |= {i for i, name in special.items() if name in own}
        if not read:
            return self.backend
        if self.unk is not None:  # any text may give it, so that no try tells whether it is read
            read.add(self.unk)
        return guarded(self.backend, [self._special[i] for i in sorted(read)])

    @cached_property
    def _frame(self) -> Frame | None:
        """The template of the file, if it is one of [CLS] and [SEP]."""
        frame = Frame.of(self.backend)
        ids = frame.fill([], [])[0] if frame is not None else []
        return frame if self.cls in ids and self.sep in ids else None

    def _token(self, i: int) -> str:
        token = self.backend.id_to_token(i)
        if token is None:
            raise TokenizerError(f"id {i} is outside the vocabulary of {self.size}")
        if i in self._special:
            return self._special[i]
        if self._byte_level:
            letters = [BYTES.get(letter) for letter in token]
            if None not in letters:
                return bytes(letters).decode("utf-8", "backslashreplace")  # type: ignore[arg-type]
        if self._spaced:
            byte = _BYTE.fullmatch(token)
            return f"\\x{byte[1].lower()}" if byte else token.replace("▁", " ")
        return token


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
