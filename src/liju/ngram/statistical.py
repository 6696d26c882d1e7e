"""Statistical translation: word alignment, a table of phrases, a language model, a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from liju.errors import DataError
from liju.ngram.alignment import NULL, IBMModel1, symmetrised
from liju.ngram.backoff import BackoffModel
from liju.ngram.decoder import FEATURES, Decoder, Hypothesis, Option, Search
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.lexicon import Lexicon
from liju.ngram.phrases import PhraseTable
from liju.ngram.segment import joined, segments
from liju.ngram.tuning import bleu_counts, bleu_of, search_weights
from liju.ngram.walk import Walk

__all__ = ["StatisticalTranslator"]

LONGEST = 100  # words: longer pairs are not learned from, longer sentences are translated piece by piece
WEIGHTS = (0.2, 0.2, 0.2, 0.2, 0.5, 0.3, 0.6, 0.2)  # in the order of FEATURES, before any tuning


class StatisticalTranslator:
    r"""Translates by phrases, as it was done before there were networks for it.

    $$\hat t = \arg\max_t \sum_k \lambda_k h_k(s, t)$$

    The features $h_k$ are FEATURES: four of the phrase table, Kneser-Ney of the target, jumps, lengths. Words
    are aligned by IBM Model 1 in both directions (with a prior for the diagonal, see `IBMModel1`), phrases
    taken where the alignments agree, and the weights $\lambda_k$ tuned on pairs that nothing else is learned
    from. Source words are compared in lower case; a word never seen is copied.

    Words are those of `segments`: a Han character is one. Pairs of more than 100 words a side are left out,
    and longer texts are translated in pieces of at most 100. Everything is a function of the pairs and the
    seed.

    >>> pairs = [("a red dog", "ein roter Hund"), ("a dog", "ein Hund"), ("a red cat", "eine rote Katze")]
    >>> model = StatisticalTranslator().fit(*zip(*pairs * 3), tune=0)
    >>> model.translate(["a dog", "red Rex"])
    ['ein Hund', 'roter Rex']
    """

    def __init__(
        self,
        order: int = 4,
        longest: tuple[int, int] = (5, 7),
        iterations: int = 8,
        diagonal: float = 4.0,
        search: Search | None = None,
    ):
        self.order = order
        self.longest = longest
        self.iterations = iterations
        self.diagonal = diagonal
        self.search = search or Search()
        self.weights: list[float] = list(WEIGHTS)
        self.tuned: list[float] = []  # BLEU (0..1, of `segments`) on the tuning pairs, round by round

    def fit(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        tune: int | tuple[Sequence[str], Sequence[str]] = 300,
        rounds: int = 3,
        seed: int = 0,
        tell: Callable[[str], object] = lambda line: None,
    ) -> StatisticalTranslator:
        """Learn from sentence pairs. Raises DataError where there is none, or not one target a source.

        `tune` gives pairs to tune the weights on, or how many to take out of the training pairs for it
        (evenly spread, a twentieth at most); 0 leaves the weights as they are.
        """
        if len(sources) != len(targets) or not len(sources):
            raise DataError(
                f"{len(sources)} sources and {len(targets)} targets", hint="give each source a target"
            )
        apart: tuple[list[str], list[str]]
        if isinstance(tune, int):
            held = np.linspace(0, len(sources) - 1, min(tune, len(sources) // 20)).astype(int).tolist()
            rest = sorted(set(range(len(sources))) - set(held))
            apart = ([str(sources[row]) for row in held], [str(targets[row]) for row in held])
            sources, targets = [sources[row] for row in rest], [targets[row] for row in rest]
        else:
            apart = list(tune[0]), list(tune[1])
        pairs = [(_source(a), segments(b)) for a, b in zip(sources, targets, strict=True)]
        pairs = [(a, b) for a, b in pairs if a and b and max(len(a), len(b)) <= LONGEST]
        if not pairs:
            hint = f"give pairs of sentences of at most {LONGEST} words"
            raise DataError(f"none of {len(sources):,} pairs can be learned from", hint=hint)
        words = [a for a, _ in pairs], [b for _, b in pairs]
        self._lexicons = tuple(Lexicon.of(side) for side in words)
        ids = [
            [lexicon.ids(row) for row in side] for lexicon, side in zip(self._lexicons, words, strict=True)
        ]
        self.forward = IBMModel1(self.iterations, self.diagonal).fit(ids[0], ids[1])
        self.backward = IBMModel1(self.iterations, self.diagonal).fit(ids[1], ids[0])
        there, back = self.forward.align(ids[0], ids[1]), self.backward.align(ids[1], ids[0])
        links = [symmetrised(a.tolist(), b.tolist()) for a, b in zip(there, back, strict=True)]
        tell(f"{len(links):,} pairs aligned")
        self.table = PhraseTable(ids[0], ids[1], links, self.forward, self.backward, self.longest)
        self.walk = Walk(BackoffModel.of(KneserNey(self.order).fit(ids[1])))
        tell(f"{len(self.table):,} phrase pairs")
        self.weights, self.tuned = list(WEIGHTS), []
        if apart[0]:
            self._tune(*apart, rounds, seed, tell)
        return self

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The best translation found of each text."""
        decoder = Decoder(self.walk, self.weights, self.search)
        found = []
        for text in texts:
            words = segments(text)
            pieces = [words[at : at + LONGEST] for at in range(0, len(words), LONGEST)]
            found.append(joined(word for piece in pieces for word in self._decode(decoder, piece)[0].words))
        return found

    def _decode(self, decoder: Decoder, words: list[str]) -> list[Hypothesis]:
        """The translations of a sentence, best first."""
        return decoder.translate(self._options(words), len(words))

    def _options(self, words: list[str]) -> dict[tuple[int, int], list[Option]]:
        """What each span of a source sentence may become."""
        ids = self._lexicons[0].ids(word.strip().lower() for word in words)
        numbers = self.table.sources.find(ids.tolist())
        spans: dict[tuple[int, int], list[Option]] = {}
        weights = np.array(self.weights[:4])
        for start, line in enumerate(numbers):
            for length, number in enumerate(line, start=1):
                if number < 0:
                    continue
                rows = self.table.translations(number)
                features = self.table.features[rows]
                # More than are used: the language model has its say before the list is cut.
                near = np.argsort(-(features @ weights), kind="stable")[: 2 * self.search.options]
                if len(near):
                    spans[start, start + length] = [
                        self._option(int(self.table.target[rows.start + row]), features[row].tolist())
                        for row in near.tolist()
                    ]
            if (start, start + 1) not in spans:
                spans[start, start + 1] = self._word(int(ids[start]), words[start])
        return spans

    def _option(self, target: int, features: list[float]) -> Option:
        ids = self.table.targets.ids(target)
        a, b, c, d = features
        return Option(tuple(ids), tuple(self._lexicons[1][id] for id in ids), (a, b, c, d))

    def _word(self, source: int, word: str) -> list[Option]:
        """The options of a word that has no phrase of its own: what Model 1 says, or the word itself."""
        found = self.forward.translations(source) if source != NULL else []
        options = [
            Option((id,), (self._lexicons[1][id],), (log, log, log, log))
            for id, chance in found
            if chance > 0
            for log in (float(np.log(chance)),)
        ]
        return options or [Option((self.walk.model.words.unknown,), (word,), (0.0, 0.0, 0.0, 0.0))]

    def _tune(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        rounds: int,
        seed: int,
        tell: Callable[[str], object],
    ) -> None:
        inputs = [segments(text)[:LONGEST] for text in sources]
        references = [segments(text) for text in targets]
        choices: list[dict[tuple[str, ...], tuple[list[float], list[float]]]] = [{} for _ in references]
        best: tuple[float, list[float]] = (-1.0, self.weights)
        for turn in range(rounds + 1):
            decoder = Decoder(self.walk, self.weights, self.search)
            chosen = np.zeros(10)
            for row, words in enumerate(inputs):
                for rank, found in enumerate(self._decode(decoder, words)[:50]):
                    answer = tuple(found.words)
                    counts = bleu_counts(answer, references[row])
                    chosen += counts if rank == 0 else 0.0
                    choices[row].setdefault(answer, (found.features, counts))
            self.tuned.append(bleu_of(chosen))
            tell(f"tuning: BLEU {100 * self.tuned[-1]:.1f} with {_shown(self.weights)}")
            # The lists are only near what the search finds with other weights: the found one decides.
            best = max(best, (self.tuned[-1], self.weights), key=lambda each: each[0])
            if turn < rounds:
                features, counts = _padded(choices)
                self.weights, _ = search_weights(features, counts, best[1], seed=seed + turn)
        self.weights = best[1]


def _source(text: str) -> list[str]:
    return [word.strip().lower() for word in segments(text)]


def _shown(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:.2f} {name}" for weight, name in zip(weights, FEATURES, strict=True))


def _padded(
    choices: list[dict[tuple[str, ...], tuple[list[float], list[float]]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Features and counts of every choice; a sentence's last choice is repeated to the longest list."""
    most = max(map(len, choices))
    lists = [list(each.values()) for each in choices]
    lists = [each + [each[-1]] * (most - len(each)) for each in lists]
    return (
        np.array([[features for features, _ in each] for each in lists]),
        np.array([[counts for _, counts in each] for each in lists]),
    )
