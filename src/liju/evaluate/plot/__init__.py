"""Small SVG plots: lines, bars, a confusion matrix, intervals. No JavaScript, no fonts, no network.

A plot is a string of SVG to put into a page. Its colours follow the reader's light or dark setting, series
differ by dash as well as colour, and pointing at a mark shows its value. Numbers that are not finite are
gaps, never zeros.
"""

from liju.evaluate.plot.bars import Bar, bar_chart
from liju.evaluate.plot.heat import confusion_plot
from liju.evaluate.plot.intervals import calibration_plot, whisker
from liju.evaluate.plot.lines import Series, line_plot
from liju.evaluate.plot.svg import HEIGHT, STYLE, WIDTH, standalone, ticks

__all__ = ["HEIGHT", "STYLE", "WIDTH", "Bar", "Series", "bar_chart", "calibration_plot", "confusion_plot"]
__all__ += ["line_plot", "standalone", "ticks", "whisker"]
