"""Encoder, decoder, encoder-decoder: three families from one block, and what they weigh."""

import torch

from liju.model import Transformer, TransformerConfig
from liju.plan import count_parameters
from liju.samples import Side

torch.manual_seed(0)
sizes = {"vocab_size": 97, "d_model": 24, "num_layers": 2, "num_heads": 3, "max_length": 16}
tokens = torch.tensor([[5, 6, 7, 8, 9]])

for family in ("encoder", "decoder", "encdec"):
    config = TransformerConfig.default(family, **sizes)
    model = Transformer(config).eval()
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == count_parameters(config).total
    print(f"{family:<8} {parameters:,} parameters, {config.norm} norm, {config.position} positions")

    def output(ids: torch.Tensor, model=model, family=family) -> torch.Tensor:
        if family == "encoder":
            return model.encode(Side.of(ids))
        memory = model.encode(Side.of(tokens)) if family == "encdec" else None
        return model.decode(Side.of(ids), memory, Side.of(tokens))

    # Change the last token: an encoder sees it everywhere, a decoder only from there on.
    changed = tokens.clone()
    changed[0, -1] = 50
    moved = (output(tokens) - output(changed)).abs().amax(-1) > 1e-6
    print("         places that see the last token:", moved.int().tolist()[0])

# The same block with other switches is another system: here the Transformer of 2017.
article = TransformerConfig(97, 24, 2, num_heads=3, activation="relu", position="sinusoidal")
print(Transformer(article).encoder.blocks[0].feedforward)
