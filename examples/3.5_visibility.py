"""Who may look at whom: causal order, padding, and several samples in one row."""

import torch

from liju.model import Transformer, TransformerConfig, Visibility
from liju.samples import Side

# One row, two samples (segments 1 and 2), an empty place at the end (0).
segment = torch.tensor([[1, 1, 1, 2, 2, 0]])
for causal in (False, True):
    print("causal" if causal else "both ways")
    for row in Visibility.within(segment, causal=causal).mask[0, 0].int().tolist():
        print("  ", " ".join("·█"[look] for look in row))

# So a sample in a packed row is the sample by itself (law 1).
torch.manual_seed(0)
model = Transformer(TransformerConfig.default("decoder", vocab_size=31, d_model=12, num_heads=3)).double()
tokens = torch.tensor([[4, 5, 6, 7, 8, 0]])
position = torch.tensor([[0, 1, 2, 0, 1, 0]])
packed = model.decode(Side(tokens, segment, position))
alone = model.decode(Side.of(torch.tensor([[7, 8]])))
print(f"packed = unpacked: {(packed[0, 3:5] - alone[0]).abs().max():.1e}")
