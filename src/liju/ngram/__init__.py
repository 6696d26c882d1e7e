"""N-gram models: the baseline that every network is measured against.

They count any sequence of integers: word ids, bytes, or the characters of a string.

    counts          how often each run of 1..n ids occurs, as sorted arrays
    lexicon         words as numbers, where the sequence is one of words
    language_model  what all that give probabilities answer: bits per byte, perplexity
    bits            bits per byte: one definition, for these and for networks
    kneser_ney      modified Kneser-Ney: probabilities, bits, perplexity
    backoff         the same as listed log probabilities and backoff weights
    arpa            files of those, written; arpa_reading reads them
    stupid_backoff  scores that are cheap and are not probabilities
    classifier      one Kneser-Ney model a label
    tagger          a hidden Markov model of tags
    retrieval       a translation memory: the nearest sentence that was translated before
    sliding_window  the sentence of a text that shares the most with a question

and the statistical translator that stands beside a network:

    segment         words that can be put together again, a Han character each one
    alignment       IBM Model 1, and two directions made one
    phrases         pairs of phrases and how likely each is
    walk            a language model asked one word at a time
    decoder         beam search over the ways to cover a sentence
    tuning          weights that translate best
    statistical     all of them together: fit, translate
"""

from liju.ngram.alignment import IBMModel1, symmetrised
from liju.ngram.arpa import write_arpa
from liju.ngram.arpa_reading import read_arpa
from liju.ngram.backoff import BackoffModel
from liju.ngram.bits import bits_per_byte
from liju.ngram.classifier import NgramClassifier
from liju.ngram.counts import Counts, Table, count
from liju.ngram.decoder import Search
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.language_model import LanguageModel
from liju.ngram.lexicon import Lexicon
from liju.ngram.phrases import PhraseTable, extract_phrases
from liju.ngram.retrieval import TranslationMemory
from liju.ngram.segment import joined, segments
from liju.ngram.sliding_window import SlidingWindow, sentences_of
from liju.ngram.statistical import StatisticalTranslator
from liju.ngram.stupid_backoff import StupidBackoff
from liju.ngram.tagger import HiddenMarkovTagger
from liju.ngram.walk import Walk

__all__ = [
    "BackoffModel",
    "Counts",
    "HiddenMarkovTagger",
    "IBMModel1",
    "KneserNey",
    "LanguageModel",
    "Lexicon",
    "NgramClassifier",
    "PhraseTable",
    "Search",
    "SlidingWindow",
    "StatisticalTranslator",
    "StupidBackoff",
    "Table",
    "TranslationMemory",
    "Walk",
    "bits_per_byte",
    "count",
    "extract_phrases",
    "joined",
    "read_arpa",
    "segments",
    "sentences_of",
    "symmetrised",
    "write_arpa",
]
