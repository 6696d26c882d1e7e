"""Token shards on disk, the order of the data, and the rows of segments that a network sees."""

from liju.samples.batch import Batch, Goal, Sample, Side, Targets, assemble
from liju.samples.layout import APART, FAR_APART, Layout, micro_batches, pack
from liju.samples.order import Order, key_of, random_of
from liju.samples.origins import Origins
from liju.samples.pieces import Chunks, Pieces
from liju.samples.shards import TokenShards, write_shards
from liju.samples.steps import Steps

__all__ = [
    "APART",
    "FAR_APART",
    "Batch",
    "Chunks",
    "Goal",
    "Layout",
    "Order",
    "Origins",
    "Pieces",
    "Sample",
    "Side",
    "Steps",
]
__all__ += ["Targets", "TokenShards", "assemble", "key_of", "micro_batches", "pack", "random_of"]
__all__ += ["write_shards"]
