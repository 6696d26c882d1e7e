"""Step 6: numbers you can trust, a table, plots and one report page. Nothing here knows a model."""

from liju.evaluate.metrics import *
from liju.evaluate.table import *
