"""Special tokens, and pairs of texts with token types."""

from liju.config import Vocab
from liju.vocab import specials, train

for family in ("encoder", "decoder", "encdec"):
    print(f"{family:<8}", specials(family))

texts = ["The soup is hot. Is the soup cold? 汤是热的。汤是冷的吗？"] * 20
tokenizer = train(texts, Vocab(kind="wordpiece", size=300), "encoder")

# [CLS] a [SEP] b [SEP]: types 0 to the first [SEP], then 1.
ids, types = tokenizer.pair(tokenizer.encode("The soup is hot."), tokenizer.encode("汤是冷的吗？"))
for token, kind in zip(tokenizer.tokens(ids), types, strict=True):
    print(kind, token)

# A special token is never read out of a text: whoever writes "[SEP]" has written five characters.
print(tokenizer.sep, "in", tokenizer.encode("[SEP]"), "->", tokenizer.sep in tokenizer.encode("[SEP]"))
