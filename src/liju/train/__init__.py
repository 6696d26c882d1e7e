"""The training loop: one for pre-training, fine-tuning and LoRA, the same bits after every resume."""

from liju.train.checkpoint import Checkpoint, best, newest
from liju.train.launch import joined, on_ray, sbatch, torchrun
from liju.train.live import Lines, Live, Quiet, Screen, live_for
from liju.train.loop import TrainResult, train
from liju.train.muon import Muon, orthogonalise
from liju.train.optimizer import AdamW, build_optimizer
from liju.train.parallel import World
from liju.train.probe import Chosen, choose
from liju.train.run import Run
from liju.train.schedule import noam_peak, schedule
from liju.train.settings import TrainSettings
from liju.train.step import accumulate

__all__ = ["AdamW", "Checkpoint", "Chosen", "Lines", "Live", "Muon", "Quiet", "Run", "Screen", "TrainResult"]
__all__ += ["TrainSettings", "World", "accumulate", "best", "build_optimizer", "choose", "live_for", "newest"]
__all__ += ["joined", "noam_peak", "on_ray", "orthogonalise", "sbatch", "schedule", "torchrun", "train"]
