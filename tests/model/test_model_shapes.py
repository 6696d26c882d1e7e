"""The shapes written in public signatures are checked while models run."""

import sys

import pytest
import torch
from jaxtyping import install_import_hook
from model_toys import CASES, build, draw

from liju.samples.batch import assemble


@pytest.fixture
def jaxtyped(monkeypatch):
    """liju.model imported anew, with every annotation checked at run time."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("liju.model")}
    try:
        with install_import_hook("liju.model", "beartype.beartype"):
            import liju.model as checked

            yield checked
    finally:
        for name in [name for name in sys.modules if name.startswith("liju.model")]:
            del sys.modules[name]
        sys.modules.update(kept)


def test_shapes_hold_in_every_case(jaxtyped):
    for case in CASES:
        plain = build(case)
        config = jaxtyped.TransformerConfig.from_json(plain.config.to_json())
        model = jaxtyped.Transformer(config).double()
        if "next_sentence" in plain.heads:
            model.add_head("next_sentence", 2)
        model.load_state_dict(plain.state_dict())
        for rows in (None, [[0, 1], [2]]):
            batch = assemble(draw(plain, [(5, 4), (2, 6), (3, 1)]), rows)
            assert torch.equal(model.logits(batch), plain.logits(batch)), case


def test_a_wrong_shape_is_seen(jaxtyped):
    attention = jaxtyped.MultiHeadAttention(6, 2)
    x, y = torch.zeros(2, 3, 6), torch.zeros(2, 5, 6)
    with pytest.raises(Exception, match="key"):
        attention(x, x, y)
