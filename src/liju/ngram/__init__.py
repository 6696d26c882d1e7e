"""N-gram models: the baseline that every network is measured against.

They count any sequence of integers: word ids, bytes, or the characters of a string.

    counts          how often each run of 1..n ids occurs, as sorted arrays
    kneser_ney      modified Kneser-Ney: probabilities, bits, perplexity
    stupid_backoff  scores that are cheap and are not probabilities
    classifier      one Kneser-Ney model a label
    retrieval       a translation memory: the nearest sentence that was translated before
"""

from liju.ngram.classifier import NgramClassifier
from liju.ngram.counts import Counts, Table, count
from liju.ngram.kneser_ney import KneserNey
from liju.ngram.retrieval import TranslationMemory
from liju.ngram.stupid_backoff import StupidBackoff

__all__ = ["Counts", "KneserNey", "NgramClassifier", "StupidBackoff", "Table", "TranslationMemory", "count"]
