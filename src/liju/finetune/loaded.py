"""A model ready to answer: from a bundle or a run directory, in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from liju.config import Evaluate
from liju.errors import BundleError, RequestError, did_you_mean
from liju.finetune.answering import Answering
from liju.finetune.bundles import find_bundle
from liju.finetune.classification import Classification
from liju.finetune.embedding import Embedding
from liju.finetune.generation import GenerationTask
from liju.finetune.instruction import InstructionTask
from liju.finetune.multilabel import Multilabel
from liju.finetune.pretrained import FillMask, FillSpan
from liju.finetune.regression import Regression
from liju.finetune.summarisation import SummarisationTask
from liju.finetune.tagging import Tagging
from liju.finetune.task import Answer
from liju.finetune.translation import TranslationTask
from liju.finetune.written_answers import GenerativeAnswering
from liju.hub import Bundle, load_bundle
from liju.samples import Sample, assemble
from liju.vocab import Tokenizer

__all__ = ["TASKS", "Loaded", "load", "options_of", "pretrained_task"]

TASKS = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
    "embedding": Embedding,
    "tagging": Tagging,
    "answering": Answering,
    "translation": TranslationTask,
    "summarisation": SummarisationTask,
    "generative-answering": GenerativeAnswering,
    "generation": GenerationTask,
    "instruction": InstructionTask,
    "fill-mask": FillMask,
    "fill-span": FillSpan,
}


def pretrained_task(family: str, max_length: int) -> FillMask | FillSpan | GenerationTask:
    """What a model of this family can do before fine-tuning."""
    return {"encoder": FillMask, "decoder": GenerationTask, "encdec": FillSpan}[family](max_length)


def load(path: str | Path, device: str = "auto") -> Loaded:
    """Load a bundle or a run directory.

    Raises BundleError when there is none, or it is not whole.
    """
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return Loaded(load_bundle(find_bundle(path)), where)


def options_of(task: str, options: dict[str, Any]) -> tuple[Evaluate, dict[str, Any]]:
    """The options of a request, checked: those of decoding, and those of sampling.

    Raises RequestError for one that has no effect on this task.
    """
    known = TASKS[task].options
    for name in options:
        if name not in known:
            allowed = ", ".join(known) or "no options"
            hint = did_you_mean(name, known) or f"a {task} model takes {allowed}"
            raise RequestError(f"unknown option {name!r}", hint=hint)
    decoding = set(Evaluate.model_fields)
    try:
        settings = Evaluate.model_validate({k: v for k, v in options.items() if k in decoding})
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"{first['loc'][0]}: {first['msg'].lower()}") from None
    extra = {k: v for k, v in options.items() if k not in decoding}
    for name, value in extra.items():
        if isinstance(known[name], list):  # a text or several
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list | tuple) or not all(isinstance(one, str) and one for one in texts):
                raise RequestError(f"{name}: {value!r} is neither a text nor a list of texts")
            continue
        numbers = (int, float) if isinstance(known[name], float) else (int,)
        if type(value) not in numbers or not math.isfinite(value) or (name == "seed" and value < 0):
            raise RequestError(f"{name}: {value!r} is not a value like {known[name]!r}")
    return settings, extra


class Loaded:
    """A model that answers. `task` names what it was trained for."""

    def __init__(self, bundle: Bundle, device: str = "cpu"):
        self.bundle = bundle
        self.model = bundle.model.to(device).eval()
        if bundle.tokenizer is None:
            raise BundleError(f"{bundle.folder}: no tokenizer", hint="put its tokenizer.json there")
        self.tokenizer: Tokenizer = bundle.tokenizer
        description = (
            bundle.task or pretrained_task(self.model.config.family, self.model.config.max_length).describe()
        )
        if description.get("name") not in TASKS:
            raise BundleError(
                f"{bundle.folder}: liju has no task {description.get('name')!r} to answer for",
                hint=f"it has {', '.join(TASKS)}; liju.hub.load_bundle gives the model itself",
            )
        self._task = TASKS[description["name"]].from_description(description)
        self.task: str = description["name"]

    def predict(
        self,
        texts: str | Mapping[str, str] | Sequence[str | Mapping[str, str]],
        pairs: Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        """Answers to texts: a dictionary for one text, a list of them for several.

        classification: label, score and the score of every label. tagging: words, tags and entities.
        Whatever writes: text.
        Options: `beam`, `length_penalty`, `max_new_tokens`; generation and instruction, in place of a beam,
        `temperature`, `top_k`, `top_p`, `seed`, and `stop`: texts before which an answer ends. A pair of
        texts is {"text": ..., "pair": ...}, or its second text stands in `pairs`; an instruction model also
        answers {"messages": [{"role": ..., "content": ...}, ...]}.

        Raises RequestError for what cannot be answered: an empty text, an unknown option, a missing pair.
        """
        one = isinstance(texts, str | Mapping) or not isinstance(texts, Iterable)
        asked = self._task.asked
        talks = "messages" in getattr(self._task, "optional", ())
        inputs = [
            _talk(item) if talks and _is_talk(item) else _fields(item, asked)
            for item in ([texts] if one else texts)
        ]
        if isinstance(pairs, str):
            pairs = [pairs]
        if pairs is not None:
            if len(pairs) != len(inputs):
                raise RequestError(f"{len(inputs)} texts and {len(pairs)} pairs", hint="give each text one")
            inputs = [
                _fields({**values, "pair": pair}, asked) for values, pair in zip(inputs, pairs, strict=True)
            ]
        settings, extra = options_of(self.task, options)
        answers: list[Answer] = self._task.answer(self.model, self.tokenizer, inputs, settings, **extra)
        return answers[0] if one else answers

    def embed(self, texts: str | Sequence[str]) -> Float[np.ndarray, "*text d_model"]:
        """The vector of a text, or of several, of length 1: their cosine is their product.

        Raises RequestError where the model was not made for it, or a text is empty.
        """
        if not isinstance(self._task, Embedding):
            hint = 'fine-tune it with task = "embedding"'
            raise RequestError(f"a {self.task} model has no vectors of texts", hint=hint)
        one = isinstance(texts, str)
        found = np.array([a["vector"] for a in self.predict([texts] if one else list(texts))], np.float32)
        return found[0] if one else found

    def generate(self, prompt: str, **options: Any) -> str:
        """Text that a decoder or an encoder-decoder writes for a prompt."""
        if not self.model.config.has_decoder:
            raise RequestError("an encoder does not write", hint="use predict")
        if not isinstance(prompt, str):
            raise RequestError(f"{prompt!r:.60} is not a text", hint="one prompt; predict takes several")
        return self.predict(prompt, **options)["text"]

    @torch.inference_mode()
    def logits(self, text: str, target: str | None = None) -> Float[Tensor, "place vocab"]:
        """The scores over the vocabulary at every place of a text (of `target`, for an encoder-decoder)."""
        tokens = self.tokenizer
        config = self.model.config
        if config.family == "encoder":
            ids, types = tokens.pair(tokens.encode(text))
            sample = Sample(0, encoder=_array(ids), types=_array(types))
        elif config.family == "decoder":
            first = [] if tokens.bos is None else [tokens.bos]
            sample = Sample(0, decoder=_array([*first, *tokens.encode(text)]))
        else:
            source = [*tokens.encode(text), tokens.eos]
            sample = Sample(0, _array(source), _array([tokens.pad, *tokens.encode(target or "")]))
        if max(sample.lengths) > config.max_length:
            raise RequestError(
                f"{max(sample.lengths)} tokens; the model takes {config.max_length}", hint="shorten the text"
            )
        batch = assemble([sample]).to(next(self.model.parameters()).device)
        return self.model.logits(batch)[0]

    def describe(self) -> dict[str, Any]:
        """What it is, for people and for the server."""
        return {
            "name": _name(self.bundle.folder.resolve()),
            "task": self.task,
            **{k: v for k, v in self._task.describe().items() if k != "name"},
            "family": self.model.config.family,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "vocabulary": self.tokenizer.size,
            "options": self._task.options,
        }


def _name(folder: Path) -> str:
    """What a model is called: as its folder, or as its run where it lies in one."""
    run = folder.parent.parent
    return run.name if folder.name == "bundle" and (run / "run.json").exists() else folder.name


def _fields(item: Any, asked: Sequence[str] = ("text", "pair")) -> dict[str, str]:
    """What is asked, by field; a plain text is {"text": ...}. The text and its pair also stand under the
    names that the task has for them.

    >>> _fields({"question": "Who?", "context": "Ada."}, ("question", "context"))
    {'text': 'Who?', 'pair': 'Ada.', 'question': 'Who?', 'context': 'Ada.'}
    """
    if isinstance(item, str):
        item = {"text": item}
    usual = [f'{{"{asked[0]}": ...}}', *([f'{{"{asked[0]}": ..., "{asked[1]}": ...}}'] if asked[1:] else [])]
    hint = f"give a text, or {' or '.join(usual)}"
    if not isinstance(item, Mapping):
        raise RequestError(f"{item!r:.60} is not a text", hint=hint)
    known = dict.fromkeys(("text", "pair", "source", *asked))
    for name, value in item.items():
        if name not in known:
            raise RequestError(f"unknown field {name!r}", hint=did_you_mean(str(name), known) or hint)
        if not isinstance(value, str):
            raise RequestError(f"{name}: {value!r:.60} is not a text", hint=hint)
    text = next((item[name] for name in ("text", asked[0], "source") if name in item), None)
    if text is None:
        raise RequestError("no text", hint=hint)
    found = {"text": text, **item, asked[0]: text}
    if asked[1:]:
        pair = item.get("pair", item.get(asked[1]))
        found |= {} if pair is None else {"pair": pair, asked[1]: pair}
    order = dict.fromkeys(("text", "pair", *asked))
    return {name: found[name] for name in (*order, *(n for n in found if n not in order)) if name in found}


def _is_talk(item: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(item, Mapping) and "messages" in item


def _talk(item: Mapping[str, Any]) -> dict[str, str]:
    """A conversation as a field of a request.

    >>> _talk({"messages": [{"role": "user", "content": "Hi"}]})
    {'messages': '[{"role": "user", "content": "Hi"}]'}
    """
    import json

    from liju.vocab.chat_messages import check_messages

    if set(item) != {"messages"} or not isinstance(item["messages"], Sequence):
        raise RequestError("messages stand alone", hint='{"messages": [{"role": "user", "content": "..."}]}')
    return {"messages": json.dumps(check_messages(item["messages"]), ensure_ascii=False)}


def _array(ids: Sequence[int | None]):
    import numpy as np

    return np.asarray(ids, np.int64)
