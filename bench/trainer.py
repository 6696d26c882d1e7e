"""transformers' Trainer on liju's tasks: what its example scripts do, with liju's rates and optimizer.

bench/finetune.py runs it. Each class makes features of examples in the way of transformers' own scripts
(run_glue, run_ner, run_qa, run_translation), trains, and gives answers that the task scores.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import liju  # noqa: F401 - sets threads
from liju.config import Evaluate, Finetune
from liju.train import schedule

__all__ = ["PEERS", "Ran", "Unpadded"]


class Peer:
    """A model of transformers' from `folder`, trained by Trainer in so many steps."""

    model_class = ""
    evaluation_batch = 64
    undropped: tuple[str, ...] = ()  # dropout that liju does not have

    def __init__(self, folder: Path, task: Any, words: Any, settings: Finetune):
        import transformers

        transformers.logging.set_verbosity_error()
        self.transformers, self.task, self.words, self.settings = transformers, task, words, settings
        _ = transformers.Trainer, transformers.TrainingArguments  # imported here, outside of what is timed
        self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        self.types = getattr(config, "type_vocab_size", 0) > 1  # whether it tells the second text of a pair
        self.model = self.network(folder)
        self.drop_out(settings.dropout)
        self.size = 0

    def drop_out(self, rate: float) -> None:
        """Dropout at the places that liju has it: not on attention's weights, not before a tagger's layer."""
        for name, module in self.model.named_modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0 if name.endswith("attention.self.dropout") or name in self.undropped else rate
            elif isinstance(getattr(module, "dropout", None), float):  # Marian's layers hold rates
                module.dropout = 0.0 if type(module).__name__.endswith("Attention") else rate

    def network(self, folder: Path) -> Any:
        """The model as transformers loads it."""
        return getattr(self.transformers, self.model_class).from_pretrained(folder)

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        raise NotImplementedError

    def collator(self) -> Any:
        return self.transformers.DataCollatorWithPadding(self.tokenizer)

    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        raise NotImplementedError

    def run(self, examples: Any, per_pass: int, seed: int, decoding: Evaluate, grouped: bool = False) -> Ran:
        """Train on every example so often as liju, in (to rounding) as many steps a pass.

        `grouped`: with `train_sampling_strategy="group_by_length"`.
        """
        began = time.process_time()
        rows = self.features(examples.train, train=True)
        sizes = max(1, len(rows) // per_pass), math.ceil(len(rows) / per_pass)
        self.size = min(sizes, key=lambda size: abs(math.ceil(len(rows) / size) - per_pass))
        epochs = round(self.settings.epochs)
        steps = math.ceil(len(rows) / self.size) * epochs
        told = self.transformers.TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=self.size,
            per_device_eval_batch_size=self.evaluation_batch,
            num_train_epochs=epochs,
            train_sampling_strategy="group_by_length" if grouped else "random",
            max_grad_norm=1.0,
            label_smoothing_factor=self.settings.label_smoothing,
            seed=seed,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        matrices = [p for p in self.model.parameters() if p.requires_grad and p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.requires_grad and p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, betas=(0.9, 0.98), eps=1e-8)
        warm = round(self.settings.warmup * steps)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: schedule("cosine", i, steps, warm))
        counted = Counted(self.collator())
        trainer = self.transformers.Trainer(
            self.model, told, train_dataset=rows, data_collator=counted, optimizers=(optimizer, rates)
        )  # fmt: skip
        trainer.train()
        seconds = time.process_time() - began
        seen, places = counted.rows, counted.places
        # It would sort the held-out examples too, and give the answers in that order.
        trainer.args.train_sampling_strategy = "random"
        self.model.eval()
        began = time.process_time()
        answers = self.answers(trainer, examples.test, decoding)
        answering = time.process_time() - began
        return Ran(
            answers, seconds, answering, trainer.state.global_step, seen, places, self.nats(examples.test)
        )

    def nats(self, examples: Sequence[Any]) -> dict[str, float]:
        """Nats a word of held-out examples, of a model that writes."""
        return {}


@dataclass(frozen=True)
class Ran:
    """One training: its answers on the held-out examples, seconds of the processor, and what was computed."""

    answers: list[dict[str, Any]]
    seconds: float
    answering: float
    steps: int
    rows: int  # that were trained on, repeated ones counted
    places: int  # of their batches, empty ones included
    more: dict[str, float]


class Counted:
    """A collator, and how many rows and places went through it."""

    def __init__(self, inner: Any):
        self.inner, self.rows, self.places = inner, 0, 0

    def __call__(self, rows: list[Any]) -> Any:
        batch = self.inner(rows)
        self.rows += len(rows)
        self.places += batch["input_ids"].numel()
        if "decoder_input_ids" in batch:
            self.places += batch["decoder_input_ids"].numel()
        return batch


