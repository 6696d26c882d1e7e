"""What an unfinished training was made of, and whether the same command goes on with it.

A step's folder is named by all that its output depends on, so that a changed text, setting or code has
another folder. With --resume that would begin anew beside the training that was meant; here it is refused,
and told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liju.errors import CheckpointError
from liju.project.keys import code_version
from liju.train.settings import FREE, ROUNDING

if TYPE_CHECKING:
    from liju.project.directory import Run

__all__ = ["RECORD", "check_resumed", "made_of", "resumed", "trained"]

RECORD = "made_of.json"  # in a step's folder: what its name stands for
Parts = dict[str, Any]


def made_of(run: Run, name: str) -> Parts:
    """The version of the code, the settings and the fingerprints of the files that a step's output depends
    on: its own, and those of every step before it, by the step's name."""
    step, found = run.step(name), Parts()
    for needed in run.needs(step):
        found |= made_of(run, needed)
    run.key(name)  # which looks at the files, once
    own = json.loads(json.dumps(run.sections[name], default=str))
    own = {key: _opened(value) for key, value in own.items()} if isinstance(own, dict) else _opened(own)
    return {**found, name: {"code": code_version(*step.code), "settings": own}}


def trained(folder: Path) -> list[Path]:
    """The checkpoints in a step's folder, by their steps."""
    return sorted(folder.glob("**/checkpoints/step-*"))


def check_resumed(run: Run, names: Iterable[str]) -> None:
    """Raise CheckpointError where a step of those would begin anew beside its unfinished training."""
    for name in names:
        if not run.up_to_date(name):
            resumed(run, name)


def resumed(run: Run, name: str) -> Path | None:
    """The folder of the unfinished training that this step goes on with under the name that it has now: one
    whose settings differ in rounding alone, or in what changes no weight. None: there is none but its own.

    Raises CheckpointError where there is one of other text, settings or code.
    """
    own = run.folder / f"{name}-{run.key(name)}"
    if trained(own):
        return None
    others = [other for other in run.folder.glob(f"{name}-*") if other != own]
    others = [other for other in others if not (other / "done.json").exists() and trained(other)]
    if not others:
        return None
    now = made_of(run, name)
    free = {("device", name)} | {(f"{name}.{key}", name) for key in ROUNDING | FREE}
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others:
        changed = _changed(_record(other), now)
        if changed is not None and {(key, step) for key, step, _ in changed} <= free:
            return other
    newest = others[0]
    changed = _changed(_record(newest), now)
    told = [text for *_, text in changed or ()] or ["it does not say what it was made of"]
    more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    raise CheckpointError(
        f"{name} cannot go on: {newest.name} is at {trained(newest)[-1].name.replace('-', ' ')} and was made "
        f"of something else: {'; '.join(told[:SHOWN])}{more}",
        hint="put it back as it was; or leave out --resume, or take name=another, to begin anew beside it",
    )


SHOWN = 5  # changes named


def _changed(before: Parts | None, now: Parts) -> list[tuple[str, str, str]] | None:
    """What differs, as key, step and sentence; None where the one before has no record."""
    if before is None:
        return None
    found = []
    for step in [*now, *(step for step in before if step not in now)]:
        was, own = (parts.get(step, {"code": None, "settings": {}}) for parts in (before, now))
        old, new = _flat(was["settings"], step), _flat(own["settings"], step)
        for key in [*new, *(key for key in old if key not in new)]:
            if old.get(key) != new.get(key):
                found.append((key, step, f"{key} is {_shown(new.get(key))} and was {_shown(old.get(key))}"))
        if was["code"] != own["code"]:
            found.append(("code", step, f"liju does {step} in another way (another version)"))
    return found


def _flat(settings: Any, name: str) -> dict[str, Any]:
    """Keys as the project file has them; files by their paths."""
    if not isinstance(settings, dict):
        return {name: settings}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            word = "the fingerprint of " if key == "files" else f"{key}."
            found |= {word + name: one for name, one in value.items()}
        else:
            found[key] = value
    return found


def _shown(value: Any, most: int = 60) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}…"


def _opened(value: Any) -> Any:
    """A section of the project file as what it holds."""
    try:
        found = json.loads(value)
    except (TypeError, ValueError):
        return value
    return found if isinstance(found, dict) else value


def _record(folder: Path) -> Parts | None:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
