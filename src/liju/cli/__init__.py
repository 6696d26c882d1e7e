"""The command line: one file a verb, each loaded when it is called, so that `liju --help` is quick."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError

from liju import __version__
from liju.errors import ConfigError, LijuError

__all__ = ["VERBS", "app", "main"]

# In the order of the way.
VERBS = {
    "new": "Write a commented project file that runs as it is.",
    "check": "Say what a project file will do: sizes, tokens, memory, time, three samples.",
    "plan": "Say what a training costs before it is paid: memory, time, money, on any machine.",
    "run": "Do every step that is not up to date.",
    "text": "Step 1: collect and clean text.",
    "vocab": "Step 2: build the vocabulary.",
    "pretrain": "Steps 3 and 4: initialise the network and train it without labels.",
    "finetune": "Step 5: train for a task with labelled examples.",
    "evaluate": "Step 6: numbers on held-out data, beside simpler systems.",
    "predict": "Answers to texts.",
    "serve": "Step 7: answers over HTTP.",
    "export": "A trained model for another engine: llama.cpp, ONNX Runtime, CTranslate2.",
    "show": "Look at what a run holds.",
    "runs": "Trainings side by side: state, losses, scores, speed, what differs.",
    "examples": "The worked examples: list, print, run.",
}

app = App(
    name="liju",
    version=__version__,
    help="liju (例句): your own text to a served language model, in any Transformer family.\n\n"
    "Start with `liju new first`, then `liju run first`.",
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for order, (verb, line) in enumerate(VERBS.items()):
    app.command(f"liju.cli.{verb}:{verb}", name=verb, help=line, sort_key=order)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code: 0, 2 for an error of the user's, 130 where it was stopped.

    >>> main(["examples", "--list"])  # doctest: +ELLIPSIS
    1...
    """
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        if words and words[0] in VERBS and {"--help", "-h"} & set(words):
            _whole_help(words[0])
        result = app(words, exit_on_error=False, print_error=False)
        sys.stdout.flush()  # a reader that has left is seen here, not while Python ends
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        verb = next((word for word in words if word in VERBS), "")
        return _told(str(error).strip().splitlines()[0], f"liju {verb} --help".replace("  ", " "))
    except BrokenPipeError:  # `liju show ... | head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left has no reader
        return 0
    except (LijuError, OSError) as error:
        if debug:
            raise
        if isinstance(error, ConfigError) and error.problems:
            for where, message, hint in error.problems:
                _told(f"{where}: {message}", hint)
            return 2
        if isinstance(error, LijuError):
            return _told(error.message, error.hint, getattr(error, "exit_code", 2))
        place = f"{error.filename}: " if error.filename is not None else ""
        return _told(f"{place}{error.strerror or error}", SYSTEM.get(error.errno or 0, "--debug shows where"))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _whole_help(verb: str) -> None:
    """The list of verbs tells a line of each; the verb itself tells all of its docstring."""
    function = getattr(import_module(f"liju.cli.{verb}"), verb)
    text = (inspect.getdoc(function) or "").split("\nParameters\n")[0]
    parts = [part if "\n  " in part else part.replace("\n", " ") for part in text.split("\n\n")]
    app[verb].help = "\n\n".join(parts)


# What to do about an error of the system's.
SYSTEM = {
    errno.ENOSPC: "free some space; what is done is kept, the same command goes on",
    errno.EFBIG: "files may not be this large here (ulimit -f); what is done is kept",
    errno.EACCES: "let this user write there, or choose another folder: out=...",
    errno.EROFS: "choose another folder: out=...",
}


def _told(message: str, hint: str, code: int = 2) -> int:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code


def script() -> None:
    """The entry point of the installed command."""
    sys.exit(main())
