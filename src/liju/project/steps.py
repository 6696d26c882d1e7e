"""The steps of the way, each a function from a run and a new folder to a summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from liju.config import Source
from liju.errors import ConfigError
from liju.evaluate import bits_per_byte
from liju.finetune import finetune, pretrained_task
from liju.finetune.finetuning import PRETRAINED
from liju.finetune.inspection import told as inspected
from liju.hub import save_bundle
from liju.objective import held_out_by
from liju.project.by_source import losses_by_source
from liju.project.compare import evaluate_step
from liju.project.directory import Run, Step, Stopped
from liju.project.groups import groups_of, origins_of
from liju.project.keys import files_fingerprint, key
from liju.project.laws import check_laws
from liju.project.leaks import Kept, evaluation_texts, examples_of, inspection_of
from liju.project.parts import TASK_TYPES, initialise, objective_of, trained
from liju.project.start import model_files, start_bundle
from liju.project.tell import TELL
from liju.project.views import look, written
from liju.samples import TokenShards, write_shards
from liju.text import clean, documents, resolve
from liju.train import Run as Training
from liju.train import TrainResult, TrainSettings, World, train
from liju.vocab import Tokenizer
from liju.vocab import train as train_vocab

__all__ = ["STEPS", "tokenizer_of"]


def inputs(run: Run, sources: Iterable[Source]) -> dict[str, str]:
    """Fingerprints of the files that each source means, so that a changed file is a changed input."""
    found: dict[str, str] = {}
    for source in sources:
        files = resolve(source, run.base)
        paths = [Path(path) for file in files for path in (file.path, file.target) if path]
        found[source.path] = f"{found.get(source.path, '')} {files_fingerprint(paths)}".strip()
    return found


# --- text


def text_section(run: Run) -> Any:
    text = run.project.text
    return {"text": text.model_dump_json(), "seed": run.project.seed, "files": inputs(run, text.sources)}


def text_step(run: Run, folder: Path) -> dict[str, Any]:
    if not run.project.text.sources:
        raise ConfigError("[text] sources is empty", hint="name a file, a folder or package:NAME/inside")
    report = clean(run.project.text, folder / "documents", seed=run.project.seed, base=run.base)
    return json.loads(report.to_json())


# --- vocab


def vocab_section(run: Run) -> Any:
    path = run.project.vocab.path
    return {
        "vocab": run.project.vocab.model_dump_json(),
        "model.family": run.project.model.family,
        "files": inputs(run, [Source(path=path, format="text")]) if path else {},
        "the evaluation's texts": key(sorted(evaluation_texts(run))),
    }


def vocab_step(run: Run, folder: Path) -> dict[str, Any]:
    settings = run.project.vocab
    if settings.path:
        settings = settings.model_copy(update={"path": str(run.base / settings.path)})
    texts = Kept(run)
    tokenizer = train_vocab(texts, settings, run.project.model.family)
    tokenizer.save(folder / "tokenizer")
    some = list(islice(texts, 200))
    tokens = sum(map(len, tokenizer.encode_batch(some)))
    cut = [tokenizer.tokens(tokenizer.encode(text[:48])) for text in some[:: max(1, len(some) // 4)][:4]]
    return {
        "kind": run.project.vocab.kind,
        "size": tokenizer.size,
        "asked": run.project.vocab.size,
        "characters_per_token": round(sum(map(len, some)) / max(1, tokens), 3),
        "cut": cut,
        "some": tokenizer.tokens([*range(400, tokenizer.size, max(1, tokenizer.size // 40))])[:40],
    }


def tokenizer_of(run: Run) -> Tokenizer:
    """The run's vocabulary."""
    return Tokenizer.load(run.ensure("vocab").folder / "tokenizer")


# --- samples


def samples_section(run: Run) -> Any:
    return {}


def samples_step(run: Run, folder: Path) -> dict[str, Any]:
    tokenizer = tokenizer_of(run)
    kept = Kept(run)
    shards = write_shards(kept, tokenizer, folder / "train")
    summary = {"train": _counts(shards), "left_out": kept.left_out}
    if run.ensure("text").summary["held_out"]:
        held = documents(run.ensure("text").folder / "documents", "held_out")
        origins, texts = origins_of(run, held)
        shards = write_shards(texts, tokenizer, folder / "held_out")
        origins.save(shards.folder)
        summary["held_out"] = _counts(shards)
    return summary


def _counts(shards: TokenShards) -> dict[str, int]:
    return {"documents": len(shards), "tokens": len(shards.tokens), "bytes": shards.bytes}


# --- pretrain


# These change what a training takes and tells, not what it learns (laws 2 and 3): it is gone on with.
FREE = {"micro_batch_tokens", "save_every", "sharding", "tensor_parallel", "recompute"}


