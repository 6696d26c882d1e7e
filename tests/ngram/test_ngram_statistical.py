"""The decoder against every possible derivation, the walk, the tuning, and a translator that has learned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.ngram import BackoffModel, KneserNey, Search, StatisticalTranslator, Walk, read_arpa
from liju.ngram.decoder import Decoder, Option
from liju.ngram.statistical import LONGEST, WEIGHTS
from liju.ngram.tuning import bleu_counts, bleu_of, search_weights

texts = st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=7)


@settings(max_examples=40)
@given(texts, st.lists(st.integers(0, 6), max_size=7), st.integers(1, 4))
def test_a_walk_is_the_score(training, query, order):
    model = BackoffModel.of(KneserNey(order).fit(training))
    walk = Walk(model)
    state, logs = walk.start, []
    for number in [*model.words.number(np.array(query, dtype=np.int64)).tolist(), walk.end]:
        log, state = walk.step(state, number)
        logs.append(log)
        assert len(state) < order
    np.testing.assert_allclose(logs, model.logprob(query), rtol=0, atol=1e-12)


def test_a_walk_where_shorter_runs_are_missing(tmp_path):
    """Pruned files list "a b c" and not "b c"; a history must not be lost for that."""
    text = (
        "\\data\\\nngram 1=5\nngram 2=2\nngram 3=1\n\n\\1-grams:\n-99\t<s>\t-0.1\n-1\t</s>\n-0.5\ta\t-0.2\n"
    )
    text += "-0.6\tb\t-0.3\n-0.7\tc\t-0.4\n\n\\2-grams:\n-0.3\ta b\t-0.25\n-0.35\tc </s>\n\n\\3-grams:\n"
    (tmp_path / "pruned.arpa").write_text(text + "-0.05\ta b c\n\n\\end\\\n")
    model = read_arpa(tmp_path / "pruned.arpa")
    ids = model.lexicon.ids("abc").tolist()
    walk, state, logs = Walk(model), (), []
    state = walk.start
    for number in [*ids, walk.end]:
        log, state = walk.step(state, number)
        logs.append(log / np.log(10))
    assert logs == pytest.approx([-0.5 - 0.1, -0.3, -0.05, -0.35])
    np.testing.assert_allclose(np.array(logs) * np.log(10), model.logprob(ids))


def every_derivation(spans, length, walk, weights, jump):
    """The best score over all ways to cover the words, one by one."""
    best = -np.inf
    cuts = [c for n in range(length) for c in itertools.combinations(range(1, length), n)]
    for cut in cuts:
        bounds = [0, *cut, length]
        pieces = list(itertools.pairwise(bounds))
        if any(piece not in spans for piece in pieces):
            continue
        for order in itertools.permutations(pieces):
            end, jumps, fits, covered = 0, 0, True, set()
            for start, stop in order:
                gap = next(i for i in range(length) if i not in covered)
                distance = abs(start - end)
                fits &= start == gap or (distance <= jump and stop - gap <= jump and start <= gap + jump)
                jumps += distance
                covered |= set(range(start, stop))
                end = stop
            if not fits:
                continue
            for options in itertools.product(*(spans[piece] for piece in order)):
                state, language = walk.start, 0.0
                for number in [*(n for option in options for n in option.numbers), walk.end]:
                    log, state = walk.step(state, number)
                    language += log
                features = [sum(option.features[k] for option in options) for k in range(4)]
                words = sum(len(option.numbers) for option in options)
                features += [language, -jumps, words, -len(options)]
                best = max(best, float(np.dot(weights, features)))
    return best


@settings(max_examples=60)
@example(312, 4, 3)  # here two hypotheses differ in the end of the last phrase alone, and it matters
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3))
def test_a_wide_search_finds_the_best_derivation(seed, length, jump):
    draw = np.random.default_rng(seed)
    # Of few words and a short history, so that many hypotheses differ in the end of the last phrase alone.
    words, order = ((2, 2), (5, 3))[seed % 2]
    model = KneserNey(order).fit([draw.integers(0, words, 6).tolist() for _ in range(5)])
    walk = Walk(BackoffModel.of(model))
    spans = {}
    for start in range(length):
        for stop in range(start + 1, min(length, start + 2) + 1):
            if stop == start + 1 or draw.random() < 0.6:
                spans[start, stop] = [
                    Option(tuple(ids), tuple(map(str, ids)), tuple(-draw.random(4) * 3))
                    for ids in (draw.integers(0, words, draw.integers(1, 3)).tolist() for _ in range(2))
                ]
    weights = [0.3, 0.2, 0.4, 0.1, 2.0, (0.1, 0.4, 1.2)[seed % 3], 0.2, 0.25]
    wide = Search(beam=10**6, threshold=1e9, jump=jump, options=10**6)
    found = Decoder(walk, weights, wide).translate(spans, length)
    assert found[0].score == pytest.approx(every_derivation(spans, length, walk, weights, jump))
    for each in found[:5]:
        # The features are what the score was made of.
        assert float(np.dot(weights, each.features)) == pytest.approx(each.score)
    narrow = Decoder(walk, weights, Search(beam=2, threshold=2, jump=jump)).translate(spans, length)
    assert narrow and narrow[0].score <= found[0].score + 1e-9


def test_bleu_is_sacrebleus():
    sacrebleu = pytest.importorskip("sacrebleu")
    answers = ["the cat sat on the mat today", "a dog ran far away from it", "one two three four"]
    references = ["the cat sat on a mat today", "the dog ran far away from me", "one two three four five"]
    counts = [bleu_counts(a.split(), b.split()) for a, b in zip(answers, references, strict=True)]
    expected = sacrebleu.corpus_bleu(answers, [references], tokenize="none").score
    assert 100 * bleu_of(np.sum(counts, axis=0)) == pytest.approx(expected)
    assert bleu_of(np.zeros(10)) == 0


def test_the_search_for_weights_finds_what_is_good():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(40, 9, 3))
    # Quality is decided by the second feature; the first misleads.
    right = np.clip(np.round(3 + 2 * features[:, :, 1]), 0, 8)
    counts = np.zeros((40, 9, 10))
    counts[:, :, :2], counts[:, :, 3::2], counts[:, :, 2::2] = 8, 8, right[:, :, None]
    weights, quality = search_weights(features, counts, [1.0, 0.2, 0.2])
    before = (features @ [1.0, 0.2, 0.2]).argmax(axis=1)
    assert quality > bleu_of(counts[np.arange(40), before].sum(axis=0)) + 0.1
    assert abs(weights[1]) > 2 * max(abs(weights[0]), abs(weights[2])) and min(weights) > 0
    assert sum(map(abs, weights)) == pytest.approx(1.4)
    assert search_weights(features, counts, [1.0, 0.2, 0.2]) == (weights, quality)


COLOURS = {"red": "rote", "green": "grüne", "black": "schwarze"}
THINGS = {"cat": "Katze", "lamp": "Lampe", "door": "Tür", "flower": "Blume"}
VERBS = {"sees": "sieht", "paints": "malt"}


def toy_pairs():
    pairs = []
    for (a, x), (b, y), (c, z) in itertools.product(THINGS.items(), VERBS.items(), THINGS.items()):
        for colour, farbe in COLOURS.items():
            pairs.append((f"the {colour} {a} {b} a {c}.", f"die {farbe} {x} {y} eine {z}."))
            # The verb goes to the end: words must cross.
            pairs.append((f"today the {a} has {b[:-1]}ed a {c}.", f"heute hat die {x} eine {z} ge{y}."))
    return pairs


def test_learns_to_translate_and_to_reorder():
    pairs = [pair for pair in toy_pairs() if pair[0] != "the red cat paints a lamp."]
    model = StatisticalTranslator().fit(*zip(*pairs, strict=True), tune=0)
    assert model.translate(["The red cat paints a lamp."]) == ["die rote Katze malt eine Lampe."]
    assert model.translate(["today the door has seeed a flower."]) == [
        "heute hat die Tür eine Blume gesieht."
    ]
    assert model.translate(["", "the red Zaphod sees a cat."]) == ["", "die rote Zaphod sieht eine Katze."]
    # The same pairs give the same model.
    again = StatisticalTranslator().fit(*zip(*pairs, strict=True), tune=0)
    np.testing.assert_array_equal(again.table.features, model.table.features)


def test_chinese_by_characters():
    pairs = [
        ("I like red wine.", "我喜欢红酒。"),
        ("I like tea.", "我喜欢茶。"),
        ("He likes wine.", "他喜欢酒。"),
    ]
    pairs += [("He likes red tea.", "他喜欢红茶。"), ("I like him.", "我喜欢他。")]
    model = StatisticalTranslator().fit(*zip(*pairs * 2, strict=True), tune=0)
    assert model.translate(["I like red tea."]) == ["我喜欢红茶。"]
    back = StatisticalTranslator().fit(*zip(*[pair[::-1] for pair in pairs * 2], strict=True), tune=0)
    assert back.translate(["我喜欢红茶。"]) == ["I like red tea."]


def test_tuning_keeps_the_best_weights_and_stays_apart():
    pairs = toy_pairs()
    told = []
    model = StatisticalTranslator(search=Search(beam=5)).fit(
        *zip(*pairs, strict=True), tune=7, rounds=2, tell=told.append
    )
    assert len(model.tuned) == 3 and any("BLEU" in line for line in told)
    assert len(model.weights) == len(WEIGHTS) and min(model.weights) > 0
    # Tuned on pairs that are given, all the training pairs are learned from.
    given = StatisticalTranslator().fit(
        *zip(*pairs, strict=True), tune=(["a cat."], ["eine Katze."]), rounds=1
    )
    assert given.table.sources.flat.size > model.table.sources.flat.size


def test_long_texts_are_translated_in_pieces():
    pairs = toy_pairs()
    model = StatisticalTranslator(search=Search(beam=2)).fit(*zip(*pairs, strict=True), tune=0)
    long = " ".join(["the red cat sees a door."] * 30)
    assert len(long.split()) > LONGEST and model.translate([long])[0].count("Katze") == 30
    whole = len(model.table)
    joined = [*pairs, (long, long)]
    assert len(StatisticalTranslator().fit(*zip(*joined, strict=True), tune=0).table) == whole
    with pytest.raises(DataError, match="none of 2 pairs"):
        StatisticalTranslator().fit([long, ""], [long, "x"], tune=0)
    with pytest.raises(DataError, match="2 sources and 1 targets"):
        StatisticalTranslator().fit(["a", "b"], ["a"])


@pytest.mark.slow
def test_multi30k(data):
    """The figure in the documentation, on a part: far above what copying a neighbour gives."""
    import gzip

    sacrebleu = pytest.importorskip("sacrebleu")

    def lines(name):
        with gzip.open(data / "multi30k-ende" / name, "rt", encoding="utf-8") as file:
            return file.read().splitlines()

    sources, targets = lines("train.en.gz")[:6000], lines("train.de.gz")[:6000]
    model = StatisticalTranslator().fit(sources, targets, tune=0)
    found = model.translate(lines("test_2016_flickr.en.gz")[:300])
    assert sacrebleu.corpus_bleu(found, [lines("test_2016_flickr.de.gz")[:300]]).score > 22
