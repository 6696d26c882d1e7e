"""One table for all systems: means and deviations over seeds, whoever wins."""

from liju.evaluate import METRICS, ScoreTable

table = ScoreTable(["accuracy", "macro_f1"], main="fine-tuned")
table.add("majority class", "always 'positive'", accuracy=0.52, macro_f1=0.34)
table.add("n-gram", "Kneser-Ney of characters", accuracy=0.84, macro_f1=0.84)
table.add("from scratch", accuracy=[0.78, 0.80, 0.77], macro_f1=[0.78, 0.80, 0.77])
table.add("fine-tuned", accuracy=[0.86, 0.85, 0.87], macro_f1=[0.86, 0.85, 0.87])
print(table.text())
print()
for name in table.metrics:
    better = "higher" if METRICS[name].higher_is_better else "lower"
    print(f"{METRICS[name].title}: {better} is better")
