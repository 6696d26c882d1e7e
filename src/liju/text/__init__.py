"""Collect and clean text: sources to documents, duplicates dropped, a held-out share chosen by hash.

>>> from liju.text import normalise
>>> normalise("cafÃ©\\r\\n")[0]
'café'
"""

from __future__ import annotations

from liju.text.conll import running
from liju.text.dedupe import fingerprint
from liju.text.document import Document
from liju.text.language import guess_language
from liju.text.normalise import normalise
from liju.text.passages import Passage, passages
from liju.text.pieces import cut_place, pieces
from liju.text.pipeline import clean
from liju.text.report import Problem, SourceReport, TextReport
from liju.text.rows import Row, rows
from liju.text.shards import documents
from liju.text.sources import File, resolve
from liju.text.split import held_out
from liju.text.squad import answers_of, placed

__all__ = [
    "Document",
    "File",
    "Passage",
    "Problem",
    "Row",
    "SourceReport",
    "TextReport",
    "answers_of",
    "clean",
    "cut_place",
    "documents",
    "fingerprint",
    "guess_language",
    "held_out",
    "normalise",
    "passages",
    "pieces",
    "placed",
    "resolve",
    "rows",
    "running",
]
