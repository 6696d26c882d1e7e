r"""How text is cut into words before counting, and a count of them in bounded memory.

The cut (`CUT`) is GPT-2's with three changes:

- A run of Han characters is apart from the letters around it. Chinese has no spaces: without this, a
  whole clause with its Latin words is one "word", nearly every one is different, and training needs
  memory like the text itself, times a hundred.
- Digits stand alone. Numbers are then spelled the same way wherever they stand, and take no place in the
  vocabulary.
- Combining marks belong to their letters (Hindi, Thai, decomposed accents).

For counting alone (`COUNTING`), a Han or kana run is further cut into windows of four characters, and
other scripts into 24. So no token is longer than four Han characters, which holds nearly all words and
idioms. Encoding is not cut into windows: a run is one word there, and its tokens do not depend on how far
it is from the start of the clause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["COUNTING", "CUT", "DISTINCT", "BoundedCounter"]

_TEMPLATE = (
    r"'(?:[sdmt]|ll|ve|re)"
    r"|[\p{{Han}}\p{{Hiragana}}\p{{Katakana}}]{han}"
    r"| ?[\p{{L}}\p{{M}}&&[^\p{{Han}}\p{{Hiragana}}\p{{Katakana}}]]{letters}"
    r"|\p{{N}}"
    r"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]{marks}"
    r"|\s{spaces}(?!\S)|\s{spaces}"
)
CUT = _TEMPLATE.format(han="+", letters="+", marks="+", spaces="+")
COUNTING = _TEMPLATE.format(han="{1,4}", letters="{1,24}", marks="{1,8}", spaces="{1,16}")

# The most distinct words held at once. A word costs about 0.1 kB here and 1.4 kB in the trainer: half a GB.
DISTINCT = 300_000


class BoundedCounter:
    """Counts words and never holds more than `limit` distinct ones for long.

    When there are too many, the rarest are cut in halves, and their counts go to the halves. Nothing is
    lost: every character is still counted, only in shorter words. On Chinese the windows of four that
    occur once become words of two, which repeat; so memory stops growing while the text goes on.

    >>> counter = BoundedCounter(limit=7)
    >>> counter.add("abcd abef cdab efab efcd gh gh".split())
    >>> counter.add("cdef ghab".split())
    >>> sorted(counter.counts.items())
    [('ab', 5), ('cd', 4), ('ef', 4), ('gh', 3)]
    """

    def __init__(self, limit: int = DISTINCT):
        self.limit = limit
        self.counts: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> None:
        """Count `words`."""
        self.counts.update(words)
        # Well below the limit, so that the next halving is a while away.
        if len(self.counts) > self.limit:
            while len(self.counts) > self.limit * 3 // 4 and self._halve():
                pass

    def _halve(self) -> bool:
        """Cut the rarest words, a quarter of all or more, in halves. False when all are single characters."""
        long = sorted(times for word, times in self.counts.items() if len(word) > 1)
        if not long:
            return False
        rare = long[len(long) // 4]
        kept: Counter[str] = Counter()
        for word, times in self.counts.items():
            if times > rare or len(word) == 1:
                kept[word] += times
                continue
            middle = (len(word) + 1) // 2
            kept[word[:middle]] += times
            kept[word[middle:]] += times
        self.counts = kept
        return True

    def ordered(self) -> list[tuple[str, int]]:
        """The words and counts, commonest first, equal ones in code point order: the same in any run."""
        return sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
