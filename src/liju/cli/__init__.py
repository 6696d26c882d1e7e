"""The command line: one file a verb, each loaded when it is called, so that `liju --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from liju import __version__
from liju.errors import ConfigError, LijuError

__all__ = ["VERBS", "app", "main"]

# In the order of the way.
VERBS = {
    "new": "Write a commented project file that runs as it is.",
    "check": "Say what a project file will do: sizes, tokens, memory, time, three samples.",
    "run": "Do every step that is not up to date.",
    "text": "Step 1: collect and clean text.",
    "vocab": "Step 2: build the vocabulary.",
    "pretrain": "Steps 3 and 4: initialise the network and train it without labels.",
    "finetune": "Step 5: train for a task with labelled examples.",
    "evaluate": "Step 6: numbers on held-out data, beside simpler systems.",
    "predict": "Answers to texts.",
    "serve": "Step 7: answers over HTTP.",
    "show": "Look at what a run holds.",
    "examples": "The worked examples: list, print, run.",
}

app = App(
    name="liju",
    version=__version__,
    help="liju (例句): your own text to a served language model, in any Transformer family.\n\n"
    "Start with `liju new first`, then `liju run first`.",
    help_format="plaintext",
    result_action="return_value",
)
for order, (verb, line) in enumerate(VERBS.items()):
    app.command(f"liju.cli.{verb}:{verb}", name=verb, help=line, sort_key=order)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code: 0, 2 for an error of the user's, 130 for Ctrl-C.

    >>> main(["examples", "--list"])  # doctest: +ELLIPSIS
    1...
    """
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        verb = next((word for word in words if word in VERBS), "")
        return _told(str(error).strip().splitlines()[0], f"liju {verb} --help".replace("  ", " "))
    except ConfigError as error:
        if debug:
            raise
        for where, message, hint in error.problems or [("", error.message, error.hint)]:
            print(f"error: {where + ': ' if where else ''}{message}", file=sys.stderr)
            if hint:
                print(f"hint: {hint}", file=sys.stderr)
        return 2
    except LijuError as error:
        if debug:
            raise
        return _told(error.message, error.hint)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `liju show ... | head`
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0


def _told(message: str, hint: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return 2


def script() -> None:
    """The entry point of the installed command."""
    sys.exit(main())
