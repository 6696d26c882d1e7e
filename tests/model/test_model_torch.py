"""The blocks are those of torch.nn.Transformer with the same weights (post-norm, ReLU), in float64."""

import pytest
import torch
from torch import nn

from liju.model import Block, Transformer, TransformerConfig, Visibility
from liju.samples.batch import Batch, Side

WIDTH, HEADS, FF = 6, 3, 10


def config(**switches):
    return TransformerConfig(
        **{
            "vocab_size": 13,
            "d_model": WIDTH,
            "num_heads": HEADS,
            "d_ff": FF,
            "activation": "relu",
            "norm_eps": 1e-5,
            "position": "none",
            "embedding_norm": False,
            "pooler": False,
            "head": "none",
            **switches,
        }
    )


def randomise(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module.double().eval()


def copy_attention(ours, theirs):
    with torch.no_grad():
        for part, weight, bias in zip(
            (ours.W_q, ours.W_k, ours.W_v),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.chunk(3),
            strict=True,
        ):
            part.weight.copy_(weight)
            part.bias.copy_(bias)
    ours.W_o.load_state_dict(theirs.out_proj.state_dict())


def copy_block(ours, theirs):
    copy_attention(ours.attention, theirs.self_attn)
    ours.feedforward.W_1.load_state_dict(theirs.linear1.state_dict())
    ours.feedforward.W_2.load_state_dict(theirs.linear2.state_dict())
    norms = [ours.norm_attention, ours.norm_feedforward]
    if ours.cross_attention is not None:
        copy_attention(ours.cross_attention, theirs.multihead_attn)
        norms.insert(1, ours.norm_cross)
    for i, norm in enumerate(norms, start=1):
        norm.load_state_dict(getattr(theirs, f"norm{i}").state_dict())


@pytest.mark.parametrize("place", ["post", "pre"])
def test_encoder_layer(place):
    theirs = randomise(
        nn.TransformerEncoderLayer(WIDTH, HEADS, FF, 0.0, batch_first=True, norm_first=place == "pre")
    )
    ours = Block(config(norm_place=place)).double()
    copy_block(ours, theirs)
    x, segment = torch.randn(2, 5, WIDTH).double(), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    want = theirs(x, src_key_padding_mask=segment == 0)
    got = ours(x, Visibility.within(segment))
    torch.testing.assert_close(got[segment > 0], want[segment > 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("place", ["post", "pre"])
def test_decoder_layer(place):
    theirs = randomise(
        nn.TransformerDecoderLayer(WIDTH, HEADS, FF, 0.0, batch_first=True, norm_first=place == "pre")
    )
    ours = Block(config(norm_place=place, family="encdec"), cross=True).double()
    copy_block(ours, theirs)
    x, memory = torch.randn(2, 5, WIDTH).double(), torch.randn(2, 7, WIDTH).double()
    later = torch.ones(5, 5).triu(1).bool()
    want = theirs(x, memory, tgt_mask=later)
    got = ours(x, Visibility(causal=True), memory=memory, memory_visibility=Visibility())
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_whole_transformer():
    theirs = randomise(nn.Transformer(WIDTH, HEADS, 2, 3, FF, 0.0, batch_first=True))
    ours = Transformer(config(family="encdec", num_layers=2, num_decoder_layers=3, final_norm=True)).double()
    for stack, their_stack in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        for block, layer in zip(stack.blocks, their_stack.layers, strict=True):
            copy_block(block, layer)
        stack.final_norm.load_state_dict(their_stack.norm.state_dict())
    source, target = torch.randint(13, (2, 7)), torch.randint(13, (2, 5))
    want = theirs(ours.token(source), ours.token(target), tgt_mask=torch.ones(5, 5).triu(1).bool())
    got = ours(Batch(Side.of(source), Side.of(target), {}))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