def pretrain_section(run: Run) -> Any:
    project = run.project
    if project.model.path:
        files = model_files(project.model.path, run.base)
        return {"model.path": project.model.path, "files": {project.model.path: files_fingerprint(files)}}
    section = project.pretrain.model_dump_json(exclude=FREE)
    model = project.model.model_dump_json()
    return {"model": model, "pretrain": section, "seed": project.seed, "device": project.device}


def start_step(run: Run, folder: Path) -> dict[str, Any]:
    """Instead of pre-training: the model that `[model] path` names, without the layers of a former task."""
    bundle = start_bundle(run.project, run.base)
    model = bundle.model.eval()
    model.keep_heads(PRETRAINED)
    task = pretrained_task(model.config.family, model.config.max_length).describe()
    came = {"imported from": bundle.folder.name, **bundle.provenance, "model": run.project.model.path}
    save_bundle(folder / "bundle", model, bundle.tokenizer, task, came, overwrite=True)
    return {
        "from": run.project.model.path,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{"steps": 0, "tokens": 0, "seconds": 0.0, "tokens_per_second": 0.0, "loss": None, "held_out": {}},
        **{"precision": "", "objective": "", "samples_seen": []},
    }


def pretrain_step(run: Run, folder: Path) -> dict[str, Any]:
    world = World.current()
    if run.project.model.path:
        return world.first_only(lambda: start_step(run, folder)) or {}
    project, tokenizer = run.project, tokenizer_of(run)
    shards = run.ensure("samples").folder
    objective = objective_of(project, shards / "train", tokenizer)
    model = initialise(project, tokenizer.size)
    settings = TrainSettings.of(project.pretrain, seed=project.seed, device=project.device)
    held = (shards / "held_out" / "index.json").exists()
    against = objective_of(project, shards / "held_out", tokenizer) if held else None
    groups = groups_of(against, shards / "held_out") if against is not None else {}

    def evaluate(network: Any, step: int) -> dict[str, Any]:
        if against is None:
            return {"samples": written(network, tokenizer, None)}
        # The whole held-out text at the end, a part of it on the way.
        most = against.size if step == settings.steps else min(512, against.size)
        found = held_out_by(network, against, {key: names[:most] for key, names in groups.items()})
        sums = ("_nats", "_count")
        scores = {k: v for k, v in found.items() if k.startswith("loss") or not k.endswith(sums)}
        if objective.name == "causal" and step == settings.steps:
            scores["bits_per_byte"] = bits_per_byte(
                found["words_nats"], TokenShards(shards / "held_out").bytes
            )
        return {**scores, "samples": written(network, tokenizer, against)}

    live = run.live("pretrain") if run.live else None
    result = train(
        model,
        objective,
        settings,
        folder,
        evaluate=evaluate,
        resume=run.resume,
        live=live,
        profile=run.profile,
        tensorboard=run.tensorboard,
    )
    finished(result, "pretrain")
    if not world.first:
        return {}  # what is left to do is the first rank's
    task = pretrained_task(project.model.family, project.model.max_length).describe()
    model.eval()
    save_bundle(
        folder / "bundle",
        model,
        tokenizer,
        task,
        provenance(run, "pretrain"),
        report={"laws": judged(run, model, objective)},
        overwrite=True,  # of a step that was killed right after
    )
    return {
        **told(folder, result),
        "parameters": sum(p.numel() for p in model.parameters()),
        "objective": objective.name,
        "samples_seen": look(objective, tokenizer),
    }


# --- finetune


def finetune_section(run: Run) -> Any:
    section = run.project.finetune
    files = inputs(run, [*section.train, *section.test])
    return {"finetune": section.model_dump_json(), "seed": run.project.seed, "files": files}


