r"""Tensor and sequence parallel for the decoder: the ranks of one group share each sample and each matrix.

The first product of a sublayer is cut by columns (heads, inner features), the second by rows, so that a
sublayer needs one gathering before it and one scattering sum after it (Shoeybi et al. 2019,
arXiv:1909.08053); between sublayers each rank has a part of the places (Korthikanti et al. 2022,
arXiv:2205.05198). The vocabulary is cut too: no rank has all logits of a place.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from liju.errors import ModelError
from liju.model import Transformer
from liju.samples.batch import Batch, Side

__all__ = ["split_cross_entropy", "split_decoder"]


def split_decoder(model: nn.Module, mesh: Any) -> list[nn.Parameter]:
    """Cut a decoder's matrices over the ranks of `mesh`, in place. Gives the parameters that every rank keeps
    whole but sees a part of the places of, or a part of the heads: their gradients are to be summed.

    Raises ModelError for what cannot be cut.
    """
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    size = mesh.size()
    check(model, size)
    # It tells every rank that weights which are cut twice are gathered in two messages.
    logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
    assert isinstance(model, Transformer) and model.decoder is not None
    decoder = model.decoder

    def gathered(x: Tensor) -> Tensor:
        return DTensor.from_local(x, mesh, [Shard(1)], run_check=False).redistribute(placements=[Replicate()])

    def gather(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """One gathering, though attention takes the same tensor three times: the three gradients of it are
        added before they are summed over the ranks."""
        made: dict[int, Tensor] = {}
        for arg in args:
            if isinstance(arg, Tensor) and id(arg) not in made:
                made[id(arg)] = gathered(arg)
        return tuple(made.get(id(arg), arg) for arg in args)

    def scatter(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = DTensor.from_local(args[0], mesh, [Replicate()], run_check=False)
        return (x.redistribute(placements=[Shard(1)]).to_local(), *args[1:])

    def whole(module: nn.Module, args: Any, x: Tensor) -> Tensor:
        # A copy: FSDP hooks what the model gives, and warns of a view.
        return gathered(x).to_local(grad_placements=[Partial()]).clone()  # type: ignore[operator]

    def rows() -> RowwiseParallel:
        return RowwiseParallel(output_layouts=Shard(1))

    for block in decoder.blocks:
        plan: dict[str, Any] = {f"attention.{name}": ColwiseParallel() for name in ("W_q", "W_k", "W_v")}
        plan |= {"attention.W_o": rows(), "feedforward.W_1": ColwiseParallel(), "feedforward.W_2": rows()}
        if block.feedforward.W_gate is not None:  # type: ignore[union-attr]
            plan["feedforward.W_gate"] = ColwiseParallel()
        parallelize_module(block, mesh, plan)
        block.attention.register_forward_pre_hook(gather)  # type: ignore[union-attr]
        block.feedforward.register_forward_pre_hook(gather)  # type: ignore[union-attr]
    decoder.blocks[0].register_forward_pre_hook(scatter)
    decoder.register_forward_hook(whole)
    parallelize_module(model, mesh, {"token": RowwiseParallel(input_layouts=Replicate())})
    head: Any = model.heads["words"]
    if head.projection is not None:
        parallelize_module(head, mesh, {"projection": ColwiseParallel()})
    if head.bias is not None:
        cut = distribute_tensor(head.bias.detach(), mesh, [Shard(0)])
        head.bias = nn.Parameter(cut, requires_grad=head.bias.requires_grad)
    model.parallel_losses = partial(_losses, model, mesh)  # type: ignore[assignment]
    norm = decoder.final_norm
    inside = [*decoder.blocks.parameters(), *(norm.parameters() if norm is not None else ())]
    return [p for p in inside if not isinstance(p, DTensor)]


def check(model: nn.Module, size: int) -> None:
    """Raise ModelError for a model that cannot be cut over `size` ranks.

    >>> from liju.model import TransformerConfig
    >>> check(Transformer(TransformerConfig.default("decoder", vocab_size=12, d_model=8, num_heads=2)), 3)
    Traceback (most recent call last):
        ...
    liju.errors.ModelError: tensor_parallel is 3, and num_heads 2, d_ff 32 are no multiples of it
    """
    if not isinstance(model, Transformer) or model.decoder is None or model.encoder is not None:
        raise ModelError(
            "tensor_parallel is for decoders alone", hint="sharding = 'shard' splits every family"
        )
    config = model.config
    if set(model.heads) != {"words"} or model.decoder.project_in is not None or config.head != "lm":
        raise ModelError(
            "tensor_parallel is for a decoder that predicts words from embeddings of its own width",
            hint="sharding = 'shard' splits any model",
        )
    if config.position == "relative":
        raise ModelError("tensor_parallel and position = 'relative' do not go together yet")
    if config.dropout:
        raise ModelError("tensor_parallel needs dropout = 0", hint="or split by sharding = 'shard'")
    if any(isinstance(m, nn.Linear) and type(m) is not nn.Linear for m in model.modules()):
        raise ModelError("tensor_parallel cannot cut adapters", hint="sharding = 'shard'")
    sizes = {
        "num_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads or config.num_heads,
        "d_ff": config.d_ff,
        "vocab_size": config.vocab_size,
    }
    wrong = [f"{name} {value}" for name, value in sizes.items() if value % size]
    if wrong and "num_heads" in wrong[0] and len(wrong) > 1 and wrong[1].startswith("num_kv_heads"):
        del wrong[1]
    if wrong:
        verb = "is no multiple" if len(wrong) == 1 else "are no multiples"
        raise ModelError(f"tensor_parallel is {size}, and {', '.join(wrong)} {verb} of it")


def _losses(
    model: Transformer, mesh: Any, batch: Batch, label_smoothing: float = 0.0
) -> dict[str, tuple[Float[Tensor, ""], float]]:
    """As `liju.objective.losses`, of a decoder that is cut."""
    batch = _even(batch, mesh.size())
    hidden = model(batch).flatten(0, 1)
    targets = batch.targets["words"]
    head: Any = model.heads["words"]
    weight: Any = model.token.weight if head.projection is None else head.projection.weight
    hidden = hidden.index_select(0, targets.index)
    if head.scale is not None:
        hidden = hidden * head.scale
    logits = F.linear(hidden, weight.to_local(), None if head.bias is None else head.bias.to_local())
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    if head.softcap:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    first = mesh.get_local_rank() * logits.shape[1]
    each = split_cross_entropy(
        logits, targets.value, first, model.config.vocab_size, mesh.get_group(), label_smoothing
    )
    weights = targets.weight.to(each.dtype)
    return {"words": ((each * weights).sum(), float(targets.weight.sum()))}


def split_cross_entropy(
    logits: Float[Tensor, "target own"],
    target: Int[Tensor, " target"],
    first: int,
    vocabulary: int,
    group: Any = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, " target"]:
    r"""$\log \sum_v e^{z_v} - z_t$ where each rank of `group` has the logits of its words from `first` on.

    Three numbers a target are summed over the ranks, never a logit.

    >>> z = torch.tensor([[1.0, 2.0, 0.5]])
    >>> split_cross_entropy(z, torch.tensor([1]), 0, 3), F.cross_entropy(z, torch.tensor([1]))
    (tensor([0.4644]), tensor(0.4644))
    """
    return _SplitCrossEntropy.apply(logits, target, first, vocabulary, group, label_smoothing)


class _SplitCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, first: int, vocabulary: int, group: Any, smoothing: float
    ) -> Tensor:
        largest = _over(group, logits.amax(dim=1), "MAX")
        shifted = logits - largest[:, None]
        place = (target - first).clamp(0, logits.shape[1] - 1)
        own = (target >= first) & (target < first + logits.shape[1])
        picked = shifted.gather(1, place[:, None])[:, 0] * own
        powers = shifted.exp()
        sums = torch.stack([powers.sum(1), picked, shifted.sum(1)])
        total, picked, mean = _over(group, sums, "SUM")
        ctx.save_for_backward(powers.div_(total[:, None]), place, own)
        ctx.smoothing, ctx.vocabulary = smoothing, vocabulary
        return total.log() - (1 - smoothing) * picked - smoothing * mean / vocabulary

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        probability, place, own = ctx.saved_tensors
        found = probability - ctx.smoothing / ctx.vocabulary
        found.scatter_add_(1, place[:, None], (own * (ctx.smoothing - 1)).to(found.dtype)[:, None])
        return found * gradient[:, None], None, None, None, None, None


def _over(group: Any, tensor: Tensor, how: str) -> Tensor:
    if group is None:
        return tensor
    import torch.distributed as dist

    tensor = tensor.contiguous()
    dist.all_reduce(tensor, getattr(dist.ReduceOp, how), group=group)
    return tensor


def _even(batch: Batch, size: int) -> Batch:
    """With empty places at the end of the rows, so that every rank has as many places."""
    assert batch.decoder is not None
    places = batch.decoder.tokens.shape[1]
    more = -places % size
    if not more:
        return batch

    def longer(x: Tensor) -> Tensor:
        return F.pad(x, (0, more))

    side = batch.decoder
    side = Side(
        longer(side.tokens),
        longer(side.segment),
        longer(side.position),
        None if side.types is None else longer(side.types),
    )
    targets = {
        name: replace(t, index=t.index + t.index // places * more) for name, t in batch.targets.items()
    }
    return replace(batch, decoder=side, targets=targets)
