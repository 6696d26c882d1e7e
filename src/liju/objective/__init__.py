"""What is to be predicted: next words, masked words, spans, translations."""

from liju.objective.base import Objective
from liju.objective.causal import Causal
from liju.objective.cells import held_out_by
from liju.objective.denoising import Denoising, span_counts
from liju.objective.kinds import KINDS
from liju.objective.loss import held_out, losses
from liju.objective.masked import Masked
from liju.objective.translation import Translation

__all__ = ["KINDS", "Causal", "Denoising", "Masked", "Objective", "Translation", "held_out", "losses"]
__all__ += ["held_out_by", "span_counts"]
