"""The project file `liju.toml`: strict, one section a step, every key documented where it is defined.

>>> project = parse('''
... name = "first"
... [text]
... sources = ["notes.txt"]
... [model]
... family = "encoder"
... ''')
>>> project.model.family, project.pretrain.objective
('encoder', 'masked')

A misspelt key is an error, and every mistake is reported at once:

>>> parse('''
... [pretrain]
... learning_rat = 1e-3
... steps = "many"
... ''')
Traceback (most recent call last):
    ...
liju.errors.ConfigError: liju.toml:3: pretrain.learning_rat: unknown key (did you mean 'learning_rate'?)
liju.toml:4: pretrain.steps: input should be a valid integer, unable to parse string as an integer
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from liju.errors import ConfigError, did_you_mean

__all__ = ["Evaluate", "Finetune", "Model", "Pretrain", "Project", "Serve", "Source", "Text", "Vocab"]
__all__ += ["Problem", "parse", "read"]

Family = Literal["encoder", "decoder", "encdec"]
Schedule = Literal["cosine", "inverse-sqrt", "wsd", "constant"]

# A mistake: the dotted key, what is wrong, what to do.
Problem = tuple[str, str, str]

# What each family learns without labels, and what it is fine-tuned for, when the file does not say.
OBJECTIVE_OF = {"encoder": "masked", "decoder": "causal", "encdec": "denoising"}
TASKS_OF = {
    "encoder": ("classification",),
    "decoder": ("generation", "classification"),
    "encdec": ("translation",),
}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """One place that text comes from. A plain string is the same as {path = "..."}."""

    path: str
    """a file, a folder, a pattern (data/**/*.txt), or package:NAME/inside for an installed package's"""
    format: Literal["auto", "text", "lines", "jsonl", "csv", "tsv", "html", "gettext", "tagged", "python"] = (
        "auto"
    )
    """how to read it; auto looks at the ending (txt, md: one document a file; lines: one a line;
    tagged: word/TAG corpora; gettext: .po pairs; python: docstrings)"""
    columns: list[str] = []
    """names of the columns of a csv or tsv without a header line"""
    label: str = ""
    """the label of every row of this source"""
    target: str = ""
    """the file whose lines are the translations of this one's (Moses pairs)"""
    language: str = ""
    """the language, when known (en, zh, ...)"""
    licence: str = ""
    """the licence, carried to every document"""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class Text(Section):
    """Step 1: collect and clean text."""

    sources: list[Source] = []
    """files, folders, patterns, or tables with path, format, ..."""
    field: str = "text"
    """the field of jsonl, csv and tsv that holds the text"""
    normalise: Literal["nfc", "nfkc", "none"] = "nfc"
    """Unicode normal form; nfkc also folds full-width letters"""
    repair: bool = True
    """mend text that was decoded with the wrong encoding (mojibake)"""
    deduplicate: bool = True
    """drop exact duplicates"""
    min_characters: int = Field(default=8, ge=1)
    """drop shorter documents"""
    held_out: float = Field(default=0.02, ge=0, lt=1)
    """the share of documents kept out of training, chosen by the hash of the text"""
    errors: Literal["skip", "stop"] = "skip"
    """a file or row that cannot be read: count and report it, or stop there"""


class Vocab(Section):
    """Step 2: build the vocabulary."""

    kind: Literal["bpe", "wordpiece", "unigram"] = "bpe"
    """byte-level BPE, WordPiece or Unigram"""
    size: int = Field(default=8192, ge=300)
    """number of tokens, special ones included"""
    lowercase: bool = False
    """fold upper case before splitting"""
    sample_megabytes: float = Field(default=64, gt=0)
    """train on at most this much text, drawn evenly; bounds the memory"""
    path: str = ""
    """use this tokenizer.json instead of training one"""


