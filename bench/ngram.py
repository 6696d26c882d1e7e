"""Statistical systems on real text: language models beside KenLM, translation beside a translation memory.

Reads LIJU_DATA (wikitext-2, multi30k-ende, tatoeba-enzh); says what it leaves out where that is absent.
KenLM's estimates are compared where its `lmplz` is on the PATH. A name or two as arguments runs only those.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from liju.evaluate import bleu
from liju.ngram import BackoffModel, KneserNey, Lexicon, StatisticalTranslator, TranslationMemory, read_arpa
from liju.ngram.counts import find

DATA = Path(os.environ.get("LIJU_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def wikitext() -> None:
    """Word level: every line is a sequence (empty ones too), <unk> is a word, </s> is scored."""
    train, test = (
        [line.replace("<unk>", "[unk]").split() for line in lines(DATA / f"wikitext-2/wiki.{part}.tokens.gz")]
        for part in ("train", "test")
    )
    lexicon = Lexicon.of(train)
    rows, held_out = [lexicon.ids(row) for row in train], [lexicon.ids(row) for row in test]
    size = sum(len(line.encode()) for line in lines(DATA / "wikitext-2/wiki.test.tokens.gz"))
    for order in (3, 5):
        start = time.perf_counter()
        model = KneserNey(order).fit(rows)
        took = time.perf_counter() - start
        bits, perplexity = model.bits_per_byte(held_out, size), model.perplexity(held_out)
        figures = f"perplexity {perplexity:.3f}, {bits:.4f} bits a byte, fit {took:.1f} s"
        print(f"WikiText-2, Kneser-Ney of words, order {order}: {figures}")
    text = [line.encode() for line in lines(DATA / "wikitext-2/wiki.train.tokens.gz")]
    model = KneserNey(6, vocabulary=256).fit(text)
    text = [line.encode() for line in lines(DATA / "wikitext-2/wiki.test.tokens.gz")]
    print(f"WikiText-2, Kneser-Ney of bytes, order 6: {model.bits_per_byte(text):.4f} bits a byte")


def kenlm() -> None:
    """Every estimate of lmplz beside ours, on the same words."""
    if not shutil.which("lmplz"):
        print("KenLM: lmplz is not on the PATH, not compared")
        return
    text = [line.replace("<unk>", "[unk]") for line in lines(DATA / "wikitext-2/wiki.train.tokens.gz")]
    lexicon = Lexicon.of(line.split() for line in text)
    start = time.perf_counter()
    ours = BackoffModel.of(KneserNey(5).fit([lexicon.ids(line.split()) for line in text]))
    took = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kenlm.arpa"
        options = ["-o", "5", "-S", "1G", "-T", folder, "--discount_fallback", "--arpa", str(path)]
        start = time.perf_counter()
        written = "".join(f"{line}\n" for line in text).encode()
        subprocess.run(["lmplz", *options], input=written, check=True, capture_output=True)
        theirs_took = time.perf_counter() - start
        theirs = read_arpa(path)
    assert theirs.lexicon is not None
    number = {word: at for at, word in enumerate([*theirs.lexicon, "</s>", "<unk>", "<s>"])}
    same = np.array([number[word] for word in [*lexicon, "</s>", "<unk>", "<s>"]])
    row, worst = same, 0.0
    for k, keys in enumerate(ours.keys):
        if k:
            history, word = np.divmod(keys, ours.words.base)
            row = find(theirs.keys[k], row[history], same[word], theirs.words.base)
            assert (row >= 0).all() and len(row) == len(theirs.keys[k])
        apart = np.abs(ours.log10[k] - theirs.log10[k][row])[ours.log10[k] > -90]  # <s> has no probability
        worst = max(worst, float(apart.max()), float(np.abs(ours.backoff[k] - theirs.backoff[k][row]).max()))
    total = sum(len(keys) for keys in ours.keys)
    print(f"KenLM, order 5: {total:,} n-grams, largest difference {worst:.1e} in log10")
    ratio = theirs_took / took
    print(f"KenLM, order 5: lmplz to a file {theirs_took:.1f} s, ours in memory {took:.1f} s: {ratio:.2f}")


Pairs = list[tuple[str, str]]


def translate(name: str, train: Pairs, tune: Pairs, test: Pairs) -> None:
    """A statistical translator and a translation memory on the same pairs, by sacrebleu."""
    start = time.perf_counter()
    sources, targets = ([pair[side] for pair in train] for side in (0, 1))
    model = StatisticalTranslator().fit(sources, targets, tune=([s for s, _ in tune], [t for _, t in tune]))
    fitted = time.perf_counter()
    texts, references = ([pair[side] for pair in test] for side in (0, 1))
    score = bleu(model.translate(texts), references)
    done = time.perf_counter()
    memory = bleu(TranslationMemory().fit(sources, targets).translate(texts), references)
    figures = f"BLEU {score.score:.2f}, translation memory {memory.score:.2f}"
    print(f"{name}: statistical {figures}: {score.score / memory.score:.2f} times ({score.signature})")
    learned, translated = fitted - start, done - fitted
    print(f"{name}: {len(train):,} pairs in {learned:.0f} s, {len(test):,} sentences in {translated:.0f} s")


def multi30k() -> None:
    def pairs(part: str) -> Pairs:
        sides = (lines(DATA / f"multi30k-ende/{part}.{side}.gz") for side in ("en", "de"))
        return list(zip(*sides, strict=True))

    translate("Multi30k en-de, test2016", pairs("train"), pairs("val"), pairs("test_2016_flickr"))


def tatoeba() -> None:
    """1,000 English sentences to test on, 400 to tune on, by seed 0; pairs of one English stay together."""
    by_english: dict[str, list[tuple[str, str]]] = {}
    for line in lines(DATA / "tatoeba-enzh/cmn.txt.gz"):
        english, chinese = line.split("\t")[:2]
        key = "".join(letter for letter in english.lower() if letter.isalnum())
        by_english.setdefault(key, []).append((english, chinese))
    keys = sorted(by_english)
    random.Random(0).shuffle(keys)
    test, tune = ([by_english[key][0] for key in part] for part in (keys[:1000], keys[1000:1400]))
    train = [pair for key in keys[1400:] for pair in by_english[key]]
    translate("Tatoeba en-zh", train, tune, test)


def main() -> None:
    if not DATA.exists():
        print(f"no real data at {DATA} (set LIJU_DATA): nothing measured")
        return
    for measure in (wikitext, kenlm, multi30k, tatoeba):
        if not sys.argv[1:] or measure.__name__ in sys.argv[1:]:
            measure()


if __name__ == "__main__":
    main()
