"""Sinusoidal positions: the article's formula, and why a distance is a rotation."""

import math

import torch

from liju.model import positional_encoding

length, d_model = 50, 8
PE = positional_encoding(length, d_model, dtype=torch.float64)

# PE(pos, 2i) = sin(pos / 10000^(2i / d_model)),  PE(pos, 2i + 1) = cos(the same)
for pos in range(length):
    for i in range(d_model // 2):
        angle = pos / 10000 ** (2 * i / d_model)
        assert abs(PE[pos, 2 * i] - math.sin(angle)) < 1e-12
        assert abs(PE[pos, 2 * i + 1] - math.cos(angle)) < 1e-12
print(PE[:3].float())

# The product of two positions depends on their distance alone: cos(a - b) for each pair of columns.
for distance in (0, 1, 2, 10):
    products = [float(PE[pos] @ PE[pos + distance]) for pos in (0, 7, 31)]
    print(f"distance {distance:>2}:", " ".join(f"{product:.6f}" for product in products))