class Model(Section):
    """Step 3: the network. `switches` takes any field of liju.model.TransformerConfig."""

    family: Family = "encoder"
    """encoder (understand), decoder (write) or encdec (translate)"""
    preset: str = ""
    """start from a named system's sizes instead of the family's default shape"""
    d_model: int = Field(default=256, ge=1)
    """width of the residual stream"""
    num_layers: int = Field(default=4, ge=1)
    """blocks of the encoder or the decoder; of the encoder in encdec"""
    num_decoder_layers: int = Field(default=0, ge=0)
    """blocks of the decoder in encdec; 0 is as many as the encoder"""
    num_heads: int = Field(default=4, ge=1)
    """attention heads; d_model must be a multiple"""
    d_ff: int = Field(default=0, ge=0)
    """width of the feed-forward layer; 0 is the family's usual ratio"""
    max_length: int = Field(default=128, ge=4)
    """tokens a sample has at most"""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """dropout while pre-training"""
    switches: dict[str, Any] = {}
    """e.g. {position = "sinusoidal", activation = "relu", norm_place = "pre"}"""


class Pretrain(Section):
    """Step 4: train without labels."""

    objective: Literal["", "masked", "causal", "denoising"] = ""
    """masked words, next word or span denoising; empty is the family's own"""
    steps: int = Field(default=1000, ge=0)
    """optimizer steps; 0 leaves the network as it was initialised"""
    batch_tokens: int = Field(default=4096, ge=1)
    """tokens a step, on average"""
    micro_batch_tokens: int = Field(default=4096, ge=1)
    """tokens that fit in memory at once; the gradient is that of the whole batch whatever this is"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon trains the matrices with Muon and the rest with AdamW"""
    learning_rate: float = Field(default=1e-3, gt=0)
    """peak learning rate (of AdamW; with muon see muon_learning_rate)"""
    muon_learning_rate: float = Field(default=0.02, gt=0)
    """peak learning rate of the matrices under muon"""
    schedule: Schedule = "cosine"
    """cosine, inverse-sqrt (2017), wsd (warm-up, stable, decay) or constant"""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """share of the steps that warm up"""
    weight_decay: float = Field(default=0.01, ge=0)
    """decoupled; matrices only"""
    clip: float = Field(default=1.0, ge=0)
    """largest norm of the gradient; 0 is off"""
    mask_rate: float = Field(default=0.15, gt=0, lt=1)
    """share of tokens masked (masked) or in spans (denoising)"""
    next_sentence: bool = True
    """with masked words: also tell whether the second segment follows the first"""
    evaluate_every: int = Field(default=200, ge=1)
    """steps between looks at the held-out text"""
    save_every: int = Field(default=200, ge=1)
    """steps between checkpoints"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto measures both on this machine and takes the faster"""
    compile: Literal["auto", "on", "off"] = "auto"
    """auto compiles only where a short measurement says that it pays"""
    layout: Literal["auto", "grouped", "packed"] = "auto"
    """how samples fall into rows: grouped by length, or packed; auto takes what is fastest on the device"""


class Finetune(Section):
    """Step 5: train for a task with labelled examples."""

    task: Literal["", "classification", "translation", "generation"] = ""
    """empty is no fine-tuning"""
    train: list[Source] = []
    """labelled examples"""
    test: list[Source] = []
    """held-out examples; empty takes test_share of train, chosen by the hash of the text"""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """share held out when there is no test"""
    fields: dict[str, str] = {}
    """names in your files for text, pair, label, source, target"""
    limit: int = Field(default=0, ge=0)
    """use only this many training examples; 0 is all"""
    trainable: str = "all"
    """what is trained: all, head, or top-2 (the head and the last two blocks)"""
    epochs: float = Field(default=3, gt=0)
    """times each example is seen"""
    batch_tokens: int = Field(default=2048, ge=1)
    """tokens a step, on average"""
    learning_rate: float = Field(default=3e-4, gt=0)
    """peak learning rate"""
    schedule: Schedule = "cosine"
    """as in [pretrain]"""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """share of the steps that warm up"""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """dropout while fine-tuning"""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """share of the probability spread over all words (0.1 is usual for translation)"""


class Evaluate(Section):
    """Step 6: numbers on held-out data, beside simpler systems."""

    baselines: list[Literal["majority", "ngram", "scratch", "retrieval"]] = ["majority", "ngram", "scratch"]
    """what the model is compared with; scratch is the same network without pre-training"""
    seeds: int = Field(default=1, ge=1)
    """fine-tune this many times with different seeds; the table gives mean and deviation"""
    beam: int = Field(default=4, ge=1)
    """beam width of translation; 1 is greedy"""
    length_penalty: float = 0.6
    """alpha of ((5 + length) / 6)^alpha"""
    max_new_tokens: int = Field(default=64, ge=1)
    """longest generated answer"""


