"""Step 7: one model behind HTTP: a task API, health, metrics, and a page to try it."""

from liju.serve.app import create_app
from liju.serve.asked import Asked, Loaded, Problem, accepted_options, read_asked, takes_pairs
from liju.serve.batcher import Batcher, Overloaded, Stopping
from liju.serve.counters import Counters
from liju.serve.server import Server, serve

__all__ = [
    "Asked",
    "Batcher",
    "Counters",
    "Loaded",
    "Overloaded",
    "Problem",
    "Server",
    "Stopping",
    "accepted_options",
    "create_app",
    "read_asked",
    "serve",
    "takes_pairs",
]
