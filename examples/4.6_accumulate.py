"""However a batch is packed or split, the loss and the gradient are the same (laws 1 and 2)."""

import torch

from liju.config import Vocab
from liju.model import Transformer, TransformerConfig
from liju.objective import Translation
from liju.samples import micro_batches
from liju.train import accumulate
from liju.vocab import train

texts = ["The room is clean.", "The soup is cold.", "房间很干净。", "汤很冷。"] * 10
tokenizer = train(texts, Vocab(size=450), "encdec")
sources = tokenizer.encode_batch(["The room is clean.", "The soup is cold.", "Clean soup.", "The room"])
targets = tokenizer.encode_batch(["房间很干净。", "汤很冷。", "干净的汤。", "房间"])
objective = Translation(sources, targets, tokenizer, max_length=24)
samples = [objective.sample(number) for number in range(4)]

torch.manual_seed(0)
sizes = {"vocab_size": tokenizer.size, "d_model": 24, "num_heads": 3, "num_layers": 2}
model = Transformer(TransformerConfig.default("encdec", **sizes)).double()


def gradient(layout: str, limit: int) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    batches = micro_batches(samples, limit, layout, pad=tokenizer.pad)
    found = accumulate(model, batches, objective.weights, objective.label_smoothing, "float32")
    shapes = [tuple(batch.decoder.tokens.shape) for batch in batches]
    print(f"{layout:<8} {len(batches)} batches {shapes}: loss {found.loss:.9f}")
    return found.loss, torch.cat([p.grad.flatten() for p in model.parameters()])


loss, whole = gradient("grouped", 10_000)
for layout, limit in (("packed", 10_000), ("grouped", 40), ("grouped", 1)):
    other, parts = gradient(layout, limit)
    print(f"         gradients differ by {(whole - parts).abs().max():.1e}")
