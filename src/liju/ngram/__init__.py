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
    retrieval       a translation memory: the nearest sentence that was translated before
"""

from liju.ngram.arpa import write_arpa
from liju.ngram.arpa_reading import read_arpa
from liju.ngram.backoff import BackoffModel
from liju.ngram.bits import bits_per_byte
from liju.ngram.classifier import NgramClassifier
from liju.ngram.counts import Counts, Table, count
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.language_model import LanguageModel
from liju.ngram.lexicon import Lexicon
from liju.ngram.retrieval import TranslationMemory
from liju.ngram.stupid_backoff import StupidBackoff

__all__ = [
    "BackoffModel",
    "Counts",
    "KneserNey",
    "LanguageModel",
    "Lexicon",
    "NgramClassifier",
    "StupidBackoff",
    "Table",
    "TranslationMemory",
    "bits_per_byte",
    "count",
    "read_arpa",
    "write_arpa",
]
