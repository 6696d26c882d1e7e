"""The Transformer: encoder, decoder or both, with heads on top."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from liju.errors import ModelError, did_you_mean
from liju.model.attention import Cache, MultiHeadAttention
from liju.model.config import TransformerConfig
from liju.model.decoder import Decoder
from liju.model.dropout import Dropout
from liju.model.encoder import Encoder
from liju.model.feedforward import FeedForward
from liju.model.heads import POOLED, Pooler, WordsHead
from liju.model.layout import layout_for
from liju.model.position import RelativeBias
from liju.samples.batch import Batch, Side
from liju.samples.layout import Layout

__all__ = ["Transformer"]


class Transformer(nn.Module):
    """An encoder, a decoder or both, sharing one token embedding, and the heads that predict.

    >>> from liju.samples.batch import Side
    >>> model = Transformer(TransformerConfig.default("decoder", vocab_size=11, d_model=8, num_heads=2))
    >>> hidden = model.decode(Side.of(torch.tensor([[1, 5, 6]])))
    >>> hidden.shape, model.predict("words", hidden[:, -1]).shape
    (torch.Size([1, 3, 8]), torch.Size([1, 11]))
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.token = nn.Embedding(config.vocab_size, config.d_embedding)
        self.encoder = Encoder(config) if config.has_encoder else None
        self.decoder = Decoder(config) if config.has_decoder else None
        self.pooler = Pooler(config.d_model, config.d_model) if config.pooler else None
        self.dropout = Dropout(config.dropout)  # before a head that judges a whole segment
        self.heads = nn.ModuleDict()
        if config.head != "none":
            self.heads["words"] = WordsHead(config)
        self._initialise()

    def encode(self, side: Side) -> Float[Tensor, "row place d_model"]:
        """The encoder's output for its side's rows. Raises ModelError when there is no encoder."""
        if self.encoder is None:
            raise ModelError(f"a {self.config.family} has no encoder")
        return self.encoder(side, self.token)

    def decode(
        self,
        side: Side,
        memory: Float[Tensor, "row source d_model"] | None = None,
        memory_side: Side | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "row place d_model"]:
        """The decoder's output for its side's rows.

        memory, memory_side: the encoder's output and input. cache: what earlier calls computed; then `side`
        holds only the new tokens (their positions are the cache's), and memory is needed in the first call
        alone. Raises ModelError when there is no decoder.
        """
        if self.decoder is None:
            raise ModelError(f"an {self.config.family} has no decoder")
        return self.decoder(side, self.token, memory=memory, memory_side=memory_side, cache=cache)

    def forward(self, batch: Batch) -> Float[Tensor, "row place d_model"]:
        """The output at every place of the predicting side."""
        if self.decoder is None:
            assert batch.encoder is not None
            return self.encode(batch.encoder)
        assert batch.decoder is not None
        if self.encoder is None:
            return self.decode(batch.decoder)
        assert batch.encoder is not None
        return self.decode(batch.decoder, self.encode(batch.encoder), batch.encoder)

    def predict(self, name: str, hidden: Float[Tensor, "target d_model"]) -> Float[Tensor, "target output"]:
        """The logits of head `name` at the places whose outputs are `hidden`.

        Only places that predict should come here: the vocabulary projection is dear. Raises ModelError for a
        head that the model does not have. "vector" is the output itself, of any model.
        """
        if name == "vector":
            return hidden.float() if hidden.dtype.itemsize < 4 else hidden
        if name not in self.heads:
            raise ModelError(f"the model has no head {name!r}", did_you_mean(name, self.heads))
        head = self.heads[name]
        if isinstance(head, WordsHead):
            return head(self._narrow(hidden), self.token.weight)
        if name in POOLED:
            hidden = self.dropout(hidden if self.pooler is None else self.pooler(hidden))
        logits = head(hidden)
        return logits.float() if logits.dtype.itemsize < 4 else logits

    def vocabulary(
        self, name: str, hidden: Float[Tensor, "target d_model"], least: int = 0
    ) -> tuple[Float[Tensor, "target d_embedding"], Tensor, Tensor | None, float] | None:
        """What the logits of the words head are a linear map of, its weight, its bias, and the cap on the
        logits (0: none): for a loss that never makes all of them at once. None for another head, and where
        there are fewer than `least` logits."""
        if name not in self.heads or not isinstance(head := self.heads[name], WordsHead):
            return None
        if len(hidden) * self.config.vocab_size < least:
            return None
        return *head.linear(self._narrow(hidden), self.token.weight), head.softcap

    @property
    def layout(self) -> Layout:
        """The layout of rows that it computes fastest where it is now, in what it computes in now."""
        weight = self.token.weight
        kind, dtype = weight.device.type, weight.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        return layout_for(self.config, weight.device, dtype)[0]

    def _narrow(self, hidden: Tensor) -> Tensor:
        """To the width of the embeddings, where it is another one."""
        stack = self.decoder if self.decoder is not None else self.encoder
        assert stack is not None
        return hidden if stack.project_out is None else stack.project_out(hidden)

    def logits(self, batch: Batch) -> Float[Tensor, "row place vocab"]:
        """The words head at every place, for tests and for looking: training asks only where targets are."""
        return self.predict("words", self(batch).flatten(0, 1)).unflatten(0, batch.predicting.tokens.shape)

    def add_head(self, name: str, outputs: int) -> nn.Module:
        """Put a new linear head on top, or a fresh one in the place of the old; returns it.

        "next_sentence" and "label" look through the pooler, where there is one; any other name looks at each
        place's output as it is.
        """
        if name == "words":
            raise ModelError("the words head belongs to the configuration", hint="choose another name")
        weight = self.token.weight
        head = nn.Linear(self.config.d_model, outputs, device=weight.device, dtype=weight.dtype)
        nn.init.normal_(head.weight, std=self.config.init_std)
        nn.init.zeros_(head.bias)
        self.heads[name] = head
        return head

    def keep_heads(self, names: Collection[str]) -> None:
        """Take off every head but those of these names.

        >>> model = Transformer(TransformerConfig(vocab_size=11, d_model=6, num_heads=2))
        >>> _ = model.add_head("label", 3)
        >>> model.keep_heads(["words"])
        >>> list(model.heads)
        ['words']
        """
        for name in [name for name in self.heads if name not in names]:
            del self.heads[name]

    @torch.no_grad()
    def _initialise(self) -> None:
        """Normal weights of deviation init_std, zero biases.

        The projections that write into a pre-norm residual stream are smaller by sqrt(2 layers), so that its
        variance does not grow with depth (GPT-2). Attention without 1/sqrt(d_k) needs T5's own deviations. An
        embedding that is multiplied by sqrt(d_model) starts at its inverse; one whose logits are divided by
        it starts at 1 (T5, PaLM). Projections of narrow embeddings keep their size (Glorot, as fairseq has
        it): with init_std the positions would drown the tokens.
        """
        config = self.config
        t5 = config.attention_scale == 1.0
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5 if t5 else config.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=config.init_std)
            elif isinstance(module, RelativeBias):
                nn.init.normal_(module.weight, std=config.d_model**-0.5)
        if t5 or (config.tied and config.logit_scale == config.d_model**-0.5):
            nn.init.normal_(self.token.weight, std=1.0)
        elif config.embedding_scale:
            nn.init.normal_(self.token.weight, std=config.d_model**-0.5)
        for stack in (self.encoder, self.decoder):
            if stack is None:
                continue
            for projection in (stack.project_in, stack.project_out):
                if projection is not None:
                    nn.init.xavier_normal_(projection.weight)
            grows = not t5 and config.norm_place != "post"
            depth = (2 * len(stack.blocks)) ** -0.5 if grows else 1.0
            for module in stack.blocks.modules():
                if isinstance(module, MultiHeadAttention):
                    module.W_o.weight.mul_(depth)
                    module.W_q.weight.mul_(config.d_k**-0.5 if t5 else 1.0)
                elif isinstance(module, FeedForward):
                    module.W_2.weight.mul_(depth)