def finetune_step(run: Run, folder: Path) -> dict[str, Any]:
    project = run.project
    examples = examples_of(run)
    pretrained = trained(run.ensure("pretrain").folder)
    model, tokenizer = pretrained.model, pretrained.tokenizer
    task = TASK_TYPES[project.finetune.task].of(examples.train, project.model.max_length)
    for example in examples.train[:3] + examples.test[:3]:
        run.tell(f"  [dim]{_short(example.values)}[/]")
    seen = inspection_of(run, tokenizer)
    for line in inspected(seen):
        run.tell(f"  {line}")
    live = run.live("finetune") if run.live else None
    result = finetune(
        model,
        tokenizer,
        task,
        examples.train,
        project.finetune,
        folder,
        seed=project.seed,
        device=project.device,
        precision=project.pretrain.precision,
        sharding=project.pretrain.sharding,
        recompute=project.pretrain.recompute,
        resume=run.resume,
        live=live,
        profile=run.profile,
        tensorboard=run.tensorboard,
    )
    finished(result, "finetune")
    if not World.current().first:
        return {}
    model.eval()
    too_long, shortened = list(getattr(task, "too_long", [])), list(getattr(task, "shortened", []))
    objective = task.objective(examples.train[:64], tokenizer, project.finetune, project.seed)
    save_bundle(
        folder / "bundle",
        model,
        tokenizer,
        task.describe(),
        provenance(run, "finetune"),
        report={"laws": judged(run, model, objective)},
        overwrite=True,  # of a step that was killed right after
    )
    scores = losses_by_source(run, model, tokenizer, task, examples.test)
    if scores:
        Training(folder).log({"step": result.step, "evaluation": {**result.scores, **scores}})
    summary = {**told(folder, result), "task": project.finetune.task, "examples": examples.report()}
    summary["held_out"] = {**result.scores, **scores}
    summary |= {"metric": task.metric, "inspection": seen}
    thresholds = getattr(task, "thresholds", None)
    if thresholds:
        summary["thresholds"] = thresholds
    if too_long:
        summary["too_long"] = len(too_long)
        summary["too_long_at"] = too_long[:100]
    if shortened:
        summary["shortened"] = len(shortened)
        summary["shortened_at"] = shortened[:100]
    return summary


def finished(result: TrainResult, name: str) -> None:
    """Raise Stopped where a training was told to stop before its end."""
    if result.stopped:
        raise Stopped(
            f"{name} stopped after step {result.step:,}; everything so far is saved",
            hint="the same command with --resume goes on from there",
        )


def judged(run: Run, model: Any, objective: Any) -> dict[str, Any]:
    """The laws, checked on this model; one that is broken is told."""
    laws = check_laws(model, objective)
    for number, law in laws.items():
        if not law["holds"]:
            run.tell(f"  law {number} is broken: {law['difference']:.1e}, bound {law['bound']:.0e}")
    return laws


def told(folder: Path, result: TrainResult) -> dict[str, Any]:
    """A training in a few numbers: those of the whole run, whatever part of it this call did."""
    training = Training(folder)
    steps = [line for line in training.metrics() if "loss" in line]
    seconds = sum(line["seconds"] for line in steps)
    tokens = sum(line["tokens"] for line in steps)
    chosen = training.chosen() or {}
    return {
        "steps": result.step,
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0,
        "loss": steps[-1]["loss"] if steps else None,
        "held_out": result.scores,
        **({"best": result.best} if result.best else {}),
        "precision": chosen.get("precision", ""),
        "real_places": round(tokens / max(1, sum(line["places"] for line in steps)), 4),
    }


def provenance(run: Run, step: str) -> dict[str, Any]:
    """Where a bundle comes from: the keys of all it was made of, and the licences of its text."""
    import liju

    own = {"liju": liju.__version__, "run": run.project.name, "seed": run.project.seed}
    if run.project.model.path:
        steps = {name: run.key(name) for name in ("pretrain", step)}
        return {**own, "model": run.project.model.path, "steps": steps}
    text = run.ensure("text").summary
    return {
        **own,
        "steps": {name: run.key(name) for name in ("text", "vocab", "samples", "pretrain", step)},
        "sources": [source.path for source in run.project.text.sources],
        "licences": sorted({source.licence for source in run.project.text.sources if source.licence}),
        "documents": text.get("kept"),
    }


def _short(values: dict[str, str]) -> str:
    return json.dumps({k: v[:40] for k, v in values.items()}, ensure_ascii=False)


LOOP = ("samples", "objective", "model", "train", "project/parts.py")
LEAKS = "project/leaks.py"

STEPS = [
    Step("text", (), ("text",), text_section, text_step, TELL["text"]),
    Step("vocab", ("text",), ("vocab", LEAKS), vocab_section, vocab_step, TELL["vocab"]),
    Step(
        "samples",
        ("text", "vocab"),
        ("samples", "vocab", LEAKS, "project/groups.py"),
        samples_section,
        samples_step,
        TELL["samples"],
    ),
    Step(
        "pretrain",
        ("samples", "vocab"),
        (*LOOP, "project/start.py"),
        pretrain_section,
        pretrain_step,
        TELL["pretrain"],
        True,
    ),
    Step(
        "finetune",
        ("pretrain",),
        (*LOOP, "finetune"),
        finetune_section,
        finetune_step,
        TELL["finetune"],
        True,
    ),
    Step(
        "evaluate",
        ("finetune",),
        ("evaluate", "ngram", "generate", "project/compare.py", "project/measuring.py", "project/splits.py"),
        lambda run: {"evaluate": run.project.evaluate.model_dump_json()},
        evaluate_step,
        TELL["evaluate"],
    ),
]
