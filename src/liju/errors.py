"""Every error that a user can cause.

    LijuError               message and hint; the command line prints both and exits with 2
    ├── ConfigError         liju.toml: unknown keys, wrong types, impossible combinations (all at once)
    ├── DataError           a file or a row that cannot be read, a label that is missing
    ├── TokenizerError      a vocabulary that does not fit its text or its model
    ├── ModelError          sizes that do not fit together
    ├── BundleError         a model folder that is missing, torn or of an unknown kind
    ├── ExportError         a model that another engine cannot hold, or whose answers there differ
    ├── CheckpointError     a run that cannot be continued
    ├── TrainingError       a loss that is not a number, no target to learn from
    │   └── RankError       another process of the same training ended or does not answer
    ├── RequestError        what was asked of a loaded or served model cannot be answered
    │   └── RemoteError     a model behind HTTP did not answer: status, request id, attempts
    └── MissingExtra        a command whose optional packages are not installed

>>> raise DataError("reviews.csv:3: no label", hint="add the label, or set errors = 'skip'")
Traceback (most recent call last):
    ...
liju.errors.DataError: reviews.csv:3: no label
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ExportError",
    "LijuError",
    "MissingExtra",
    "ModelError",
    "RankError",
    "RemoteError",
    "RequestError",
    "TokenizerError",
    "TrainingError",
    "did_you_mean",
]


class LijuError(Exception):
    """What went wrong (`message`: with file and line where there is one) and what to do about it (`hint`)."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(LijuError):
    """The project file is wrong. `problems` lists every (place, message, hint), not only the first."""

    def __init__(self, message: str, hint: str = "", problems: Iterable[tuple[str, str, str]] = ()):
        super().__init__(message, hint)
        self.problems = list(problems)


class DataError(LijuError):
    """A file or a row cannot be used."""


class TokenizerError(LijuError):
    """A vocabulary that does not fit its text or its model."""


class ModelError(LijuError):
    """Sizes that do not fit together."""


class BundleError(LijuError):
    """A model folder that is missing, torn or of an unknown kind."""


class ExportError(LijuError):
    """A model that another engine cannot hold, or that answers differently there."""


class CheckpointError(LijuError):
    """A run that cannot be continued."""


class TrainingError(LijuError):
    """Training cannot go on."""


class RankError(TrainingError):
    """Another process of the same training ended or does not answer."""


class RequestError(LijuError):
    """What was asked of a model cannot be answered."""


class RemoteError(RequestError):
    """A model behind HTTP did not answer.

    `status` of HTTP (None: no answer came), `request_id` as the server gave it, `attempts` made. No message
    holds a key.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int | None = None,
        request_id: str = "",
        attempts: int = 1,
    ):
        super().__init__(message, hint)
        self.status = status
        self.request_id = request_id
        self.attempts = attempts


class MissingExtra(LijuError):
    """The packages that a command needs are not installed.

    >>> print(MissingExtra("daft", extra="text").hint)
    pip install 'liju[text]'
    """

    def __init__(self, package: str, extra: str):
        super().__init__(f"this needs the package {package!r}", hint=f"pip install 'liju[{extra}]'")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, or nothing.

    >>> did_you_mean("learning_rat", ["learning_rate", "steps"])
    "did you mean 'learning_rate'?"
    >>> did_you_mean("xyz", ["learning_rate", "steps"])
    ''
    """
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
