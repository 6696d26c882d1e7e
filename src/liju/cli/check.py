"""liju check: what a project file will do, before it is done."""

from __future__ import annotations

from liju.cli.again import again
from liju.cli.story import open_project, say_next
from liju.cli.strict_json import dumps

__all__ = ["check"]


def check(*words: str, json: bool = False, seconds: float = 2.0) -> None:
    """Check a project file whole, and say what it comes to: sizes, tokens, memory, time, and three samples.

    The text is cleaned and the vocabulary built where that is not done yet; a few training steps are measured
    and thrown away.

    examples:
      liju check first
      liju check first model.d_model=512 --json

    Parameters
    ----------
    words
        The project file or its folder (liju.toml here, when left out), and overrides section.key=value.
    json
        Print the figures as one JSON object.
    seconds
        How long to measure.
    """
    from liju.project import check as look
    from liju.project.tell import shown
    from liju.train.live import duration

    opened = open_project(words, quiet=True)
    found = look(opened, seconds)
    if json:
        print(dumps(found.to_json(), indent=2))
        return
    print(found.config)
    print()
    started = opened.project.model.path
    steps = (
        found.plan.tokens // opened.project.finetune.batch_tokens
        if started
        else opened.project.pretrain.steps
    )
    kind = "labelled examples" if started else "documents"
    rows = {
        "text": f"{found.documents:,} {kind}, {found.train_tokens:,} tokens to train on",
        "vocabulary": f"{found.vocabulary:,} tokens",
        "parameters": f"{found.plan.parameters:,}",
        "training": f"{steps:,} steps, {found.plan.tokens:,} tokens, {found.passes:.1f} passes over the text",
        "speed": f"{found.tokens_per_second:,.0f} tokens a second, measured here ({found.precision})",
        "time": duration(found.plan.seconds or 0),
        "memory": f"{found.plan.memory_bytes / 1e6:,.0f} MB for weights, gradients, optimizer, activations",
        "up to date": ", ".join(name for name, is_so in found.up_to_date.items() if is_so) or "nothing yet",
    }
    for name, value in rows.items():
        print(f"{name:<12}{value}")
    if found.labelled:
        print("\nlabelled examples:")
    for line in found.labelled:
        print(f"  {line}")
    if found.samples:
        print("\nthree samples, as the model will see them (→ what it must tell):")
    for seen in found.samples:
        print("  " + shown(seen))
    say_next(again("run", words))
