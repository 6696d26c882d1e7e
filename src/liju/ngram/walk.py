"""A backoff model asked one word at a time, as a decoder does."""

from __future__ import annotations

import numpy as np

from liju.ngram.backoff import BackoffModel

__all__ = ["Walk"]

State = tuple[int, ...]


class Walk:
    """Steps through sentences. A state is the words that still matter: the longest listed history.

    Every step taken is remembered, since a decoder asks the same again and again.

    >>> from liju.ngram import KneserNey
    >>> model = BackoffModel.of(KneserNey(order=3).fit([[0, 1], [0, 1, 1]]))
    >>> walk, total, state = Walk(model), 0.0, None
    >>> for word in (0, 1, model.words.end):
    ...     log, state = walk.step(walk.start if state is None else state, word)
    ...     total += log
    >>> bool(np.isclose(total, model.totals([[0, 1]])[0]))
    True
    """

    def __init__(self, model: BackoffModel):
        self.model = model
        self.start: State = (model.words.start,) if model.order > 1 else ()
        self.end = model.words.end
        self._steps: dict[tuple[State, int], tuple[float, State]] = {}
        self._rows: dict[State, int] = {(): 0}

    def step(self, state: State, word: int) -> tuple[float, State]:
        """The natural log probability of a word (by number) after `state`, and the next state."""
        key = (state, word)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = self._find(state, word)
        return known

    def _find(self, state: State, word: int) -> tuple[float, State]:
        model = self.model
        log10 = 0.0
        for cut in range(len(state) + 1):
            history = state[cut:]
            row = self._row((*history, word))
            if row >= 0:
                log10 += float(model.log10[len(history)][row])
                break
            if history:
                at = self._row(history)
                if at >= 0:
                    log10 += float(model.backoff[len(history) - 1][at])
        after: State = (*state, word)[-(model.order - 1) :] if model.order > 1 else ()
        while after and self._row(after) < 0:
            after = after[1:]
        return log10 * float(np.log(10)), after

    def _row(self, run: State) -> int:
        """The row of a run in the table of its length, or -1."""
        row = self._rows.get(run)
        if row is None:
            before = self._row(run[:-1])
            row = -1
            if before >= 0:
                keys = self.model.keys[len(run) - 1]
                key = before * self.model.words.base + run[-1]
                at = int(np.searchsorted(keys, key))
                row = at if at < len(keys) and keys[at] == key else -1
            self._rows[run] = row
        return row
