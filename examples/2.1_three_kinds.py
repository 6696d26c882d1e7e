"""Three kinds of vocabulary on Chinese and English: BPE, WordPiece, Unigram."""

from liju.config import Vocab
from liju.vocab import train

TEXTS = [
    "The cook tasted the soup and added salt. Then she tasted it again.",
    "The lowest shelf is lower than the low table.",
    "厨师尝了一口汤，加了一点盐。然后她又尝了一口。",
    "最低的架子比矮桌子低。",
] * 20

for kind in ("bpe", "wordpiece", "unigram"):
    tokenizer = train(TEXTS, Vocab(kind=kind, size=420), "encoder")
    print(f"{kind}: {tokenizer.size} tokens")
    for text in ("The lowest soup is saltier.", "厨师尝了汤。", "🦊"):
        ids = tokenizer.encode(text)
        print(f"  {len(ids):>2} tokens  {'│'.join(tokenizer.tokens(ids))}")
        # Bytes are always there: BPE and Unigram give back any text. WordPiece has [UNK] for what is new.
        if kind == "bpe":
            assert tokenizer.decode(ids) == text
