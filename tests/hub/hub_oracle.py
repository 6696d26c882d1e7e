"""transformers beside us: a folder loaded by both, the same batch through both, the largest difference."""

from __future__ import annotations

import torch
from torch import Tensor

from liju.hub import probe_batch
from liju.hub.check import probe_outputs
from liju.model import Transformer
from liju.model.heads import POOLED
from liju.samples.batch import Batch, Side

AUTO = {
    "BertForPreTraining": "AutoModelForPreTraining",
    "BertForMaskedLM": "AutoModelForMaskedLM",
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertModel": "AutoModel",
    "BERT, sinusoids, no types": "AutoModelForPreTraining",
    "T5ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "T5 v1.1": "AutoModelForSeq2SeqLM",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
    "RoFormerForMaskedLM": "AutoModelForMaskedLM",
    "RoFormer, next sentence, no types": "AutoModelForMaskedLM",
    "RoFormerForTokenClassification": "AutoModelForTokenClassification",
    "RoFormerForQuestionAnswering": "AutoModelForQuestionAnswering",
    "RoFormerModel": "AutoModel",
    "ModernBertForMaskedLM": "AutoModelForMaskedLM",
    "ModernBERT, no window, biases in norms": "AutoModelForMaskedLM",
    "ModernBertModel": "AutoModel",
    "BartForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "MarianMTModel": "AutoModelForSeq2SeqLM",
}
# In float64; transformers computes RMS norms, rotations and T5's softmax in float32 even then.
FLOORS = {
    **dict.fromkeys(("Bert", "BERT", "RoFormer", "GPT", "OpenAI", "OPT", "Bart", "Marian"), 1e-13),
    **dict.fromkeys(("Llama", "Mistral", "Qwen", "Cohere"), 3e-6),
    "ModernB": 1e-6,
    "T5": 1e-5,
    "LlamaForCausalLM, stretched": 2e-5,
}


def floor(shape: str) -> float:
    """What two right implementations may differ by in float64, as a share of the largest output."""
    return FLOORS[max((start for start in FLOORS if shape.startswith(start)), key=len)]


def load(folder, shape: str, dtype=torch.float64):
    """The model as transformers loads it, and what it says of the loading."""
    import transformers

    transformers.logging.set_verbosity_error()
    auto = getattr(transformers, AUTO.get(shape, "AutoModelForCausalLM"))
    model, info = auto.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    return model.eval(), info


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch in their words."""
    found = {}
    for side, prefix in ((batch.encoder, ""), (batch.decoder, "decoder_")):
        if side is None:
            continue
        prefix = prefix if batch.encoder is not None else ""
        found[f"{prefix}input_ids"] = side.tokens
        found[f"{prefix}attention_mask"] = (side.segment > 0).long()
        if side.types is not None:
            found["token_type_ids"] = side.types
    return found


def theirs(model, batch: Batch) -> dict[str, Tensor]:
    """Their outputs under our names."""
    out = model(**inputs(batch))
    names = {
        "words": "prediction_logits" if "prediction_logits" in out else "logits",
        "next_sentence": "seq_relationship_logits",
        "hidden": "last_hidden_state",
    }
    if hasattr(model, "classifier"):
        names = {"tag" if "Token" in type(model).__name__ else "label": "logits"}
    if "start_logits" in out:
        return {"span": torch.stack([out["start_logits"], out["end_logits"]], -1)}
    return {ours: out[key] for ours, key in names.items() if key in out}


def ours(model: Transformer, batch: Batch, names) -> dict[str, Tensor]:
    """The same of ours, with a graph for gradients."""
    hidden = model(batch)
    found = {"hidden": hidden}
    for name in model.heads:
        found[name] = model.predict(name, hidden[:, 0] if name in POOLED else hidden)
    return {name: found[name] for name in names}


@torch.no_grad()
def compare(model: Transformer, hf, batch: Batch | None = None) -> float:
    batch = probe_batch(model.config) if batch is None else batch
    mine = probe_outputs(model, batch)
    worst, real = 0.0, batch.predicting.segment.flatten() > 0
    found = theirs(hf, batch)
    assert found
    for name, tensor in found.items():
        one, other = mine[name].flatten(0, -2), tensor.flatten(0, -2)
        if len(one) == len(real):
            one, other = one[real], other[real]
        worst = max(worst, float((one - other).abs().max() / other.abs().max()))
    return worst


def padded(batch: Batch) -> Batch:
    """The second row four places shorter."""

    def shorter(side: Side | None) -> Side | None:
        if side is None:
            return None
        segment = side.segment.clone()
        segment[1, -4:] = 0
        return Side(side.tokens, segment, side.position * segment, side.types)

    return Batch(shorter(batch.encoder), shorter(batch.decoder), {})
