"""The sections of `liju.toml`: one class a step, every key documented where it is defined."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Evaluate", "Finetune", "Model", "Pretrain", "Project", "Section", "Serve", "Source", "Text"]
__all__ += ["BALANCES_OF", "OBJECTIVE_OF", "SMOOTHED", "TASKS_OF", "Vocab", "is_section"]

Family = Literal["encoder", "decoder", "encdec"]
Baseline = Literal["majority", "ngram", "scratch", "retrieval", "statistical"]
Schedule = Literal["cosine", "inverse-sqrt", "wsd", "constant"]

# What each family learns without labels, and what it is fine-tuned for, when the file does not say.
OBJECTIVE_OF = {"encoder": "masked", "decoder": "causal", "encdec": "denoising"}
TASKS_OF = {
    "encoder": ("classification", "multilabel", "regression", "tagging", "answering", "embedding"),
    "decoder": (
        "generation",
        "instruction",
        "summarisation",
        "generative-answering",
        "classification",
        "multilabel",
        "regression",
    ),
    "encdec": ("translation", "summarisation", "generative-answering", "instruction"),
}

# What `finetune.balance` may be besides none.
BALANCES_OF = {
    "classification": ("weights", "focal"),
    "tagging": ("weights", "focal"),
    "multilabel": ("focal",),
}


# Tasks that `finetune.label_smoothing` is for: those that write one text from another.
SMOOTHED = TASKS_OF["encdec"]


class Section(BaseModel):
    """Strict: an unknown key, a number in quotes or `true` for 1 is a mistake, not a guess."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Source(Section):
    """One place that text comes from. A plain string is the same as {path = "..."}."""

    path: str = Field(min_length=1)
    """a file, a folder, a pattern (data/**/*.txt), or package:NAME/inside for an installed package's;
    $NAME at its start is an environment variable"""
    format: Literal[
        "auto",
        "text",
        "lines",
        "jsonl",
        "csv",
        "tsv",
        "html",
        "gettext",
        "tagged",
        "conll",
        "spans",
        "parquet",
        "datasets",
        "python",
        "squad",
    ] = "auto"
    """how to read it; auto looks at the ending (txt, md: one document a file; lines: one a line;
    tagged: word/TAG corpora; conll: a word and its tag a line; spans: CLUENER, doccano or Prodigy, a JSON
    object a line; datasets: of Hugging Face, path is NAME:config:split or a saved FOLDER:split;
    gettext: .po pairs; python: docstrings;
    squad: questions on paragraphs, SQuAD and CMRC 2018)"""
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
    held_out: bool = False
    """of [text] sources: keep all of it out of training, as held-out text"""

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

    path: str = ""
    """start from this model folder or run (Hugging Face's or liju's; package:NAME/inside, $NAME/inside): its
    architecture, vocabulary and weights; there is no pre-training then"""
    preset: str = ""
    """a published system (liju show presets lists them); what the file leaves out follows from it"""
    scale: float = Field(default=1.0, gt=0)
    """share of the preset's width to build; its depth, heads and lengths follow"""
    family: Family = "encoder"
    """encoder (understand), decoder (write) or encdec (translate)"""
    d_model: int = Field(default=256, ge=1)
    """width of the residual stream"""
    num_layers: int = Field(default=4, ge=1)
    """blocks of the encoder, of the decoder, or of each in encdec"""
    num_heads: int = Field(default=4, ge=1)
    """attention heads; d_model must be a multiple"""
    d_ff: int = Field(default=0, ge=0)
    """width of the feed-forward layer; 0 is the family's usual ratio"""
    max_length: int = Field(default=128, ge=5)
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
    layout: Literal["auto", "grouped", "packed", "flat"] = "auto"
    """how samples fall into rows: grouped by length, packed, or one flat line; auto is flat on a GPU with a
    kernel for it, else grouped"""
    sharding: Literal["auto", "replicate", "shard", "offload"] = "auto"
    """of weights and optimizer over several ranks; auto splits what takes more than half of a GPU's memory;
    offload keeps the optimizer in the host's memory"""
    tensor_parallel: int = Field(default=1, ge=1)
    """ranks that share each sample and each matrix (decoders)"""
    recompute: Literal["off", "blocks", "selective"] = "off"
    """do not keep activations, compute them again in the backward pass: a block's, or the cheap ones"""


class Finetune(Section):
    """Step 5: train for a task with labelled examples."""

    task: Literal[
        "",
        "classification",
        "multilabel",
        "regression",
        "embedding",
        "tagging",
        "answering",
        "translation",
        "summarisation",
        "generative-answering",
        "generation",
        "instruction",
    ] = ""
    """empty is no fine-tuning"""
    train: list[Source] = []
    """labelled examples"""
    test: list[Source] = []
    """held-out examples; empty takes test_share of train, chosen by the hash of the text"""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """share held out when there is no test"""
    fields: dict[str, str] = {}
    """names in your files for text, pair, label, source, target; tags:nr asks whether a tagged line has nr"""
    limit: int = Field(default=0, ge=0)
    """use only this many training examples; 0 is all"""
    trainable: str = "all"
    """what is trained: all, head, top-2 (it and the last two blocks), bias, gradual (from the head down),
    lora-8 (adapters of rank 8, alpha 16; lora-8-32 has alpha 32) or dora-8"""
    epochs: float = Field(default=3, gt=0)
    """times each example is seen"""
    batch_tokens: int = Field(default=2048, ge=1)
    """tokens a step, on average"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon trains the matrices with Muon and the rest with AdamW: for networks with little pre-training"""
    learning_rate: float = Field(default=3e-4, gt=0)
    """peak learning rate (of AdamW; with muon see muon_learning_rate)"""
    muon_learning_rate: float = Field(default=0.01, gt=0)
    """peak learning rate of the matrices under muon"""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """share of the steps that warm up"""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """dropout while fine-tuning"""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """share of the probability spread over all words (0.1 is usual for translation)"""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """the learning rate of each block is this times that of the block above it; 1 is off, 0.8 is usual"""
    patience: int = Field(default=0, ge=0)
    """end after this many looks (two a pass) without a better score on the validation part, and keep the
    best; 0 is off"""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """share of train that patience and liju finetune --search score on, chosen by the hash of the text"""
    folds: int = Field(default=0, ge=0)
    """also hold every example out once, in this many parts: for small data; 0 is off"""
    balance: Literal["none", "weights", "focal"] = "none"
    """rare labels: weights makes each label count as much as any other, focal what is not yet right"""


class Evaluate(Section):
    """Step 6: numbers on held-out data, beside simpler systems."""

    baselines: list[Baseline] = ["majority", "ngram", "scratch"]
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

    name: str = Field(default="first", pattern=r"^\w[\w.-]*$")
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


def is_section(field: Any) -> bool:
    """Whether a field of Project is a section of its own."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)
