"""A bundle: one folder that is the model, for liju and for transformers."""

import tempfile
from pathlib import Path

import torch

from liju import load
from liju.config import Vocab
from liju.hub import save_bundle
from liju.model import Transformer, TransformerConfig
from liju.vocab import train

texts = ["The cat sat on the mat.", "春眠不觉晓，处处闻啼鸟。"] * 20
tokenizer = train(texts, Vocab(size=320), "encoder")
torch.manual_seed(0)
sizes = {"vocab_size": tokenizer.size, "d_model": 24, "num_heads": 3, "num_layers": 2, "max_length": 32}
model = Transformer(TransformerConfig.default("encoder", **sizes)).eval()

with tempfile.TemporaryDirectory() as name:
    folder = Path(name) / "model"
    bundle = save_bundle(folder, model, tokenizer, {"name": "fill-mask", "max_length": 32})
    print("files:", ", ".join(sorted(path.name for path in folder.iterdir())))
    print("transformers class:", bundle.architecture)

    loaded = load(folder)
    print(loaded.describe())
    print(loaded.predict("The [MASK] sat on the mat.")["words"][0][0])
    ours = loaded.logits("The cat sat on the mat.")

    try:
        from transformers import AutoModelForMaskedLM, AutoTokenizer, logging
    except ImportError:
        raise SystemExit("transformers is not installed: nothing to compare with") from None
    logging.disable_progress_bar()
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    inputs = AutoTokenizer.from_pretrained(folder)("The cat sat on the mat.", return_tensors="pt")
    with torch.no_grad():
        print(f"logits differ by {(theirs(**inputs).logits[0] - ours).abs().max():.1e}")
