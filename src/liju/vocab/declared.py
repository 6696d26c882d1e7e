"""What the files beside a vocabulary say of it: roles, added tokens, settings, the chat template."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.special import ROLES

__all__ = ["Declared", "is_cut", "read_object", "read_vocabulary"]

# transformers' classes and model types -> how their files are read.
_STYLES = {
    "GPT2Tokenizer": "gpt2",
    "OPTTokenizer": "opt",
    "BartTokenizer": "roberta",
    "RobertaTokenizer": "roberta",
    "Qwen2Tokenizer": "qwen2",
    "OpenAIGPTTokenizer": "openai-gpt",
    "T5Tokenizer": "t5",
    "gpt2": "gpt2",
    "opt": "opt",
    "bart": "roberta",
    "roberta": "roberta",
    "qwen2": "qwen2",
    "qwen3": "qwen2",
    "openai-gpt": "openai-gpt",
    "t5": "t5",
    "mt5": "t5",
}
# What such files leave unsaid, as in the defaults of transformers' class.
_ROLES = {
    "opt": {"bos": "</s>", "eos": "</s>", "unk": "</s>", "pad": "<pad>"},
    "roberta": {
        **{"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>"},
        **{"pad": "<pad>", "unk": "<unk>", "mask": "<mask>"},
    },
    "qwen2": {"eos": "<|endoftext|>", "pad": "<|endoftext|>"},
    "t5": {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
}


@dataclass(frozen=True)
class Declared:
    """`settings` is tokenizer_config.json as it is; `added` the tokens beside the vocabulary, by id."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    model_type: str | None = None
    roles: dict[str, str] = field(default_factory=dict)
    added: dict[int, AddedToken] = field(default_factory=dict)
    source: str = ""  # the file that `added` is of
    chat_template: str | None = None

    @classmethod
    def of(cls, folder: Path) -> Declared:
        """Read tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja and the
        model_type of config.json. Raises TokenizerError for a file that is not JSON."""
        settings = read_object(folder / "tokenizer_config.json")
        roles: dict[str, str] = {}
        for values in (settings, read_object(folder / "special_tokens_map.json")):
            for role in ROLES:
                token = values.get(f"{role}_token")
                token = token.get("content") if isinstance(token, dict) else token
                if isinstance(token, str):
                    roles[role] = token
        added, source = _added(folder, settings)
        template = settings.get("chat_template")
        if isinstance(template, list):
            named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
            template = named.get("default")
        if (folder / "chat_template.jinja").is_file():
            template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        return cls(
            folder,
            settings,
            read_object(folder / "config.json").get("model_type"),
            roles,
            added,
            source,
            template if isinstance(template, str) and template else None,
        )

    @property
    def style(self) -> str | None:
        """How these files are to be read, where they say it."""
        # OPT says that it has GPT-2's class; only its own config.json tells them apart.
        if self.model_type == "opt":
            return "opt"
        name = str(self.settings.get("tokenizer_class") or "").removesuffix("Fast")
        return _STYLES.get(name) or _STYLES.get(self.model_type or "")

    def roles_of(self, style: str | None) -> dict[str, str]:
        """The roles said, over those that such files leave unsaid."""
        return {**_ROLES.get(style or "", {}), **self.roles}

    def flag(self, name: str, otherwise: bool) -> bool:
        """A yes or no of tokenizer_config.json."""
        value = self.settings.get(name)
        return otherwise if value is None else bool(value)

    def add_to(self, backend: Backend) -> None:
        """Put the added tokens at their ids. Raises TokenizerError where an id is another's, or the next free
        one is lower."""
        for number, token in sorted(self.added.items()):
            there = backend.id_to_token(number)
            if there is not None and there != token.content:
                raise TokenizerError(
                    f"{self.source}: the added token {token.content!r} has the id {number}, "
                    f"which is {there!r} in the vocabulary",
                    hint="the two files are of different models",
                )
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])
            got = backend.token_to_id(token.content)
            if got != number:
                raise TokenizerError(
                    f"{self.source}: the added token {token.content!r} has the id {number}, "
                    f"here the next is {got}",
                    hint="the ids of added tokens follow the vocabulary's without a gap",
                )


def _added(folder: Path, settings: dict[str, Any]) -> tuple[dict[int, AddedToken], str]:
    """The tokens beside the vocabulary; transformers has written them in two ways."""
    special = set()
    more = settings.get("additional_special_tokens") or []
    for token in [*more, *(settings.get(f"{role}_token") for role in ROLES)]:
        special.add(token.get("content") if isinstance(token, dict) else token)
    path, found = folder / "tokenizer_config.json", settings.get("added_tokens_decoder")
    if isinstance(found, dict):
        tokens: dict[int, AddedToken] = {}
        for number, said in found.items():
            said = {"content": said} if isinstance(said, str) else said
            if not number.isdecimal() or not isinstance(said, dict) or not said.get("content"):
                raise TokenizerError(
                    f"{path}: added_tokens_decoder: {number!r} is {said!r}",
                    hint="it has a token's content under each id",
                )
            flags = {
                name: bool(said[name])
                for name in ("lstrip", "rstrip", "normalized", "single_word", "special")
                if name in said
            }
            tokens[int(number)] = AddedToken(said["content"], **flags)
        return tokens, str(path)
    path = folder / "added_tokens.json"
    tokens = {}
    for content, number in read_object(path).items():
        if not isinstance(number, int) or number < 0 or not content:
            raise TokenizerError(f"{path}: {content!r} is {number!r}", hint="it has an id for each token")
        tokens[number] = AddedToken(content, special=content in special, normalized=False)
    return tokens, str(path)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, {} where there is no such file. Raises TokenizerError."""
    if not path.is_file():
        return {}
    value = _json(path)
    return value if isinstance(value, dict) else {}


def read_vocabulary(path: Path) -> dict[str, int]:
    """A vocab.json: tokens and their ids. Raises TokenizerError naming the token."""
    words = _json(path, pairs=True)
    if not isinstance(words, list) or not words or not all(isinstance(pair, tuple) for pair in words):
        raise TokenizerError(f"{path}: not an object of tokens and ids", hint="a vocab.json is one")
    ids: dict[str, int] = {}
    owners: dict[int, str] = {}
    for word, number in words:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise TokenizerError(f"{path}: {word!r} has the id {number!r}", hint="an id is a whole number")
        if word in ids:
            raise TokenizerError(f"{path}: {word!r} is there twice", hint="each token has one id")
        if number in owners:
            raise TokenizerError(
                f"{path}: {owners[number]!r} and {word!r} have the same id {number}",
                hint="each token has one id",
            )
        ids[word], owners[number] = number, word
    return ids


def is_cut(error: json.JSONDecodeError) -> bool:
    """Whether what is wrong is that the text ends."""
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")


def _json(path: Path, pairs: bool = False) -> Any:
    """`pairs`: the outermost object as a list of pairs, in which a name can be there twice."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, object_pairs_hook=list) if pairs else json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one
        cut = isinstance(error, json.JSONDecodeError) and is_cut(error)
        raise TokenizerError(
            f"{path}: not JSON ({error})", hint="it ends too early: copy it again" if cut else "copy it again"
        ) from None