class Serve(Section):
    """Step 7: answer over HTTP."""

    host: str = "127.0.0.1"
    """address to listen on"""
    port: int = Field(default=8000, ge=0, le=65535)
    """port; 0 takes a free one"""
    max_characters: int = Field(default=20000, ge=1)
    """longest text accepted in one request"""


class Project(Section):
    """The whole file."""

    name: str = Field(default="first", pattern=r"^[\w.-]+$")
    """the run's name: everything goes to OUT/NAME"""
    seed: int = Field(default=0, ge=0)
    """the source of every random choice"""
    out: str = "runs"
    """folder of the runs, beside this file"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train"""
    text: Text = Text()
    vocab: Vocab = Vocab()
    model: Model = Model()
    pretrain: Pretrain = Pretrain()
    finetune: Finetune = Finetune()
    evaluate: Evaluate = Evaluate()
    serve: Serve = Serve()

    @model_validator(mode="before")
    @classmethod
    def _family_defaults(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        model, pretrain = value.get("model", {}), value.get("pretrain", {})
        if isinstance(model, dict) and isinstance(pretrain, dict) and not pretrain.get("objective"):
            objective = OBJECTIVE_OF.get(str(model.get("family", "encoder")))
            if objective:
                value = {**value, "pretrain": {**pretrain, "objective": objective}}
        return value


def _combinations(project: Project) -> list[Problem]:
    """Values that are fine alone and impossible together."""
    model, pretrain, finetune = project.model, project.pretrain, project.finetune
    found: list[Problem] = []
    if model.d_model % model.num_heads and "d_k" not in model.switches and not model.preset:
        found.append(
            (
                "model.num_heads",
                f"d_model {model.d_model} is not a multiple of num_heads {model.num_heads}",
                f"d_model = {-(-model.d_model // model.num_heads) * model.num_heads} would do",
            )
        )
    if model.num_decoder_layers and model.family != "encdec":
        found.append(
            ("model.num_decoder_layers", f"a family {model.family!r} has only num_layers", "remove it")
        )
    if pretrain.objective and pretrain.objective != OBJECTIVE_OF[model.family]:
        wanted = next(family for family, name in OBJECTIVE_OF.items() if name == pretrain.objective)
        found.append(
            (
                "pretrain.objective",
                f"{pretrain.objective!r} does not train a family {model.family!r}",
                f"use {OBJECTIVE_OF[model.family]!r}, or [model] family = {wanted!r}",
            )
        )
    if finetune.task and finetune.task not in TASKS_OF[model.family]:
        fits = [family for family, tasks in TASKS_OF.items() if finetune.task in tasks]
        found.append(
            (
                "finetune.task",
                f"a family {model.family!r} is not fine-tuned for {finetune.task!r}",
                f"use {' or '.join(map(repr, TASKS_OF[model.family]))}, "
                f"or [model] family = {' or '.join(map(repr, fits))}",
            )
        )
    if finetune.task in ("classification", "translation") and not finetune.train:
        found.append(("finetune.train", f"the task {finetune.task!r} needs labelled examples", "name a file"))
    if not re.fullmatch(r"all|head|top-\d+", finetune.trainable):
        found.append(("finetune.trainable", f"unknown value {finetune.trainable!r}", "all, head or top-2"))
    if pretrain.micro_batch_tokens < model.max_length:
        found.append(
            (
                "pretrain.micro_batch_tokens",
                f"{pretrain.micro_batch_tokens} is less than one sample of max_length {model.max_length}",
                f"at least {model.max_length}",
            )
        )
    return found


def read(
    path: str | Path,
    overrides: Sequence[str] = (),
    checks: Iterable[Callable[[Project], list[Problem]]] = (),
) -> Project:
    """The project file at `path`, with `section.key=value` overrides, which always win.

    `checks` add problems of later steps (a model's sizes) to the same report.
    Raises ConfigError with every problem, each with file and line.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "liju.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file", hint="liju new DIR writes one that runs as it is"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return parse(text, overrides, checks, name=str(path))


def parse(
    text: str,
    overrides: Sequence[str] = (),
    checks: Iterable[Callable[[Project], list[Problem]]] = (),
    name: str = "liju.toml",
) -> Project:
    """The same as `read`, from a string.

    >>> parse('name = "a"', ["pretrain.steps=7", "name=b"]).pretrain.steps
    7
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{name}:{line[1]}" if line else name
        raise ConfigError(f"{where}: not TOML: {error}", problems=[(where, str(error), "")]) from None
    lines = _line_numbers(text)
    problems: list[Problem] = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            problems.append((override, "an override is section.key=value", ""))
            continue
        keys = key.strip().split(".")
        lines[tuple(keys)] = 0
        branch = tree
        for part in keys[:-1]:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                break
        if isinstance(branch, dict):
            branch[keys[-1]] = _value(value)
        else:
            problems.append((key, "not a section", ""))
    project = None
    try:
        project = Project.model_validate(tree)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
    if project is not None:
        for check in (_combinations, *checks):
            problems += check(project)
    if problems:
        raise _report(problems, lines, name)
    assert project is not None
    return project


def _value(text: str) -> Any:
    """A TOML value, or the text itself where it is not one, so that `name=first` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _problem(detail: Any) -> Problem:
    """One pydantic error in our words."""
    keys = [str(part) for part in detail["loc"]]
    dotted = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        section: Any = Project
        for part in keys[:-1]:
            field = getattr(section, "model_fields", {}).get(part)
            inner = field.annotation if field else Source
            section = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else Source
        known = list(section.model_fields)
        return dotted, "unknown key", did_you_mean(keys[-1], known) or f"known: {', '.join(known)}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return dotted, message, ""


def _report(problems: list[Problem], lines: dict[tuple[str, ...], int], name: str) -> ConfigError:
    def line(dotted: str) -> int:
        keys = tuple(dotted.split("."))
        while keys and keys not in lines:
            keys = keys[:-1]
        return lines.get(keys, 1)

    rows = []
    for dotted, message, hint in sorted(problems, key=lambda problem: line(problem[0])):
        number = line(dotted)
        where = f"{name}:{number}" if number else "command line"
        rows.append((where, f"{dotted}: {message}", hint))
    text = "\n".join(f"{where}: {message}" + (f" ({hint})" if hint else "") for where, message, hint in rows)
    return ConfigError(text, problems=rows)


_HEADER = re.compile(r"^\s*\[\[?\s*([\w.\s\"-]+?)\s*\]?\]")
_KEY = re.compile(r"^\s*([\w.\"-]+)\s*=")


def _line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """The line of each section and key, which tomllib does not say; inside inline tables, their parent's."""
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = tuple(part.strip().strip('"') for part in header[1].split("."))
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault((*section, *(part.strip('"') for part in key[1].split("."))), number)
    return found


def documented(project: Project, only: Iterable[str] = ()) -> str:
    """The project as TOML with a comment on every key: what `liju new` writes and `liju check` prints.

    >>> print(documented(Project(), only=["serve"]))
    # Step 7: answer over HTTP.
    [serve]
    host = "127.0.0.1"         # address to listen on
    port = 8000                # port; 0 takes a free one
    max_characters = 20000     # longest text accepted in one request
    """
    blocks = []
    sections = [name for name, field in Project.model_fields.items() if _is_section(field)]
    wanted = list(only) or ["", *sections]
    for name in wanted:
        section: BaseModel = getattr(project, name) if name else project
        rows = []
        if name:
            rows += [f"# {(type(section).__doc__ or '').strip()}", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            if _is_section(field):
                continue
            comment = " ".join((field.description or "").split())
            rows.append(f"{key} = {_toml(getattr(section, key))}".ljust(26) + f" # {comment}")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def _is_section(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _toml(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, Source):
        given = value.model_dump(exclude_defaults=True)
        return _toml(value.path) if list(given) == ["path"] else _toml(given)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        inner = [_toml(item) for item in value]
        if sum(map(len, inner)) > 60:
            return "[\n" + "".join(f"    {item},\n" for item in inner) + "]"
        return f"[{', '.join(inner)}]"
    return repr(value)
