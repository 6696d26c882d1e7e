"""What `liju plan` is asked about: a preset, a project file, a run or a model folder."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from liju import config as projects
from liju.config import Project
from liju.errors import BundleError, ConfigError, DataError, RequestError, did_you_mean
from liju.finetune import find_bundle, steps_of
from liju.hub import from_json
from liju.model import PRESETS, TransformerConfig, preset
from liju.objective.denoising import span_counts
from liju.project.parts import check_model, model_config
from liju.project.preset import follow_preset
from liju.train import TrainSettings

__all__ = ["Subject", "subject_of"]

LONGEST = 8192  # tokens of a preset's sample, where its own longest is longer


@dataclass(frozen=True)
class Subject:
    """What is to be planned: a network, its samples, and how it is trained."""

    name: str
    kind: str  # preset, model, project or run
    config: TransformerConfig
    length: int
    target_length: int = 0
    predicted: float = 1.0
    tokens: int = 0  # 0: nothing says
    batch: int = 0
    settings: TrainSettings | None = None
    heads: dict[str, int] = field(default_factory=dict)  # further heads, by name: their outputs
    recorded: float = 0.0  # tokens a second that the run itself wrote down


def subject_of(text: str, overrides: Sequence[str] = ()) -> Subject:
    """What a word means: a project file or its folder, a run directory, a model folder, or a preset.

    Raises RequestError where it is none of these, ConfigError for a project that trains nothing.

    >>> subject_of("transformer-base").kind
    'preset'
    """
    path = Path(text)
    if (path / "run.json").is_file():
        return _of_run(path, overrides)
    if path.is_file() or (path / "liju.toml").is_file():
        return _of_project(path, overrides)
    if (path / "config.json").is_file():
        return _of_shape(path.name, "model", _shape(path))
    if text in PRESETS:
        return _of_shape(text, "preset", preset(text))
    looks_like_file = path.suffix or "/" in text
    hint = did_you_mean(text, PRESETS) or f"presets: {', '.join(list(PRESETS)[:6])}, ..."
    raise RequestError(
        f"{text}: " + ("no such file" if looks_like_file else "no preset, project file, run or model folder"),
        hint="liju new DIR writes a project file" if looks_like_file else hint,
    )


def _shape(folder: Path) -> TransformerConfig:
    record = folder / "liju.json"
    try:
        if record.exists():
            values = json.loads(record.read_text(encoding="utf-8"))["config"]
            return TransformerConfig.from_json(json.dumps(values))
        return from_json(json.loads((folder / "config.json").read_text(encoding="utf-8")))[0]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: the configuration cannot be read: {error}") from None


def _of_shape(name: str, kind: str, config: TransformerConfig) -> Subject:
    length = min(config.max_length, LONGEST)
    return Subject(
        name,
        kind,
        config,
        length,
        length if config.family == "encdec" else 0,
        0.15 if config.head == "mlm" else 1.0,
    )


def _of_project(path: Path, overrides: Sequence[str], vocab: int = 0) -> Subject:
    project = projects.read(path, overrides, checks=[check_model], follow=follow_preset)
    section = project.pretrain
    if not section.steps:
        raise ConfigError(f"{path}: pretrain.steps is 0: nothing is trained", hint="set pretrain.steps")
    settings = TrainSettings.of(section, seed=project.seed, device=project.device)
    length, target, predicted = _lengths(project)
    return Subject(
        project.name,
        "project",
        model_config(project, vocab or project.vocab.size),
        length,
        target,
        predicted,
        tokens=settings.steps * settings.batch_tokens,
        batch=settings.batch_tokens,
        settings=settings,
        heads={"next_sentence": 2} if section.objective == "masked" and section.next_sentence else {},
    )


def _lengths(project: Project) -> tuple[int, int, float]:
    """Tokens of a full sample on each side, and the share of its places that reach the vocabulary."""
    longest, section = project.model.max_length, project.pretrain
    if section.objective == "denoising":
        noise, spans = span_counts(np.arange(1, 4 * longest), section.mask_rate)
        encoder = np.arange(1, 4 * longest) - noise + spans + 1
        most = int(np.flatnonzero((encoder <= longest) & (noise + spans + 1 <= longest)).max())
        return int(encoder[most]), int((noise + spans + 1)[most]), 1.0
    return longest, 0, section.mask_rate if section.objective == "masked" else 1.0


def _of_run(path: Path, overrides: Sequence[str]) -> Subject:
    """The run's project file, with the vocabulary and the speed that it has found."""
    try:
        vocab = _shape(find_bundle(path)).vocab_size
    except BundleError:  # nothing is trained yet
        vocab = 0
    found = _of_project(path / "liju.toml", overrides, vocab)
    record = path / steps_of(path).get("pretrain", "-") / "metrics.jsonl"
    speeds: list[float] = []
    for line in record.read_text(encoding="utf-8").splitlines() if record.exists() else []:
        try:
            speeds.append(float(json.loads(line)["tokens_per_second"]))
        except (ValueError, KeyError, TypeError):  # an evaluation, or a line that a kill cut short
            continue
    return replace(found, kind="run", recorded=statistics.median(speeds) if speeds else 0.0)
