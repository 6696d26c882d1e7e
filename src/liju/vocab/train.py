"""Train a vocabulary: byte-level BPE, WordPiece or Unigram, in bounded memory on any language.

Three bounds keep the memory: the text held is at most `sample_megabytes`, drawn evenly from the stream;
the distinct words counted are at most words.DISTINCT; and the trainer, whose memory is a hundred times
its words, sees only those counts. The same text in the same order gives the same file, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from liju.errors import TokenizerError
from liju.vocab.formats import read
from liju.vocab.special import roles_in, sentinels, specials
from liju.vocab.tokenizer import Tokenizer
from liju.vocab.unigram import unigram
from liju.vocab.words import COUNTING, CUT, BoundedCounter

if TYPE_CHECKING:  # this folder needs no pydantic
    from liju import config

__all__ = ["Report", "sample", "train"]

# A text longer than this is drawn in parts, so that one book does not fill the sample or miss it.
_PART = 16384
# Characters that together make up less than this of the text get no token of their own (WordPiece, Unigram).
_RARE = 0.0005
_SEPARATOR = "\x00"
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Report:
    """What training saw: bytes read and used, distinct words, tokens asked for and made, warnings."""

    kind: str
    requested: int
    size: int
    bytes_read: int
    bytes_used: int
    distinct_words: int
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same for a JSON file."""
        return asdict(self)


def train(texts: Iterable[str], settings: config.Vocab, family: str) -> Tokenizer:
    """A tokenizer for a family, trained on `texts`, or read from `settings.path`.

    `tokenizer.report` says what was seen; where the text is too little for the size, the vocabulary is
    smaller and the report says so. Raises TokenizerError where there is no text, where the size leaves no
    room beside the special tokens, or where the file at `path` has not the special tokens or the size
    that were asked for.

    >>> from liju.config import Vocab
    >>> tokenizer = train(["the cat sat on the mat"] * 3, Vocab(size=300), "decoder")
    >>> tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.report.size < 300
    (0, 1, 2, True)
    >>> tokenizer.report.warnings
    ['the text has words for only 271 of the 300 tokens asked for']
    """
    if settings.path:
        return _existing(settings, family)
    roles = specials(family, settings.kind)
    tail = sentinels(family)
    room = settings.size - len(roles) - len(tail) - (256 if settings.kind != "wordpiece" else 0)
    if room < 1:
        raise TokenizerError(
            f"vocab.size: {settings.size} leaves no room beside {len(roles) + len(tail)} special tokens"
            + (" and 256 bytes" if settings.kind != "wordpiece" else ""),
            hint=f"at least {settings.size - room + 1}; 8192 is usual",
        )
    held, bytes_read = sample(texts, int(settings.sample_megabytes * 1e6))
    make = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}[settings.kind]
    counter = BoundedCounter()
    normalizer = _normalizer(settings)
    cut = _counting_cut(settings.kind)
    for text in held:
        if settings.kind == "wordpiece":
            # Each is a word by itself; the general way takes ten times as long for them.
            counter.add(_HAN.findall(text))
            text = _HAN.sub(" ", text)
        shown = normalizer.normalize_str(text) if normalizer else text
        counter.add([word for word, _ in cut.pre_tokenize_str(shown)])
    if not any(word.strip() for word in counter.counts):
        raise TokenizerError("no text to train a vocabulary on", hint="look at the report of the text step")
    used = sum(len(text.encode("utf-8")) for text in held)
    del held
    backend = make(counter, list(roles.values()), settings.size - len(tail), roles.get("unk"))
    if normalizer:
        backend.normalizer = normalizer
    for names in (list(roles.values()), tail):
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    backend.post_processor = _template(backend, family, roles)
    made = backend.get_vocab_size(with_added_tokens=True)
    warnings = []
    if made < settings.size:
        warnings.append(f"the text has words for only {made} of the {settings.size} tokens asked for")
    report = Report(settings.kind, settings.size, made, bytes_read, used, len(counter.counts), warnings)
    return Tokenizer(backend, roles, report)


def sample(texts: Iterable[str], limit: int) -> tuple[list[str], int]:
    """At most `limit` bytes of a stream of unknown length, drawn evenly, and the bytes that passed.

    Each part of the text has a rank, a hash of its number; when too much is held, parts whose rank is odd
    (then not a multiple of 4, 8, ...) are let go. The rank has no pattern, so that alternating sources
    stay balanced.

    >>> held, passed = sample((f"line {n}" for n in range(1000)), limit=300)
    >>> passed, 100 < sum(map(len, held)) <= 300, held[0], held[-1]
    (7890, True, 'line 12', 'line 997')
    """
    held: list[tuple[int, int, str]] = []
    number, size, passed, level = 0, 0, 0, 0
    for text in texts:
        for start in range(0, len(text), _PART):
            part = text[start : start + _PART]
            rank, number = _rank(number), number + 1
            encoded = part.encode("utf-8", "replace")
            length = len(encoded)
            # Half of a surrogate pair has no UTF-8; it becomes a question mark here.
            part = encoded.decode("utf-8")
            passed += length
            if rank % (1 << level):
                continue
            held.append((rank, length, part))
            size += length
            while size > limit and len(held) > 1:
                level += 1
                held = [kept for kept in held if not kept[0] % (1 << level)] or held[:1]
                size = sum(kept[1] for kept in held)
    return [part for _, _, part in held], passed


