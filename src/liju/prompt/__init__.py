"""One interface to language models, here or behind HTTP: write, score, and classify by likelihood."""

from liju.prompt.chat import ChatTemplate
from liju.prompt.classify import classify
from liju.prompt.connection import Usage
from liju.prompt.limits import Backoff, RateLimit
from liju.prompt.local import LocalModel
from liju.prompt.model import Generation, LanguageModel, Message, Prompt, Score
from liju.prompt.remote import RemoteModel

__all__ = [
    "Backoff",
    "ChatTemplate",
    "Generation",
    "LanguageModel",
    "LocalModel",
    "Message",
    "Prompt",
    "RateLimit",
    "RemoteModel",
    "Score",
    "Usage",
    "classify",
]
