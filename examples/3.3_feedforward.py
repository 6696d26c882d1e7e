"""The two-layer feed-forward network: max(0, x W_1 + b_1) W_2 + b_2, and the one with a gate."""

import torch
import torch.nn.functional as F

from liju.model import FeedForward

torch.manual_seed(0)
layer = FeedForward(d_model=6, d_ff=24).double()
x = torch.randn(2, 5, 6, dtype=torch.float64)

# torch keeps W as (out, in), so x W is x @ weight.T
W_1, b_1, W_2, b_2 = layer.W_1.weight.T, layer.W_1.bias, layer.W_2.weight.T, layer.W_2.bias
by_hand = torch.clamp(x @ W_1 + b_1, min=0) @ W_2 + b_2
print(f"largest difference: {(by_hand - layer(x)).abs().max():.1e}")

# Each place is computed by itself: another order of the places is another order of the outputs.
order = torch.tensor([4, 2, 0, 1, 3])
print("place by place:", torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-12))

# With a gate (SwiGLU, as in Llama): three matrices of two thirds of the width cost the same.
gated = FeedForward(6, 16, activation="silu", gated=True, bias=False).double()
by_hand = (F.silu(x @ gated.W_gate.weight.T) * (x @ gated.W_1.weight.T)) @ gated.W_2.weight.T
print(f"gated, largest difference: {(by_hand - gated(x)).abs().max():.1e}")
print("weights:", W_1.numel() + W_2.numel(), "and", sum(p.numel() for p in gated.parameters()))
