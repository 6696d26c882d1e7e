r"""LoRA (Hu et al. 2021, arXiv:2106.09685): a frozen matrix and a trained product of two thin ones; DoRA (Liu
et al. 2024, arXiv:2402.09353): the same for the direction of each row, and its length by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from liju.errors import ModelError
from liju.hub.check import BOUNDS, difference, probe_outputs
from liju.model import Dropout, Transformer

__all__ = ["DoRALinear", "LoRALinear", "adapter_of", "add_lora", "lora_layers", "merge_lora", "remove_lora"]

# The linear layers inside the blocks: what LoRA changes unless it is told otherwise.
EVERY = r"(encoder|decoder)\.blocks\.\d+\.(attention|cross_attention|feedforward)\.W_\w+"


class LoRALinear(nn.Linear):
    r"""$W x + b + \frac{\alpha}{r} B A\,\mathrm{dropout}(x)$, with $A$ [rank, in] and $B$ [out, rank].

    $B$ starts at zero, so that the layer starts as what it was. The weight and bias are those of `linear`.

    >>> linear = nn.Linear(3, 5)
    >>> x = torch.ones(2, 3)
    >>> bool((LoRALinear(linear, rank=2)(x) == linear(x)).all())
    True
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float = 0.0, dropout: float = 0.0):
        nn.Module.__init__(self)
        if rank < 1:
            raise ModelError(f"the rank of LoRA must be at least 1, not {rank}")
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.rank, self.alpha = rank, alpha or 2.0 * rank
        made = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.lora_A = nn.Parameter(torch.empty(rank, self.in_features, **made))
        self.lora_B = nn.Parameter(torch.zeros(self.out_features, rank, **made))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.lora_dropout = Dropout(dropout)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def forward(self, input: Float[Tensor, "*place in"]) -> Float[Tensor, "*place out"]:
        low = nn.functional.linear(self.lora_dropout(input), self.lora_A)
        return super().forward(input) + self.scale * nn.functional.linear(low, self.lora_B)

    def change(self) -> Float[Tensor, "out in"]:
        """What the adapter adds to the weight, in float64."""
        return self.scale * (self.lora_B.double() @ self.lora_A.double())

    def plain(self) -> nn.Linear:
        """The layer without its adapter."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = self.weight
        linear.bias = self.bias
        return linear


class DoRALinear(LoRALinear):
    r"""$m \frac{W + \frac{\alpha}{r} B A}{\lVert W + \frac{\alpha}{r} B A \rVert} x + b$: each row's
    direction is adapted as LoRA does, its length $m$ [out] is trained by itself (Liu et al. 2024, 4.1).

    $m$ starts as the rows' lengths, so that the layer starts as what it was. The norm is held constant in the
    backward pass (their section 4.3). Dropout is on the input of the change alone, as in PEFT.

    >>> linear, x = nn.Linear(3, 5), torch.ones(2, 3)
    >>> bool(torch.allclose(DoRALinear(linear, rank=2)(x), linear(x)))
    True
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float = 0.0, dropout: float = 0.0):
        super().__init__(linear, rank, alpha, dropout)
        self.lora_magnitude = nn.Parameter(torch.linalg.vector_norm(linear.weight.detach(), dim=1))

    def lengths(self) -> Float[Tensor, " out"]:
        """Of the rows of the adapted matrix."""
        with torch.no_grad():
            adapted = self.weight + self.scale * (self.lora_B @ self.lora_A)
            return torch.linalg.vector_norm(adapted, dim=1)

    def forward(self, input: Float[Tensor, "*place in"]) -> Float[Tensor, "*place out"]:
        length = self.lora_magnitude / self.lengths()
        drops = self.training and self.lora_dropout.p > 0
        dropped = self.lora_dropout(input) if drops else input
        plain = nn.functional.linear(dropped, self.weight)
        low = nn.functional.linear(nn.functional.linear(dropped, self.lora_A), self.lora_B)
        own = nn.functional.linear(input, self.weight) if drops else plain
        found = own + (length - 1) * plain + length * self.scale * low
        return found if self.bias is None else found + self.bias

    def change(self) -> Float[Tensor, "out in"]:
        """What the adapter adds to the weight, in float64."""
        weight = self.weight.double()
        adapted = weight + super().change()
        length = self.lora_magnitude.double() / torch.linalg.vector_norm(adapted, dim=1)
        return length[:, None] * adapted - weight


