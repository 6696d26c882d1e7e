"""Step 2: from text to token ids and back.

tokenizer   one class for every kind of vocabulary; its file is Hugging Face's tokenizer.json
train       byte-level BPE, WordPiece and Unigram, in bounded memory on any language
words       how text is cut before counting, and the bounded count
chat        conversations to tokens by a vocabulary's template (chat_segments, chat_sandbox, chat_messages)
special     the special tokens of each family, and their roles in files made elsewhere
formats     tokenizer.json, vocab.json + merges.txt (GPT-2), vocab.txt (BERT)
sentences   a sentence split for Chinese and English that loses no character
"""

from liju.vocab.sentences import sentences
from liju.vocab.special import SENTINELS, specials
from liju.vocab.tokenizer import Tokenizer
from liju.vocab.train import Report, train

__all__ = ["SENTINELS", "Report", "Tokenizer", "sentences", "specials", "train"]
