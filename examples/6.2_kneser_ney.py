"""The baseline: an n-gram model with modified Kneser-Ney smoothing, and what it knows."""

import math

from liju.ngram import KneserNey, NgramClassifier, TranslationMemory

texts = ["The cat sat on the mat.", "The dog sat on the log.", "The cat saw the dog.", "春眠不觉晓。"] * 3
for order in (1, 2, 3, 5):
    model = KneserNey(order).fit(texts)
    print(f"order {order}: {model.perplexity(['The dog sat on the mat.']):6.2f} per character of a new text")

# After every history the probabilities sum to one, over all words, the end and the unknown word.
model = KneserNey(3).fit(texts)
for history in ("The c", "never seen ", ""):
    assert math.isclose(model.distribution(history).sum(), 1.0)
best = sorted("abcdefghijklmnop", key=lambda letter: -model.logprob("The c" + letter, end=False)[-1])
print("after 'The c':", best[:3])

# One model a label makes a classifier, hard to beat with few examples.
reviews = ["The room was clean.", "Clean and quiet.", "The room was dirty.", "Dirty and loud."]
classifier = NgramClassifier(3).fit(reviews, ["good", "good", "bad", "bad"])
print(classifier.predict(["A clean bed.", "A dirty bed."]))

# And the nearest sentence that was translated before is the baseline of translation.
memory = TranslationMemory().fit(["good morning", "good night"], ["早上好", "晚安"])
print(memory.translate(["Good night!"]), memory.nearest("good evening", k=2))
