"""What a head says of samples that are known before: how every task reads its answers off the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from liju.model import Transformer
from liju.samples import Batch, Sample, micro_batches

__all__ = ["predicted"]

PLACES = 8192  # of one micro-batch


@torch.inference_mode()
def predicted(
    model: Transformer, samples: Sequence[Sample], head: str, pad: int
) -> Iterator[tuple[Batch, Float[Tensor, "target output"]]]:
    """Each micro-batch on the model's device, with the outputs of `head` at its targets, in their order.

    >>> from liju.model import TransformerConfig
    >>> from liju.objective.examples import tokenizer
    >>> from liju.finetune import Labelled
    >>> words = tokenizer("encoder")
    >>> model = Transformer(TransformerConfig(vocab_size=words.size, d_model=6, num_heads=2))
    >>> _ = model.add_head("label", 3)
    >>> sample = Labelled([("春天", "", 1)], words, max_length=16).sample(0)
    >>> [tuple(outputs.shape) for _, outputs in predicted(model, [sample], "label", pad=0)]
    [(1, 3)]
    """
    device = next(model.parameters()).device
    model.eval()
    for batch in micro_batches(samples, PLACES, pad=pad) if samples else []:
        batch = batch.to(device)
        hidden = model(batch).flatten(0, 1).index_select(0, batch.targets[head].index)
        yield batch, model.predict(head, hidden)
