"""The metrics by name: how each is shown, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """How a number is shown: times `scale`, with `digits`; and which way is better."""

    name: str
    title: str
    higher_is_better: bool = True
    scale: float = 1.0
    digits: int = 1


# The metrics that liju computes. Shares are shown in percent.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy %", scale=100),
        Metric("macro_f1", "macro F1 %", scale=100),
        Metric("micro_f1", "micro F1 %", scale=100),
        Metric("bleu", "BLEU"),
        Metric("chrf", "chrF"),
        Metric("weighted_f1", "weighted F1 %", scale=100),
        Metric("matthews", "Matthews", digits=3),
        Metric("subset_accuracy", "all labels %", scale=100),
        Metric("pearson", "Pearson", digits=3),
        Metric("spearman", "Spearman", digits=3),
        Metric("entity_f1", "entity F1 %", scale=100),
        Metric("exact", "exact match %", scale=100),
        Metric("number", "right number %", scale=100),
        Metric("answer_f1", "answer F1 %", scale=100),
        Metric("answered_f1", "F1 % where there is an answer", scale=100),
        Metric("unanswerable", "no answer found so %", scale=100),
        Metric("rouge1", "ROUGE-1 %", scale=100),
        Metric("rouge2", "ROUGE-2 %", scale=100),
        Metric("rougeL", "ROUGE-L %", scale=100),
        Metric("recall_at_1", "recall@1 %", scale=100),
        Metric("recall_at_10", "recall@10 %", scale=100),
        Metric("mrr", "MRR", digits=3),
        Metric("choice", "choice accuracy %", scale=100),
        Metric("choice_by_byte", "choice accuracy by byte %", scale=100),
        Metric("calibration_error", "calibration error %", higher_is_better=False, scale=100),
        Metric("brier", "Brier", higher_is_better=False, digits=3),
        Metric("bits_per_byte", "bits per byte", higher_is_better=False, digits=3),
        Metric("perplexity", "perplexity", higher_is_better=False, digits=2),
        Metric("mse", "squared error", higher_is_better=False, digits=3),
        Metric("loss", "loss (nats)", higher_is_better=False, digits=3),
    )
}
