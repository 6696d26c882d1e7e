"""Step 6: numbers you can trust, slices, a table, plots and one report page. Nothing here knows a model.

metrics        how good answers are
significance   how sure that number is, and whether two systems differ
slices         the same number by length, label and language; the worst mistakes
table          systems by metrics
plot           small SVG plots
report         report.html; page is its HTML
"""

from liju.evaluate import metrics, significance
from liju.evaluate.metrics import *  # noqa: F403
from liju.evaluate.plot import Bar, Series, bar_chart, confusion_plot, line_plot, standalone
from liju.evaluate.report import (
    Curve,
    Example,
    Generated,
    Law,
    Piece,
    Report,
    Seen,
    SourceStory,
    TextStory,
    VocabStory,
    write_report,
)
from liju.evaluate.significance import *  # noqa: F403
from liju.evaluate.table import METRICS, Cell, Metric, Row, ScoreTable

__all__ = [
    "METRICS",
    "Bar",
    "Cell",
    "Curve",
    "Example",
    "Generated",
    "Law",
    "Metric",
    "Piece",
    "Report",
    "Row",
]
__all__ += ["ScoreTable", "Seen", "Series", "SourceStory", "TextStory", "VocabStory", "bar_chart"]
__all__ += ["confusion_plot", "line_plot", "standalone", "write_report"]
__all__ += metrics.__all__
__all__ += significance.__all__
