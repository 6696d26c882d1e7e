r"""Layer normalisation: the article's, and the one without mean and shift."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from liju.model.config import TransformerConfig

__all__ = ["RMSNorm", "make_norm"]


class RMSNorm(nn.Module):
    r"""Root mean square norm (Zhang and Sennrich 2019): $x / \sqrt{\mathrm{mean}(x^2) + \epsilon} \cdot w$.

    Half-precision input is normalised in float32.

    >>> RMSNorm(2, eps=0.0)(torch.tensor([3.0, 4.0])) * 12.5**0.5
    tensor([3., 4.], grad_fn=<MulBackward0>)
    """

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Float[Tensor, "*place width"]) -> Float[Tensor, "*place width"]:
        learns = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        if x.device.type != "cpu" or not learns:
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        if x.dtype.itemsize < 4:
            return _CpuRMSNorm.apply(x.float(), self.weight.float(), self.eps).to(x.dtype)
        return _CpuRMSNorm.apply(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class _CpuRMSNorm(torch.autograd.Function):
    """F.rms_norm has no kernel of its own on a CPU: forward and backward take 4 times as long as LayerNorm's.
    With the gradient written out it is 1.8 times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        inverse = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        unit = x * inverse
        ctx.save_for_backward(unit, inverse, weight)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        unit, inverse, weight = ctx.saved_tensors
        product = gradient * unit
        # dx = (g w - unit * mean(g w unit)) / rms
        mean = (product @ weight).unsqueeze(-1) / unit.shape[-1]
        dx = (gradient * weight).addcmul_(unit, mean, value=-1).mul_(inverse)
        return dx, product.flatten(0, -2).sum(0), None


def make_norm(config: TransformerConfig) -> nn.Module:
    """The norm that a configuration names, over d_model.

    >>> make_norm(TransformerConfig(d_model=8))
    LayerNorm((8,), eps=1e-12, elementwise_affine=True, bias=True)
    """
    if config.norm == "rms":
        return RMSNorm(config.d_model, config.norm_eps)
    return nn.LayerNorm(config.d_model, config.norm_eps, bias=config.norm_bias)
