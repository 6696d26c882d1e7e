"""A bundle: the folder that is the model.

config.json             the shape, as transformers reads it
model.safetensors       the weights, under Hugging Face's names
tokenizer.json ...      the vocabulary, in Hugging Face's form
generation_config.json  of a model that writes
liju.json               the switches, the task and its labels, where it comes from, the laws
liju.safetensors        weights that this Hugging Face class has no place for (say, the words head beside
                        a classification layer); absent when there are none
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from liju.errors import BundleError, LijuError
from liju.hub.config_map import Architecture, architecture, misfits, to_json
from liju.hub.convert import export_tensors
from liju.hub.files import load_tokenizer, read_json, rename, save_tokenizer, write_json
from liju.hub.filling import NAMED, check_sizes, fill
from liju.hub.sentence_transformers import write_modules
from liju.hub.weights import SHARD, dtype_name, read_weights, write_weights
from liju.model import Transformer, TransformerConfig

if TYPE_CHECKING:
    from liju.vocab import Tokenizer

__all__ = ["Bundle", "load_bundle", "save_bundle"]

FORMAT = 1  # of liju.json
# What transformers calls the tasks of the label head.
PROBLEMS = {"regression": "regression", "multilabel": "multi_label_classification"}


@dataclass(frozen=True)
class Bundle:
    """A model with everything that goes with it.

    `architecture` is the transformers class that loads the folder, or None with the reasons in `misfits`.
    """

    model: Transformer
    tokenizer: Tokenizer | None
    task: dict[str, Any]
    provenance: dict[str, Any]
    folder: Path
    architecture: str | None = None
    misfits: tuple[str, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> TransformerConfig:
        return self.model.config

    @property
    def labels(self) -> list[str]:
        """The names of the answers of a classification, in the order of the outputs."""
        return list(self.task.get("labels") or [])


def save_bundle(
    folder: str | Path,
    model: Transformer,
    tokenizer: Tokenizer | None,
    task: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    report: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    shard: int = SHARD,
) -> Bundle:
    """Write the model as a folder, read it back, compare (law 7), and only then give it its name.

    `task` is free, save for `labels`: the names of the classes, in the order of the label head's outputs.
    `report` is kept as it is; the laws' figures are added to it. Weights of more than `shard` bytes are
    written as several files.

    Raises BundleError: the folder exists (without `overwrite`), the tokenizer does not fit the embedding,
    labels do not fit the label head, what was read back computes something else.
    """
    from liju.hub.check import check_export

    folder = Path(folder)
    if folder.exists() and not overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder}: already exists", hint="choose another name, or remove it first")
    task, report = dict(task or {}), dict(report or {})
    config, state = model.config, model.state_dict()
    heads = {name: _outputs(state, name) for name in model.heads}
    check_sizes(config, tokenizer, task, heads, str(folder))
    where = architecture(config, list(heads))
    reasons = [] if where else _reasons(config, heads)
    theirs, left = export_tensors(state, where.table(config)) if where else ({}, dict(state))
    settings = _settings(config, where, tokenizer, task, heads, dtype_name(next(iter(state.values()))))
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        left = {name: tensor.detach().cpu() for name, tensor in left.items()}
        write_weights(partial / "model.safetensors", theirs if where else left, shard)
        if where and left:
            write_weights(partial / "liju.safetensors", left)
        if tokenizer is not None:
            save_tokenizer(tokenizer, partial, config.max_length)
        write_json(partial / "config.json", settings)
        if task.get("name") == "embedding":
            write_modules(partial, config, task)
        if config.has_decoder:
            write_json(partial / "generation_config.json", _generation(settings))
        record = {
            "format": FORMAT,
            "liju": _version(),
            "config": json.loads(config.to_json()),
            "heads": heads,
            "architecture": where.name if where else None,
            "misfits": reasons,
            "tokenizer": tokenizer is not None,
            "task": task,
            "provenance": dict(provenance or {}),
            "report": report,
        }
        write_json(partial / "liju.json", record)
        report["laws"] = {**report.get("laws", {}), "7": check_export(model, load_bundle(partial).model)}
        write_json(partial / "liju.json", record)
        rename(partial, folder)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Bundle(
        model,
        tokenizer,
        task,
        dict(provenance or {}),
        folder,
        where.name if where else None,
        tuple(reasons),
        report,
    )


def load_bundle(folder: str | Path) -> Bundle:
    """Read a folder that `save_bundle` wrote, or a plain Hugging Face folder.

    Raises BundleError with one line that names the file, the key or the tensor.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if folder.exists():
            read_weights(folder)  # refuses a pickle by name
            raise BundleError(f"{folder}: a bundle is a folder, not a file")
        raise BundleError(f"{folder}: no such folder")
    if not (folder / "liju.json").exists():
        from liju.hub.folder import import_folder

        return import_folder(folder)
    record = read_json(folder / "liju.json")
    if record.get("format") != FORMAT:
        raise BundleError(
            f"{folder / 'liju.json'}: format {record.get('format')!r}, this version of liju reads {FORMAT}"
        )
    try:
        config = TransformerConfig.from_json(json.dumps(record["config"]))
        heads: dict[str, int] = record["heads"]
    except KeyError as error:
        raise BundleError(f"{folder / 'liju.json'}: no key {error}") from None
    except (LijuError, TypeError) as error:
        raise BundleError(f"{folder / 'liju.json'}: {error}") from None
    settings = read_json(folder / "config.json")
    where = architecture(config, list(heads))
    if (where.name if where else None) != record.get("architecture"):
        raise BundleError(
            f"{folder / 'liju.json'}: architecture {record.get('architecture')!r} does not fit its config"
        )
    if where:
        for key, value in to_json(config, where).items():
            if settings.get(key) != value:
                raise BundleError(
                    f"{folder / 'config.json'}: {key} is {settings.get(key)!r}, liju.json says {value!r}"
                )
    tokenizer = load_tokenizer(folder, required=bool(record.get("tokenizer")))
    task = dict(record.get("task") or {})
    check_sizes(config, tokenizer, task, heads, str(folder))
    model = fill(folder, config, heads, where, read_weights(folder))
    return Bundle(
        model,
        tokenizer,
        task,
        dict(record.get("provenance") or {}),
        folder,
        where.name if where else None,
        tuple(record.get("misfits") or ()),
        dict(record.get("report") or {}),
    )


