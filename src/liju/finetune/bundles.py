"""Where the model of a run directory is. Nothing here needs torch."""

from __future__ import annotations

import json
from pathlib import Path

from liju.errors import BundleError

__all__ = ["find_bundle", "steps_of"]


def steps_of(path: str | Path) -> dict[str, str]:
    """The newest folder of each step of a run directory, by the step's name.

    Raises BundleError where there is no run, or its run.json is torn.
    """
    record = Path(path) / "run.json"
    try:
        steps = json.loads(record.read_text(encoding="utf-8"))["steps"]
        if not all(isinstance(name, str) for name in [*steps.keys(), *steps.values()]):
            raise TypeError("steps are not names")
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{path}: neither a model folder nor a run directory", hint="liju run liju.toml makes one"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise BundleError(
            f"{record}: cannot be read: {error}",
            hint="remove it; liju run writes it again and keeps the rest",
        ) from None
    return steps


def find_bundle(path: str | Path) -> Path:
    """The bundle that a path means: itself, or a run's newest (fine-tuned if there is one)."""
    path = Path(path)
    if (path / "config.json").exists():
        return path
    steps = steps_of(path)
    for step in ("finetune", "pretrain"):
        if step in steps and (path / steps[step] / "bundle" / "config.json").exists():
            return path / steps[step] / "bundle"
    raise BundleError(f"{path}: no trained model in this run yet", hint="liju run liju.toml")
