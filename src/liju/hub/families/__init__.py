"""The model types of transformers that liju reads and writes: one file a family, all of it data.

>>> sorted(KINDS)  # doctest: +NORMALIZE_WHITESPACE
['bart', 'bert', 'cohere', 'gpt2', 'llama', 'marian', 'mistral', 'modernbert', 'openai-gpt', 'opt', 'qwen2',
 'qwen3', 'roformer', 't5']
"""

from liju.hub.families.bart import BART, MARIAN
from liju.hub.families.bert import BERT, ROFORMER
from liju.hub.families.cohere import COHERE
from liju.hub.families.gpt import GPT, GPT2
from liju.hub.families.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from liju.hub.families.modernbert import MODERNBERT
from liju.hub.families.opt import OPT
from liju.hub.families.t5 import T5
from liju.hub.kinds import Kind

__all__ = ["KINDS"]

# In order of preference.
KINDS: dict[str, Kind] = {
    kind.model_type: kind
    for kind in (
        *(BERT, ROFORMER, MODERNBERT),
        *(LLAMA, MISTRAL, QWEN2, QWEN3, GPT2, GPT, OPT, COHERE),
        *(T5, BART, MARIAN),
    )
}