def _outputs(state: Mapping[str, Tensor], head: str) -> int:
    """How many outputs a head has."""
    weight = state.get(f"heads.{head}.weight")
    return len(state["token.weight"] if weight is None else weight)


def _reasons(config: TransformerConfig, heads: Mapping[str, int]) -> list[str]:
    found = misfits(config)
    return found or [f"no class has the heads {sorted(heads)} with pooler {config.pooler}"]


def _settings(
    config: TransformerConfig,
    where: Architecture | None,
    tokenizer: Tokenizer | None,
    task: Mapping[str, Any],
    heads: Mapping[str, int],
    dtype: str,
) -> dict[str, Any]:
    """config.json."""
    values = to_json(config, where) if where else {"model_type": "liju", "architectures": ["Transformer"]}
    values |= {"dtype": dtype, "torch_dtype": dtype}  # transformers 5, and before
    # Written even when empty: the defaults of some classes are other tokens.
    specials = {key: getattr(tokenizer, key, None) for key in ("pad", "bos", "eos")}
    if config.family == "encoder":
        specials = {"pad": specials["pad"], "bos": None, "eos": None}
    values |= {f"{key}_token_id": value for key, value in specials.items()}
    if config.family == "encdec":
        values["decoder_start_token_id"] = task.get("start", specials["pad"] if tokenizer is not None else 0)
    for head in sorted(NAMED & heads.keys()):
        labels = task.get("labels") or [f"LABEL_{i}" for i in range(heads[head])]
        values |= {
            "id2label": {str(i): str(label) for i, label in enumerate(labels)},
            "label2id": {str(label): i for i, label in enumerate(labels)},
        }
        if head == "label":
            values["problem_type"] = PROBLEMS.get(str(task.get("name")), "single_label_classification")
            if task.get("name") == "regression":  # the head's number times the deviation, plus the mean
                scale = {key: task.get(key, default) for key, default in (("mean", 0.0), ("deviation", 1.0))}
                values["task_specific_params"] = {"regression": scale}
    return values


def _generation(settings: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    return {key: settings[key] for key in keys if settings.get(key) is not None}


def _version() -> str:
    from liju import __version__

    return __version__
