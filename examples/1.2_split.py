"""Split: what is held out depends on the text alone, and sentences lose no character."""

from liju.text import fingerprint, held_out
from liju.vocab import sentences

texts = [f"Sentence number {n} of a small corpus." for n in range(1000)]
first = {text for text in texts if held_out(fingerprint(text), share=0.1)}
print(f"{len(first)} of {len(texts)} are held out")

# More text moves none of the old: an example that was held out once is held out for good.
more = [f"A later text, number {n}." for n in range(1000)]
again = {text for text in texts + more if held_out(fingerprint(text), share=0.1)}
print("the same ones after the corpus grew:", first == again & set(texts))

# Case and spaces make no new text, so a copy cannot slip to the other side.
print("one text:", fingerprint("The  cat\nsat") == fingerprint("the cat sat"))

# Sentences, for pairs that are cut at their bounds. Put together they are the text again.
text = "你好。“走吧！”他说。 Mr. Li left at 3.15 p.m. on foot. Why? Nobody knows."
for piece in sentences(text):
    print(repr(piece))
assert "".join(sentences(text)) == text
