"""Marian's vocabulary (OPUS-MT): a SentencePiece model for each language, and one vocab.json of ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.declared import Declared, read_vocabulary
from liju.vocab.pieces import pieces_backend
from liju.vocab.sentencepiece import read_sentencepiece
from liju.vocab.special import roles_in
from liju.vocab.tokenizer import Tokenizer

__all__ = ["Marian"]

_ROLES = {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}


class Marian(Tokenizer):
    """Text of the source is cut by source.spm, text of the target (`target`) by target.spm; the ids of the
    pieces of both are those of vocab.json.

    A model of many targets is told which by a first token: ">>fra<< Good day." `backend` only knows the
    names of the tokens. It is saved as it was read, for transformers' MarianTokenizer.
    """

    def __init__(
        self,
        files: dict[str, bytes],
        sides: tuple[Tokenizer, Tokenizer],
        ids: dict[str, int],
        roles: dict[str, str],
        **more: Any,
    ):
        self._sides = sides
        self._files = files
        self._ids = ids
        unk = ids[roles["unk"]]
        # From the piece of one model to the id of both.
        self._source = _numbers(sides[0], ids, unk)
        backend = Backend(models.WordLevel(ids, unk_token=roles["unk"]))
        names = [AddedToken(name, special=True, normalized=False) for name in roles.values()]
        backend.add_special_tokens(names)
        super().__init__(backend, roles, **more)
        self._names = {number: name for name, number in ids.items()}
        self._hidden = {ids[name] for name in roles.values() if name in ids}

    @classmethod
    def read(cls, folder: Path) -> Marian:
        """Read source.spm, target.spm and vocab.json. Raises TokenizerError naming the file."""
        paths = {name: folder / name for name in ("source.spm", "target.spm", "vocab.json")}
        for path in paths.values():
            if not path.is_file():
                raise TokenizerError(
                    f"{path}: no such file", hint="Marian has source.spm, target.spm and vocab.json"
                )
        declared = Declared.of(folder)
        if declared.settings.get("separate_vocabs"):
            raise TokenizerError(
                f"{folder / 'tokenizer_config.json'}: separate_vocabs is true",
                hint="a model here has one table of embeddings for both languages",
            )
        ids = read_vocabulary(paths["vocab.json"])
        roles = {role: declared.roles.get(role, name) for role, name in _ROLES.items()}
        for role in ("eos", "unk", "pad"):
            if roles[role] not in ids:
                raise TokenizerError(
                    f"{paths['vocab.json']}: no {roles[role]!r}", hint=f"it is the {role} token of Marian"
                )
        sides = []
        for name in ("source.spm", "target.spm"):
            model = read_sentencepiece(paths[name])
            vocabulary = pieces_backend(model)
            side = Tokenizer(vocabulary, roles_in(vocabulary.get_vocab(), model.roles()))
            if not ids.keys() & {piece for piece, *_ in model.pieces if piece not in side.roles.values()}:
                raise TokenizerError(
                    f"{paths[name]}: none of its pieces is in vocab.json",
                    hint="the files are of different models",
                )
            sides.append(side)
        files = {name: path.read_bytes() for name, path in paths.items()}
        settings = {**declared.settings, "tokenizer_class": "MarianTokenizer"}
        return cls(
            files,
            (sides[0], sides[1]),
            ids,
            roles,
            settings=settings,
            chat_template=declared.chat_template,
        )

    @property
    def target(self) -> Tokenizer:
        """The same ids with the two models changed places: `encode` cuts text of the target language."""
        files = dict(self._files)
        files["source.spm"], files["target.spm"] = files["target.spm"], files["source.spm"]
        return Marian(files, (self._sides[1], self._sides[0]), self._ids, self.roles, settings=self.settings)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change whenever any text could be tokenized differently."""
        digest = hashlib.sha256()
        for name in ("source.spm", "target.spm"):
            digest.update(hashlib.sha256(self._files[name]).digest())
        digest.update(json.dumps([self._ids, self.roles], sort_keys=True).encode())
        return digest.hexdigest()[:16]

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """The ids of a text as `encode` gives them, and how many characters of it are read with each."""
        code, rest = self._code(text)
        pieces, ends = self._sides[0].encode_with_ends(rest)
        return [*self._first(code), *self._known(rest, pieces)], [
            *([len(code)] if code else []),
            *(len(code) + end for end in ends),
        ]

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of ids; special tokens are left out unless `special`."""
        left_out = set() if special else self._hidden
        names = [self._token_name(int(i)) for i in ids if int(i) not in left_out]
        return "".join(names).replace("▁", " ").strip(" ")

    def save(self, folder: str | Path) -> None:
        """Write source.spm, target.spm and vocab.json as they were read, and their settings."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files.items():
            (folder / f"{name}.partial").write_bytes(content)
            (folder / f"{name}.partial").replace(folder / name)
        self._save_settings(folder)

    def _code(self, text: str) -> tuple[str, str]:
        """The token that says which language to translate into, and the rest."""
        end = text.find("<<") + 2
        return (text[:end], text[end:]) if text.startswith(">>") and end > 1 else ("", text)

    def _first(self, code: str) -> list[int]:
        return [self._ids.get(code, self._ids[self.roles["unk"]])] if code else []

    def _encode(self, texts: list[str]) -> list[list[int]]:
        parts = [self._code(text) for text in texts]
        found = self._sides[0].encode_batch([rest for _, rest in parts])
        return [
            [*self._first(code), *self._known(rest, pieces)]
            for (code, rest), pieces in zip(parts, found, strict=True)
        ]

    def _known(self, text: str, pieces: list[int]) -> list[int]:
        """The ids of the pieces of one model in the vocabulary of both.

        What this model does not know may still be a piece of the other; transformers looks its text up.
        """
        side = self._sides[0]
        ids = [self._source[i] for i in pieces]
        if side.unk in pieces:
            normal: Any = side.backend.normalizer
            starts = [start for start, _ in side._encoding(text).offsets] + [len(text)]
            for place, start in enumerate(starts[:-1]):
                if pieces[place] == side.unk:
                    # To where the next begins: marks are not always counted to their letter.
                    end = next((later for later in starts[place:] if later > start), len(text))
                    name = normal.normalize_str(text[start:end]).strip("▁")
                    if name not in self.roles.values():
                        ids[place] = self._ids.get(name, ids[place])
        return ids

    def _make_encoder(self) -> Backend:
        return self.backend  # the two sides have their own guards

    def _token_name(self, i: int) -> str:
        name = self._names.get(i)
        if name is None:
            raise TokenizerError(f"id {i} is outside the vocabulary of {self.size}")
        return name

    def _token(self, i: int) -> str:
        name = self._token_name(i)
        return name if i in self._special else name.replace("▁", " ")


def _numbers(side: Tokenizer, ids: dict[str, int], unk: int) -> list[int]:
    special = set(side.roles.values())
    names = [side.backend.id_to_token(i) for i in range(side.size)]
    return [unk if name is None or name in special else ids.get(name, unk) for name in names]
