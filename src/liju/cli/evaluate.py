"""liju evaluate: numbers on held-out data, beside simpler systems."""

from __future__ import annotations

from liju.cli.story import say_next, shown_path, step

__all__ = ["evaluate"]


def evaluate(*words: str, resume: bool = False, quiet: bool = False, json: bool = False) -> None:
    """Score the fine-tuned model on held-out examples beside simpler systems (step 6), and write report.html.

    examples:
      liju evaluate first
      liju evaluate first evaluate.seeds=3
      liju evaluate first --quiet --json

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    json
        Print the table as one JSON object.
    """
    opened = step(words, "evaluate", resume, quiet or json)
    if json:
        import json as codec

        print(codec.dumps(opened.done["evaluate"].summary["table"], ensure_ascii=False, indent=2))
        return
    where = shown_path(opened.folder)
    print(f"wrote {where}/report.html")
    say_next(f'liju predict {where} "..."', f"liju serve {where}")