def adapter_of(trainable: str) -> tuple[type[LoRALinear], int, float] | None:
    """The layer, rank and alpha that `finetune.trainable` names; None where it names no adapter.

    >>> adapter_of("lora-8"), adapter_of("head")
    ((<class 'liju.finetune.lora.LoRALinear'>, 8, 16.0), None)
    >>> adapter_of("dora-4-20")
    (<class 'liju.finetune.lora.DoRALinear'>, 4, 20.0)
    """
    found = re.fullmatch(r"(lora|dora)-(\d+)(?:-(\d+(?:\.\d+)?))?", trainable)
    if found is None:
        return None
    rank = int(found[2])
    kind = LoRALinear if found[1] == "lora" else DoRALinear
    return kind, rank, float(found[3]) if found[3] else 2.0 * rank


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers that have an adapter, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}


def add_lora(
    model: Transformer,
    rank: int = 8,
    alpha: float = 0.0,
    dropout: float = 0.0,
    targets: str | Iterable[str] = EVERY,
    kind: type[LoRALinear] = LoRALinear,
) -> int:
    """Put adapters on linear layers; of the whole model only they, the task's heads and the pooler ask for
    gradients (the words head belongs to pre-training). Returns how many parameters do.

    alpha: 0 is twice the rank. targets: a pattern that a layer's whole name fits, or names. kind: LoRALinear
    or DoRALinear.
    Raises ModelError where no layer fits, or one has an adapter already.

    >>> from liju.model import TransformerConfig
    >>> model = Transformer(TransformerConfig(vocab_size=11, d_model=6, num_layers=1, num_heads=2, d_ff=5))
    >>> _ = add_lora(model, rank=2)
    >>> len(lora_layers(model))
    6
    """
    named = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    if isinstance(targets, str):
        chosen = [name for name in named if re.fullmatch(targets, name)]
    else:
        chosen = list(targets)
        for name in chosen:
            if name not in named:
                raise ModelError(f"{name}: the model has no such linear layer")
    if not chosen:
        raise ModelError(f"no linear layer is called {targets}", hint="W_q, W_k, W_v, W_o, W_1, W_2, W_gate")
    for name in chosen:
        if isinstance(named[name], LoRALinear):
            raise ModelError(f"{name}: has an adapter already", hint="merge it first")
        _replace(model, name, kind(named[name], rank, alpha, dropout))
    for name, parameter in model.named_parameters():
        own = name.startswith(("heads.", "pooler.")) and not name.startswith("heads.words.")
        parameter.requires_grad_(own or ".lora_" in name)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def merge_lora(model: Transformer, bound: float | None = None) -> float:
    """Add every adapter to its weight, and take it off (law 6). Returns the largest difference of the
    outputs, as a share of the largest one.

    Raises ModelError, with the model as it was, where the merged model computes something else: in half
    precision a small change may vanish in the weight.
    """
    layers = lora_layers(model)
    if not layers:
        return 0.0
    before = probe_outputs(model)
    kept = {name: layer.weight.clone() for name, layer in layers.items()}
    for layer in layers.values():
        layer.weight.copy_((layer.weight.double() + layer.change()).to(layer.weight.dtype))
    for name, layer in layers.items():
        _replace(model, name, layer.plain())
    found = difference(before, probe_outputs(model))
    dtype = next(iter(layers.values())).weight.dtype
    bound = BOUNDS.get(dtype, 1e-5) if bound is None else bound
    if not found <= bound:
        for name, layer in layers.items():
            layer.weight.copy_(kept[name])
            _replace(model, name, layer)
        raise ModelError(
            f"the merged model does not compute what the adapters do: {found:.2e} > {bound:.0e}",
            hint="merge in float32",
        )
    return found


def remove_lora(model: Transformer) -> None:
    """Take the adapters off and leave the weights as they are."""
    for name, layer in lora_layers(model).items():
        _replace(model, name, layer.plain())


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(parent), last, layer)
