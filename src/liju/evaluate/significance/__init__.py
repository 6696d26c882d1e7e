"""How sure a number is: intervals, paired tests between two systems, mean and deviation over seeds.

measure    a metric that can be computed on any re-weighting of the examples
measures   the metrics as measures
interval   bootstrap intervals
paired     paired bootstrap, approximate randomisation, McNemar, Holm
spread     mean and deviation over seeds
"""

from liju.evaluate.significance.interval import Interval, accuracy_interval, bootstrap, bootstrap_of_parts
from liju.evaluate.significance.measure import Average, Correlation, Measure, Sums
from liju.evaluate.significance.measures import (
    accuracy_measure,
    bits_per_byte_measure,
    bleu_measure,
    chrf_measure,
    entity_measure,
    f1_measure,
    matthews_measure,
    mean_measure,
    pearson_measure,
    spearman_measure,
    tag_measure,
)
from liju.evaluate.significance.paired import (
    Difference,
    McNemar,
    approximate_randomisation,
    holm,
    mcnemar,
    paired_bootstrap,
)
from liju.evaluate.significance.spread import Spread, spread

__all__ = ["Average", "Correlation", "Difference", "Interval", "McNemar", "Measure", "Spread", "Sums"]
__all__ += ["accuracy_interval", "accuracy_measure", "approximate_randomisation", "bits_per_byte_measure"]
__all__ += ["bleu_measure", "bootstrap", "bootstrap_of_parts", "chrf_measure", "entity_measure", "f1_measure"]
__all__ += ["holm", "matthews_measure", "mcnemar", "mean_measure", "paired_bootstrap", "pearson_measure"]
__all__ += ["spearman_measure", "spread", "tag_measure"]
