"""Numbers: how good answers are. Nothing here knows a model.

Labels, tags, texts and sums of nats come in; floats in their natural unit come out: shares lie in 0..1, BLEU
and chrF in 0..100 as sacrebleu prints them.

labels           accuracy, F1, Matthews, sets of labels
confusion        which label was answered for which
correlation      Pearson, Spearman
entities         entity F1 from tags (seqeval)
answers          SQuAD's exact match and F1
chinese_answers  CMRC's, by character
corpus           BLEU and chrF (sacrebleu)
rouge            ROUGE-1, -2, -L
language_model   perplexity, bits per byte
calibration      expected calibration error, Brier
ranking          recall at k, mean reciprocal rank
choice           multiple choice by likelihood
"""

from liju.evaluate.metrics.answers import AnswerScores, Threshold, best_threshold, squad, squad_scores
from liju.evaluate.metrics.calibration import (
    Bin,
    Calibration,
    brier,
    brier_scores,
    calibration,
    calibration_of_labels,
)
from liju.evaluate.metrics.chinese_answers import cmrc, cmrc_scores
from liju.evaluate.metrics.choice import ChoiceScores, choice_scores, chosen
from liju.evaluate.metrics.confusion import Confusion, confusion
from liju.evaluate.metrics.corpus import CorpusScore, bleu, chrf, han_share
from liju.evaluate.metrics.correlation import pearson, spearman
from liju.evaluate.metrics.entities import EntityScores, entities, entity_scores, scheme_of
from liju.evaluate.metrics.labels import (
    LabelScore,
    accuracy,
    f1,
    label_scores,
    matthews,
    multilabel_f1,
    subset_accuracy,
)
from liju.evaluate.metrics.language_model import bits_per_byte, perplexity
from liju.evaluate.metrics.ranking import gold_ranks, mean_reciprocal_rank, recall_at, reciprocal_ranks
from liju.evaluate.metrics.rouge import Overlap, Rouge, rouge, rouge_scores

__all__ = ["AnswerScores", "Bin", "Calibration", "ChoiceScores", "Confusion", "CorpusScore", "EntityScores"]
__all__ += ["LabelScore", "Overlap", "Rouge", "Threshold", "accuracy", "best_threshold", "bits_per_byte"]
__all__ += [
    "bleu",
    "brier",
    "brier_scores",
    "calibration",
    "calibration_of_labels",
    "choice_scores",
    "chosen",
    "chrf",
    "cmrc",
]
__all__ += ["cmrc_scores", "confusion", "entities", "entity_scores", "f1", "gold_ranks", "han_share"]
__all__ += ["label_scores", "matthews", "mean_reciprocal_rank", "multilabel_f1", "pearson", "perplexity"]
__all__ += ["recall_at", "reciprocal_ranks", "rouge", "rouge_scores", "scheme_of", "spearman", "squad"]
__all__ += ["squad_scores", "subset_accuracy"]
