"""liju evaluate: numbers on held-out data beside simpler systems; or trained models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from liju.cli.story import say_next, shown_path, step
from liju.cli.strict_json import dumps

__all__ = ["evaluate"]


def evaluate(
    *words: str,
    data: str = "",
    errors: Literal["stop", "skip"] = "stop",
    out: Path | None = None,
    resamples: int = 2000,
    resume: bool = False,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Score the fine-tuned model on held-out examples beside simpler systems (step 6), and write report.html.

    With --data it scores trained models on a file of labelled examples instead, side by side: intervals, and
    tests of whether they differ. Nothing is trained then.

    examples:
      liju evaluate first
      liju evaluate first evaluate.seeds=3
      liju evaluate first --quiet --json
      liju evaluate runs/first runs/second --data test.tsv
      liju evaluate runs/first runs/second --data test.csv text=review label=stars --errors skip

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value. With
        --data: run directories or model folders, and field=column where a column has another name.
    data
        A file of labelled examples to score models on, side by side.
    errors
        With --data: stop at an example that cannot be used, or skip it and count it.
    out
        With --data: where the report goes (evaluate-A-B.html here, when left out).
    resamples
        With --data: draws of the bootstrap and of the randomisation.
    resume
        Continue an unfinished training where it stopped.
    quiet
        Say nothing but errors.
    json
        Print the table as one JSON object.
    """
    if data:
        _side_by_side(words, data, errors, out, resamples, quiet, json)
        return
    _several(words)
    opened = step(words, "evaluate", resume, quiet or json)
    if json:
        summary, read = opened.done["evaluate"].summary, opened.done["finetune"].summary["examples"]
        left_out = {why: count for why, count in read["dropped"].items() if count}
        found = {**summary["table"], "left_out": left_out, "problems": read["problems"]}
        sure = summary.get("calibration")
        found |= {"calibration_error": sure["error"]} if sure else {}
        print(dumps(found, indent=2))
        return
    where = shown_path(opened.folder)
    print(f"wrote {where}/report.html")
    say_next(f'liju predict {where} "..."', f"liju serve {where}")


def _several(words: tuple[str, ...]) -> None:
    paths = [word for word in words if "=" not in word]
    if len(paths) > 1:
        from liju.errors import RequestError

        raise RequestError(
            f"{len(paths)} models and no data", hint=f"liju evaluate {' '.join(paths)} --data test.tsv"
        )


def _side_by_side(
    words: tuple[str, ...],
    data: str,
    errors: Literal["stop", "skip"],
    out: Path | None,
    resamples: int,
    quiet: bool,
    json: bool,
) -> None:
    import sys

    from liju.project.side_by_side import side_by_side

    models = [word for word in words if "=" not in word]
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    names = "-".join(Path(model).resolve().name for model in models)
    found = side_by_side(
        models,
        data,
        fields=fields,
        errors=errors,
        report=out or Path(f"evaluate-{names}.html"),
        resamples=resamples,
        tell=(lambda line: None) if quiet or json else (lambda line: print(line, file=sys.stderr)),
    )
    if json:
        print(dumps(found.to_json(), indent=2))
        return
    if not quiet:
        print("\n".join(found.lines()))
    assert found.report is not None
    print(f"wrote {shown_path(found.report)}")
    say_next(f'liju predict {models[0]} "..."')