class Pooled(torch.nn.Module):
    """RoFormerModel with BERT's pooler and a layer: its own class for sequences has another head."""

    def __init__(self, base: Any, folder: Path, dropout: float):
        super().__init__()
        tensors = load_file(folder / "liju.safetensors")
        self.base, self.dropout = base, torch.nn.Dropout(dropout)
        self.pooler, self.head = (linear(tensors, name) for name in ("pooler", "heads.label"))

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> dict[str, Any]:
        first = self.base(input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
        logits = self.head(self.dropout(self.pooler(first).tanh()))
        loss = {} if labels is None else {"loss": torch.nn.functional.cross_entropy(logits, labels)}
        return {**loss, "logits": logits}


def linear(tensors: dict[str, Any], name: str) -> torch.nn.Linear:
    weight = tensors[f"{name}.weight"]
    found = torch.nn.Linear(weight.shape[1], weight.shape[0])
    found.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
    return found


class Classifier(Peer):
    model_class = "AutoModelForSequenceClassification"

    def network(self, folder: Path) -> Any:
        config = self.transformers.AutoConfig.from_pretrained(folder)
        if config.model_type != "roformer":
            return super().network(folder)
        return Pooled(self.transformers.RoFormerModel.from_pretrained(folder), folder, self.settings.dropout)

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        pairs = [e.values["pair"] for e in examples] if self.task.pairs else None
        found = self.tokenizer(
            [e["text"] for e in examples], pairs, truncation=True, max_length=self.task.max_length
        )
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if pairs and self.types else []))
        return [
            {**{name: found[name][i] for name in names}, "labels": self.task.number[e["label"]]}
            for i, e in enumerate(examples)
        ]

    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        got = trainer.predict(self.features(examples, train=False)).predictions.argmax(-1)
        return [{"label": self.task.labels[int(i)]} for i in got]


class Tagger(Peer):
    model_class = "AutoModelForTokenClassification"
    undropped = ("dropout",)

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        found = self.tokenizer(
            [e["words"].split() for e in examples], is_split_into_words=True, truncation=True,
            max_length=self.task.max_length,
        )  # fmt: skip
        rows = []
        for i, e in enumerate(examples):
            tags, words = e["tags"].split(), found.word_ids(i)
            labels = [
                -100 if word is None or (at and words[at - 1] == word) else self.task.number[tags[word]]
                for at, word in enumerate(words)
            ]
            rows.append({**{name: found[name][i] for name in found}, "labels": labels})
        return rows

    def collator(self) -> Any:
        return self.transformers.DataCollatorForTokenClassification(self.tokenizer)

    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        rows = self.features(examples, train=False)
        got = trainer.predict(rows).predictions.argmax(-1)
        found = []
        for row, numbers, e in zip(rows, got, examples, strict=True):
            places = [at for at, label in enumerate(row["labels"]) if label != -100]
            words = sorted({w for w in self.words_of(e) if w is not None})
            tags = ["O"] * len(e["words"].split())
            for word, at in zip(words, places, strict=True):
                tags[word] = self.task.labels[int(numbers[at])]
            found.append({"label": " ".join(tags)})
        return found

    def words_of(self, example: Any) -> list[int | None]:
        return self.tokenizer(
            example["words"].split(),
            is_split_into_words=True,
            truncation=True,
            max_length=self.task.max_length,
        ).word_ids()


class Unpadded(torch.nn.Module):
    """A model for answers whose loss is over the places of a text: transformers' counts a batch's padding."""

    def __init__(self, inner: Any):
        super().__init__()
        self.inner = inner

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any,
        token_type_ids: Any = None,  # by name, or Trainer drops it
        start_positions: Any = None,
        end_positions: Any = None,
    ) -> dict[str, Any]:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        out = self.inner(input_ids=input_ids, attention_mask=attention_mask, **more)
        logits = [x.masked_fill(attention_mask == 0, -1e9) for x in (out.start_logits, out.end_logits)]
        found = {"start_logits": logits[0], "end_logits": logits[1]}
        if start_positions is None:
            return found
        wanted = (start_positions, end_positions)
        losses = map(torch.nn.functional.cross_entropy, logits, wanted)
        return {"loss": sum(losses) / 2, **found}


