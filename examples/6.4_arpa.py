"""An n-gram model as an ARPA file: out, and in again with the same numbers."""

import tempfile
from pathlib import Path

from liju.ngram import KneserNey, Lexicon, StupidBackoff, read_arpa, write_arpa

sentences = [line.split() for line in ["the cat sat", "the dog sat on the mat", "春 眠 不 觉 晓"]]
lexicon = Lexicon.of(sentences)
model = KneserNey(order=3).fit([lexicon.ids(words) for words in sentences])

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.arpa"
    write_arpa(model, path, names=lexicon)
    print(path.read_text()[:130])
    again = read_arpa(path)  # or a file that KenLM or SRILM wrote

query = ["the", "dog", "sat", "on", "a", "mat"]
ours, theirs = model.logprob(lexicon.ids(query)), again.logprob(again.lexicon.ids(query))
assert abs(ours - theirs).max() < 1e-12
print(f"perplexity {again.perplexity([again.lexicon.ids(query)]):.3f}")
print("unknown words:", model.unknown([lexicon.ids(query)]))

# Bits per byte compare models of words, characters and bytes, and networks: bits over bytes of UTF-8.
text = [" ".join(words) for words in sentences]
for order in (1, 3):
    characters = KneserNey(order, vocabulary=256).fit([line.encode() for line in text])
    print(f"bytes, order {order}: {characters.bits_per_byte([b'the cat sat on the mat']):.2f} bits a byte")

# Stupid backoff ranks and has no perplexity: its scores do not sum to one.
ranker = StupidBackoff(order=3).fit([lexicon.ids(words) for words in sentences])
try:
    ranker.perplexity([lexicon.ids(query)])
except Exception as error:
    print(error)
