"""A project that starts from a model folder (`[model] path`) instead of pre-training one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from liju.config import Problem, Project, Source
from liju.errors import BundleError, DataError, LijuError
from liju.finetune import base_of, find_bundle, load_adapted
from liju.hub import Bundle, from_json, load_bundle
from liju.hub.files import read_json
from liju.model import TransformerConfig
from liju.text import resolve

__all__ = ["check_start", "follow_start", "model_files", "model_folder", "start_bundle"]

# Keys of [model] that are switches of the network; how long samples are and dropout are the project's own.
SIZES = ("d_model", "num_layers", "num_heads", "d_ff")
FREE = ("vocab_size", "max_length", "dropout")


def model_folder(path: str, base: Path) -> Path:
    """The folder that `[model] path` means: package:NAME/inside, $NAME/inside, or from the project file; of a
    run directory its newest model. It may be an adapter's, as PEFT writes them.

    Raises DataError with what is there instead, where it has no config.json and no adapter_config.json.
    """
    if (base / path / "run.json").exists():
        return find_bundle(base / path)
    try:
        return _holds(path, "config.json", base)
    except DataError as error:
        try:
            return _holds(path, "adapter_config.json", base)
        except DataError:
            raise error from None


def _holds(path: str, file: str, base: Path) -> Path:
    found = resolve(Source(path=f"{path.rstrip('/')}/{file}", format="text"), base)
    return Path(found[0].path).parent


def model_files(path: str, base: Path) -> list[Path]:
    """The files that the model of `[model] path` is made of: a change of them is another model."""
    folder = model_folder(path, base)
    folders = [found for found in (folder, base_of(folder)) if found is not None]
    suffixes = (".json", ".safetensors", ".txt")
    return [file for one in folders for file in sorted(one.iterdir()) if file.suffix in suffixes]


def start_bundle(project: Project, base: Path) -> Bundle:
    """The model of `[model] path`. Raises BundleError where it is not whole or has no vocabulary."""
    folder = model_folder(project.model.path, base)
    own = base_of(folder)
    bundle = load_bundle(folder) if own is None else load_adapted(folder)
    if bundle.tokenizer is None:
        raise BundleError(f"{own or folder}: no tokenizer", hint="put its tokenizer.json there")
    return bundle


def _config(path: str, base: Path) -> TransformerConfig:
    folder = model_folder(path, base)
    folder = base_of(folder) or folder
    if (folder / "liju.json").exists():
        record = read_json(folder / "liju.json")
        return TransformerConfig.from_json(json.dumps(record.get("config")))
    return from_json(read_json(folder / "config.json"), str(folder / "config.json"))[0]


def follow_start(tree: dict[str, Any], base: Path) -> dict[str, Any]:
    """The tables of a project file with the architecture of its `[model] path`, where the file says nothing.

    What is wrong stays as it is, for the report that names the line.
    """
    model = tree.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("path"), str) or not model["path"]:
        return tree
    try:
        config = _config(model["path"], base)
    except (LijuError, OSError, ValueError, TypeError):
        return tree
    follows: dict[str, Any] = {"family": config.family, **{name: getattr(config, name) for name in SIZES}}
    usual = asdict(
        TransformerConfig.default(
            config.family,
            vocab_size=config.vocab_size,
            **{name: getattr(config, name) for name in (*SIZES, *FREE[1:])},
        )
    )
    switches = {
        name: value
        for name, value in asdict(config).items()
        if value != usual[name] and value is not None and name not in (*SIZES, *FREE, "family")
    }
    follows["switches"] = switches
    longest = Project().model.max_length
    if config.max_length < longest:
        follows["max_length"] = config.max_length
    return {**tree, "model": {**follows, **model}}


def check_start(base: Path) -> Callable[[Project], Iterator[Problem]]:
    """Problems of `[model] path` for the report of the project file."""

    def check(project: Project) -> Iterator[Problem]:
        model = project.model
        if not model.path:
            return
        try:
            config = _config(model.path, base)
        except (LijuError, ValueError, TypeError) as error:
            told = error if isinstance(error, LijuError) else BundleError(f"{model.path}: {error}")
            yield "model.path", told.message, told.hint
            return
        there = f"{model.path} has"
        for name in ("family", *SIZES):
            own, theirs = getattr(model, name), getattr(config, name)
            if own != theirs:
                yield f"model.{name}", f"is {own!r}, and {there} {theirs!r}", "leave it out"
        for name in model.switches:
            if name in {field.name for field in fields(config)} and model.switches[name] != getattr(
                config, name
            ):
                yield f"model.switches.{name}", f"{there} {getattr(config, name)!r}", "leave it out"
        if model.max_length > config.max_length:
            yield "model.max_length", f"{there} {config.max_length} places", f"at most {config.max_length}"
        for key, given in (("text.sources", project.text.sources), ("vocab.path", project.vocab.path)):
            if given:
                yield key, "has no effect: the model comes from model.path as it is", "leave it out"
        if not project.finetune.task:
            yield "finetune.task", "is empty, and model.path is not pre-trained again", "name a task"

    return check
