"""GGUF, the one-file form of llama.cpp: metadata, vocabulary and weights in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liju.errors import ExportError, MissingExtra
from liju.hub.engines.gguf_shapes import Rows, misfit, shape_of
from liju.hub.engines.gguf_tokenizer import Vocabulary
from liju.hub.engines.stock import Stock
from liju.model import TransformerConfig

__all__ = ["DTYPES", "load_gguf", "misfit", "write_gguf"]

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "q8_0": "Q8_0"}
TABLES = ("position_embd.weight", "token_types.weight")  # small, and added to float32


def load_gguf() -> Any:
    """The package gguf. Raises MissingExtra where it is not installed."""
    try:
        import gguf
    except ImportError:
        raise MissingExtra("gguf", extra="gguf") from None
    return gguf


def write_gguf(
    path: Path,
    config: TransformerConfig,
    stock: Stock,
    vocabulary: Vocabulary,
    *,
    dtype: str,
    name: str,
    labels: Sequence[str] = (),
    chat_template: str | None = None,
) -> dict[str, Any]:
    """Write the file; what was written, tensor by tensor, with the largest rounding of each dtype.

    Matrices are rounded to `dtype`; norms, biases and tables of positions stay float32, as llama.cpp wants
    them. A matrix whose rows are no multiple of q8_0's 32 numbers becomes float16.
    Raises ExportError for a shape or a dtype that the format does not have.
    """
    gguf = load_gguf()
    shape = shape_of(config)
    if shape is None:
        raise ExportError(misfit(config, ["words"]) or "llama.cpp has no such shape")
    if dtype not in DTYPES:
        raise ExportError(f"gguf has no dtype {dtype!r}", hint=f"one of {', '.join(DTYPES)}")
    writer = gguf.GGUFWriter(path, shape.name)
    try:
        _describe(writer, gguf, config, name, dtype)
        if shape.name == "bert":
            label = "heads.label.weight" in stock
            writer.add_causal_attention(False)
            writer.add_pooling_type(gguf.PoolingType.RANK if label else gguf.PoolingType.MEAN)
            writer.add_token_type_count(max(1, config.num_types))
            if label:
                count = len(stock["heads.label.bias"])
                writer.add_classifier_output_labels(list(labels) or [f"LABEL_{i}" for i in range(count)])
        _tokens(writer, vocabulary)
        if chat_template:
            writer.add_chat_template(chat_template)
        written = _tensors(writer, gguf, shape.weights(config, stock), dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return {"architecture": shape.name, **written}


def _describe(writer: Any, gguf: Any, config: TransformerConfig, name: str, dtype: str) -> None:
    kinds = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "bfloat16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[kinds[dtype]])
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_length)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    if config.norm == "rms":
        writer.add_layer_norm_rms_eps(config.norm_eps)
    else:
        writer.add_layer_norm_eps(config.norm_eps)
    if config.position == "rope":
        writer.add_rope_freq_base(config.rope_theta)
        writer.add_rope_dimension_count(config.d_k)
        writer.add_key_length(config.d_k)
        writer.add_value_length(config.d_k)


def _tokens(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    if vocabulary.pre is not None:
        writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    for flag, value in vocabulary.flags.items():
        writer.add_bool(f"tokenizer.ggml.{flag}", value)
    for role, number in vocabulary.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", number)


def _tensors(writer: Any, gguf: Any, rows: Rows, dtype: str) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for name, array in rows:
        kind = DTYPES[dtype] if array.ndim == 2 and name not in TABLES else "F32"
        if kind == "Q8_0" and array.shape[-1] % 32:
            kind = "F16"
        kinds[kind] = kinds.get(kind, 0) + 1
        number = gguf.GGMLQuantizationType[kind]
        data = array if kind == "F32" else gguf.quants.quantize(array, number)
        writer.add_tensor(name, data, raw_dtype=number)
    return {"tensors": sum(kinds.values()), "kinds": kinds}