class Answerer(Peer):
    model_class = "AutoModelForQuestionAnswering"

    @property
    def names(self) -> list[str]:
        return ["input_ids", "attention_mask", *(["token_type_ids"] if self.types else [])]

    def windows(self, examples: Sequence[Any]) -> Any:
        return self.tokenizer(
            [e["question"] for e in examples], [e["context"] for e in examples], truncation="only_second",
            max_length=self.task.max_length, stride=self.task.overlap, return_overflowing_tokens=True,
            return_offsets_mapping=True, return_token_type_ids=True,
        )  # fmt: skip

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        import json

        found, rows = self.windows(examples), []
        for i, owner in enumerate(found["overflow_to_sample_mapping"]):
            answer = next(a for a in json.loads(examples[owner]["answers"]) if a["begin"] >= 0)
            inside = [at for at, of in enumerate(found.sequence_ids(i)) if of == 1]
            offsets, first, last = found["offset_mapping"][i], 0, 0
            whole = offsets[inside[0]][0] <= answer["begin"] and offsets[inside[-1]][1] >= answer["end"]
            if whole:
                first = max(at for at in inside if offsets[at][0] <= answer["begin"])
                last = min(at for at in inside if offsets[at][1] >= answer["end"])
            row = {name: found[name][i] for name in self.names}
            rows.append({**row, "start_positions": first, "end_positions": last})
        return rows

    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        found = self.windows(examples)
        rows = [{name: found[name][i] for name in self.names} for i in range(len(found["input_ids"]))]
        starts, ends = trainer.predict(rows).predictions[:2]
        best: list[tuple[float, str]] = [(-math.inf, "")] * len(examples)
        longest, count = self.task.longest or 30, 20
        for i, owner in enumerate(found["overflow_to_sample_mapping"]):
            size = len(found["input_ids"][i])
            begin, end = starts[i][:size], ends[i][:size]
            of, offsets = found.sequence_ids(i), found["offset_mapping"][i]
            for first in np.argsort(-begin)[:count]:
                for last in np.argsort(-end)[:count]:
                    if of[first] != 1 or of[last] != 1 or not first <= last < first + longest:
                        continue
                    score = float(begin[first] + end[last])
                    if score > best[owner][0]:
                        text = examples[owner]["context"][offsets[first][0] : offsets[last][1]]
                        best[owner] = score, text
        return [{"text": text} for _, text in best]


class Translator(Peer):
    model_class = "MarianMTModel"

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        encoded = [
            [[*ids, self.words.eos] for ids in self.words.encode_batch([e[name] for e in examples])]
            for name in ("source", "target")
        ]
        most = self.task.max_length
        return [
            {"input_ids": s, "attention_mask": [1] * len(s), "labels": t}
            for s, t in zip(*encoded, strict=True)
            if not train or max(len(s), len(t)) <= most
        ]

    def collator(self) -> Any:
        self.tokenizer.pad_token_id = self.words.pad
        return self.transformers.DataCollatorForSeq2Seq(self.tokenizer, self.model)

    @torch.inference_mode()
    def nats(self, examples: Sequence[Any]) -> dict[str, float]:
        rows, total, count = self.features(examples, train=True), 0.0, 0
        rows.sort(key=lambda row: len(row["labels"]))
        collate = self.collator()
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            words = sum(len(row["labels"]) for row in part)
            total += float(self.model(**collate(part)).loss) * words
            count += words
        return {"nats": total / count}

    @torch.inference_mode()
    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        rows = self.features(examples, train=False)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        found = [""] * len(rows)
        for start in range(0, len(order), 32):
            group = order[start : start + 32]
            sources = [rows[i]["input_ids"][: self.task.max_length] for i in group]
            width = max(map(len, sources))
            ids = torch.tensor([s + [self.words.pad] * (width - len(s)) for s in sources])
            seen = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sources])
            written = self.model.generate(
                input_ids=ids, attention_mask=seen, num_beams=decoding.beam, do_sample=False,
                max_new_tokens=decoding.max_new_tokens, pad_token_id=self.words.pad,
                eos_token_id=self.words.eos, decoder_start_token_id=self.words.pad,
            )  # fmt: skip
            for i, one in zip(group, written.tolist(), strict=True):
                one = one[1:]
                one = one[: one.index(self.words.eos)] if self.words.eos in one else one
                found[i] = self.words.decode(one)
        return [{"text": text} for text in found]


class Instructed(Peer):
    """Causal training on rows that liju's template made: -100 for what is not an answer's token."""

    model_class = "AutoModelForCausalLM"
    evaluation_batch = 16

    @staticmethod
    def fitting(examples: Sequence[Any], words: Any, most: int) -> list[tuple[Any, Any]]:
        """Those that the model takes whole (liju reads longer ones in pieces), each with its tokens and which
        of them are an answer's."""
        from liju.finetune.conversations import conversation
        from liju.finetune.writing import template_for

        template = template_for(words)
        rows = ((e, template.encode_answers(conversation(e.values), words)) for e in examples)
        return [(e, row) for e, row in rows if len(row.ids) - 1 <= most]

    def features(self, examples: Sequence[Any], train: bool) -> list[dict[str, Any]]:
        return [
            {
                "input_ids": row.ids,
                "attention_mask": [1] * len(row.ids),
                "labels": [i if mine else -100 for i, mine in zip(row.ids, row.answer, strict=True)],
            }
            for _, row in self.fitting(examples, self.words, self.task.max_length)
        ]

    def collator(self) -> Any:
        self.tokenizer.pad_token_id = self.words.pad
        return self.transformers.DataCollatorForSeq2Seq(self.tokenizer)

    @torch.inference_mode()
    def answers(self, trainer: Any, examples: Sequence[Any], decoding: Evaluate) -> list[dict[str, Any]]:
        found = []
        for row in self.features(examples, train=False):
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
            logits = self.model(input_ids=ids).logits[0, :-1]
            nats = torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum")
            found.append({"nats": float(nats), "tokens": int((labels[1:] != -100).sum())})
        return found


PEERS = {
    "classification": Classifier,
    "tagging": Tagger,
    "answering": Answerer,
    "translation": Translator,
    "instruction": Instructed,
}
