"""Translation without a network: words aligned by IBM Model 1, phrases, a language model, a search."""

from liju.ngram import IBMModel1, Lexicon, StatisticalTranslator, segments, symmetrised

pairs = [
    ("the house is small", "das Haus ist klein"),
    ("the house is big", "das Haus ist groß"),
    ("a small house", "ein kleines Haus"),
    ("the book is big", "das Buch ist groß"),
    ("a book", "ein Buch"),
    ("the house", "das Haus"),
]
sources, targets = ([pair[side].split() for pair in pairs] for side in (0, 1))
english, german = Lexicon.of(sources), Lexicon.of(targets)
ids = [[lexicon.ids(row) for row in rows] for lexicon, rows in ((english, sources), (german, targets))]

# Which word translates which: nobody says so, and counting again and again finds it.
for iterations in (1, 3, 20):
    model = IBMModel1(iterations).fit(*ids)
    word, chance = model.translations(english.ids(["house"])[0], best=1)[0]
    print(f"after {iterations:2} iterations: house = {german[word]} ({chance:.2f})")

# One direction gives each target word one source word; two directions together give phrases.
back = IBMModel1(20).fit(ids[1], ids[0])
links = symmetrised(model.align(*ids)[0].tolist(), back.align(ids[1], ids[0])[0].tolist())
print("links:", ", ".join(f"{sources[0][i]}-{targets[0][j]}" for i, j in links))

translator = StatisticalTranslator().fit(*zip(*pairs, strict=True), tune=0)
print(translator.translate(["the book is small", "a small book"]))

# A Han character is a word by itself; phrases put characters together.
print(segments("I like 红茶。"))