def _rank(number: int) -> int:
    """A fixed scramble of a number (splitmix64)."""
    mask = (1 << 64) - 1
    value = (number * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def _existing(settings: config.Vocab, family: str) -> Tokenizer:
    """The tokenizer at settings.path, with the frame that the family puts around a text."""
    found = read(Path(settings.path))
    backend = found.backend
    roles = roles_in(backend.get_vocab(with_added_tokens=True), found.roles)
    if family == "decoder" and "eos" in roles:
        # GPT-2 has one token for all: the end of a text is the start of the next, and padding is never
        # looked at.
        roles.setdefault("bos", roles["eos"])
        roles.setdefault("pad", roles["eos"])
    tokenizer = Tokenizer(backend, roles)
    tokenizer.require(family, settings.size if "size" in settings.model_fields_set else None, settings.path)
    backend.post_processor = _template(backend, family, roles)
    return tokenizer


def _template(backend: Backend, family: str, roles: dict[str, str]) -> Any:
    """What Hugging Face's tokenizers put around a text: [CLS] a [SEP] b [SEP]; <s> a; a </s>."""
    if family == "encoder":
        frame, names = ("{cls} $A {sep}", "{cls} $A {sep} $B:1 {sep}:1"), ("cls", "sep")
    elif family == "decoder":
        frame, names = ("{bos} $A", "{bos} $A $B"), ("bos",)
    else:
        frame, names = ("$A {eos}", "$A {eos} $B {eos}"), ("eos",)
    single, pair = (part.format(**roles) for part in frame)
    tokens = [(roles[name], backend.token_to_id(roles[name])) for name in names]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=tokens)


def _normalizer(settings: config.Vocab) -> Any:
    if settings.kind == "wordpiece":
        return normalizers.BertNormalizer(lowercase=settings.lowercase)
    return normalizers.Lowercase() if settings.lowercase else None


def _counting_cut(kind: str) -> Any:
    if kind == "wordpiece":
        # Chinese characters are apart already; a word without end is cut, as in `COUNTING`.
        long = pre_tokenizers.Split(Regex(r"\S{1,32}"), "isolated")
        return pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), long])
    return pre_tokenizers.Split(Regex(COUNTING), "isolated")


def _repeated(words: list[tuple[str, int]]) -> Iterator[str]:
    """Each word as often as it was counted: the trainer takes text, not counts."""
    at_once = 256
    for word, times in words:
        for start in range(0, times, at_once):
            yield (word + _SEPARATOR) * min(at_once, times - start)


def _train(backend: Backend, trainer: Any, words: list[tuple[str, int]], before: list[Any]) -> dict[str, Any]:
    """Run a trainer over counted words; its model as JSON."""
    split = pre_tokenizers.Split(_SEPARATOR, "removed")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, *before])
    backend.train_from_iterator(_repeated(words), trainer)
    return json.loads(backend.to_str())["model"]


def _alphabet(words: list[tuple[str, int]], limit: int) -> list[str]:
    """The characters that make up all but _RARE of the text, at most `limit`, commonest first."""
    letters: Counter[str] = Counter()
    for word, times in words:
        for letter in word:
            letters[letter] += times
    total, covered, kept = sum(letters.values()), 0, []
    for letter, times in sorted(letters.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(kept) == limit or covered >= total * (1 - _RARE):
            break
        kept.append(letter)
        covered += times
    return kept


def _bpe(counter: BoundedCounter, special: list[str], size: int, unk: str | None) -> Backend:
    backend = Backend(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    _train(backend, trainer, counter.ordered(), [as_bytes])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CUT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _wordpiece(counter: BoundedCounter, special: list[str], size: int, unk: str | None) -> Backend:
    words = counter.ordered()
    letters = set(_alphabet(words, max(1, (size - len(special)) * 2 // 3)))
    words = [(word, times) for word, times in words if letters.issuperset(word)]
    first = sorted({word[0] for word, _ in words})
    later = sorted({f"##{letter}" for word, _ in words for letter in word[1:]})
    # A single letter has nothing to merge; a corpus of Chinese is little else.
    words = [(word, times) for word, times in words if len(word) > 1]
    # The trainer numbers the letters in the order of a hash table, another one in each process. Given as
    # special tokens they have their places before it begins.
    given = [*special, *first, *later][:size]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=given,
        limit_alphabet=len(letters),
    )
    model = _train(Backend(models.WordPiece(unk_token=unk or special[0])), trainer, words, [])
    backend = Backend(models.WordPiece(model["vocab"], unk_token=unk or special[0]))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    return backend


def _unigram(counter: BoundedCounter, special: list[str], size: int, unk: str | None) -> Backend:
    words = counter.ordered()
    room = size - len(special) - 256
    letters = set(_alphabet(words, max(1, room * 2 // 3)))
    words = [(word.replace(" ", "▁"), times) for word, times in words if letters.issuperset(word)]
    # Rounded so that the numbers in the file are read back as they were.
    pieces = [(piece, round(score, 6)) for piece, score in unigram(words, room)]
    # Bytes spell what has no piece, so nothing is lost. Their score is never compared: they stand in for
    # <unk>.
    lowest = round(min((score for _, score in pieces), default=0.0) - 10, 6)
    every = [(name, 0.0) for name in special] + [(f"<0x{byte:02X}>", lowest) for byte in range(256)] + pieces
    backend = Backend(models.Unigram(every, unk_id=special.index(unk or special[0]), byte_fallback=True))
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CUT), "isolated"), metaspace])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend
