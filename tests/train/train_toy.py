"""A toy objective that is a pure function of n, and a toy model, for the tests of the training loop."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from liju.model import Transformer, TransformerConfig
from liju.samples.batch import Goal, Sample
from liju.train import Quiet, TrainSettings, train

VOCAB = 17


class Told(Quiet):
    """Keeps what a training says."""

    def __init__(self):
        self.notices = []

    def notice(self, text):
        self.notices.append(text)


class Toy:
    """Rows of a simple rule (each token is three times the one before), 2 to 11 tokens long."""

    pad = 0
    size = 41
    label_smoothing = 0.0

    def __init__(self, family: str, data: str = "a", poison: int = -1):
        self.name, self.family, self.poison = f"toy-{family}", family, poison
        self.fingerprint = f"toy-{data}"
        self.weights = {"words": 1.0}
        if family == "encoder":
            self.weights["next_sentence"] = 0.5

    def _size(self, number: int) -> int:
        return 2 + (number % self.size) * 7 % 10

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        sizes = np.array([self._size(int(n)) for n in numbers]).reshape(-1)
        encoder = sizes * (self.family != "decoder")
        decoder = {"encoder": 0, "decoder": 1, "encdec": 1}[self.family] * sizes
        return np.stack([encoder, decoder], axis=1)

    def sample(self, number: int) -> Sample:
        size, n = self._size(number), number % self.size
        text = (n + 1) * 3 ** np.arange(size + 1) % (VOCAB - 2) + 1
        if number == self.poison:
            text[0] = VOCAB - 1  # a token that nothing else has
        if self.family == "encoder":
            places = np.arange(n % 2, size, 2)
            goals = {
                "words": Goal(places, text[places], np.full(len(places), 0.25 + n % 3, np.float32)),
                "next_sentence": Goal(np.array([0]), np.array([n % 2])),
            }
            return Sample(number, encoder=text[:-1], types=np.arange(size) % 2, goals=goals)
        goals = {"words": Goal(np.arange(size), text[1:])}
        source = None if self.family == "decoder" else text[:-1][::-1].copy()
        return Sample(number, encoder=source, decoder=text[:-1], goals=goals)


def toy_model(
    family: str, dropout: float = 0.0, dtype: torch.dtype = torch.float32, vocab: int = VOCAB, **switches
) -> Transformer:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        heads = 3 if vocab == VOCAB else 2  # shared by two ranks
        sizes = {"d_model": 12, "num_heads": heads, "num_layers": 2, "d_ff": 20, "max_length": 16}
        config = TransformerConfig.default(family, vocab_size=vocab, dropout=dropout, **(sizes | switches))
        model = Transformer(config)
        if family == "encoder":
            model.add_head("next_sentence", 2)
    return model.to(dtype)


def toy_settings(**values) -> TrainSettings:
    usual = {
        "steps": 12,
        "batch_tokens": 60,
        "micro_batch_tokens": 40,
        "learning_rate": 3e-3,
        "save_every": 3,
        "evaluate_every": 5,
        "precision": "float32",
        "compile": "off",
        "layout": "grouped",
        "device": "cpu",
    }
    return TrainSettings(**{**usual, **values})


if __name__ == "__main__":  # a run of its own, to be killed
    folder, family, optimizer, resume = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "resume"

    class Loud:
        """Tells each step, so that the parent can choose when to kill."""

        def begin(self, done: int, steps: int) -> None: ...

        def step(self, line) -> None:
            print(line["step"], flush=True)

        def evaluation(self, step: int, scores, text: str = "") -> None: ...

        def notice(self, text: str) -> None: ...

        def end(self) -> None: ...

    result = train(
        toy_model(family, dropout=0.1),
        Toy(family),
        toy_settings(steps=int(sys.argv[5]), optimizer=optimizer),
        folder,
        resume=resume,
        live=Loud(),
    )
    print("stopped" if result.stopped else "done", result.step)
