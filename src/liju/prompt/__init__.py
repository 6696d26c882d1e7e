"""One interface to language models, here or behind HTTP: write, score, classify by likelihood, and prompts
with examples chosen for them."""

from liju.prompt.chat import ChatTemplate
from liju.prompt.classify import classify
from liju.prompt.connection import Usage
from liju.prompt.few_shot import FewShot
from liju.prompt.limits import Backoff, RateLimit
from liju.prompt.local import LocalModel
from liju.prompt.model import Generation, LanguageModel, Message, Prompt, Score
from liju.prompt.remote import RemoteModel
from liju.prompt.selection import Embed, NgramSelector, RandomSelector, Selector, VectorSelector

__all__ = [
    "Backoff",
    "ChatTemplate",
    "Embed",
    "FewShot",
    "Generation",
    "LanguageModel",
    "LocalModel",
    "Message",
    "NgramSelector",
    "Prompt",
    "RandomSelector",
    "RateLimit",
    "RemoteModel",
    "Score",
    "Selector",
    "Usage",
    "VectorSelector",
    "classify",
]
