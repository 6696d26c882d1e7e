"""Step 6: numbers you can trust, slices, a table, plots and one report page. Nothing here knows a model.

metrics        how good answers are
significance   how sure that number is, and whether two systems differ
slices         the same number by length, label and language; the worst mistakes
columns        the metrics by name: how each is shown
table          systems by metrics
plot           small SVG plots
report         report.html; page, page_scores and markup are its HTML
"""

from liju.evaluate import metrics, significance
from liju.evaluate.columns import METRICS, Metric
from liju.evaluate.metrics import *  # noqa: F403
from liju.evaluate.plot import (
    Bar,
    Series,
    bar_chart,
    calibration_plot,
    confusion_plot,
    line_plot,
    standalone,
)
from liju.evaluate.report import (
    Curve,
    Example,
    Generated,
    Inspected,
    Law,
    Piece,
    Report,
    Seen,
    Sliced,
    SourceStory,
    TextStory,
    TrainedOn,
    VocabStory,
    write_report,
)
from liju.evaluate.significance import *  # noqa: F403
from liju.evaluate.slices import Slice, groups_of, length_buckets, slices, whole, worst
from liju.evaluate.table import Cell, Row, ScoreTable

__all__ = [
    "METRICS",
    "Bar",
    "Cell",
    "Curve",
    "Example",
    "Generated",
    "Inspected",
    "Law",
    "Metric",
    "Piece",
    "Report",
]
__all__ += ["Row", "ScoreTable", "Seen", "Series", "Slice", "Sliced", "SourceStory", "TextStory"]
__all__ += ["TrainedOn", "VocabStory"]
__all__ += ["bar_chart", "calibration_plot", "confusion_plot", "groups_of", "length_buckets", "line_plot"]
__all__ += ["slices", "standalone", "whole", "worst", "write_report"]
__all__ += metrics.__all__
__all__ += significance.__all__
