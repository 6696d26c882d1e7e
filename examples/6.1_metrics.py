"""Numbers: accuracy and its interval, F1, BLEU by language, bits per byte."""

import math

from liju.evaluate import accuracy, accuracy_interval, bits_per_byte, bleu, chrf, f1, perplexity, spread

expected = ["pos"] * 90 + ["neg"] * 10
always = ["pos"] * 100
print(f"always 'pos': accuracy {accuracy(always, expected):.2f}, macro F1 {f1(always, expected):.2f}")
interval = accuracy_interval(always, expected)
print(f"95 % of test sets of this size would say {interval.low:.2f} to {interval.high:.2f}")
print("over three seeds:", spread([0.84, 0.87, 0.86]))

# BLEU compares words, so it must know what a word is: each Han character is one.
score = bleu(["房间非常干净。"], ["房间很干净。"])
print(f"BLEU {score.score:.1f}, {score.note}")
print(f"     {score.signature}")
print(f"chrF {chrf(['房间非常干净。'], ['房间很干净。']).score:.1f}, which needs no tokenizer")

# Bits per byte compare models with different vocabularies; perplexity cannot.
text = "例句"
for tokens, nats in ((2, 9.0), (6, 9.0)):
    bits, confusion = bits_per_byte(nats, len(text.encode())), perplexity(nats, tokens)
    print(f"{nats} nats over {tokens} tokens: {bits:.3f} bits per byte, perplexity {confusion:.1f}")
assert math.isclose(bits_per_byte(math.log(2), 1), 1.0)
