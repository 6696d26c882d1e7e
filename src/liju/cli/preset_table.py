"""The table of `liju show presets`, and one preset with all its switches. Neither loads torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields

from liju.errors import RequestError, did_you_mean
from liju.model.config import TransformerConfig
from liju.model.presets import NO_GPT4, PRESETS, SYSTEMS, Preset, known, preset
from liju.plan.parameters import count_parameters

__all__ = ["chosen", "print_preset", "print_presets", "rows"]

COLUMNS = ("name", "family", "layers", "d_model", "heads", "parameters", "published", "objective", "source")
RIGHT = ("layers", "d_model", "heads", "parameters", "published")
FAMILIES = ("encoder", "decoder", "encdec")


def chosen(family: str = "") -> list[Preset]:
    """The presets of a family (encoder, decoder, encdec) or of a system (bert, gpt3, llama); all without one.

    Raises RequestError for an unknown one.

    >>> [entry.name for entry in chosen("bart")]
    ['bart-base', 'bart-large']
    """
    names = [*FAMILIES, *SYSTEMS]
    if family and family not in names:
        suggestion = did_you_mean(family, names)
        raise RequestError(f"no family {family!r}", suggestion or f"one of {', '.join(names)}")
    return [p for p in PRESETS.values() if family in ("", p.system, p.switches["family"])]


def rows(entries: Sequence[Preset]) -> list[tuple[str, ...]]:
    """A row of the table for each preset.

    >>> rows(chosen("modernbert"))[0][:6]
    ('modernbert-base', 'encoder', '22', '768', '12', '149,655,232')
    """
    found = []
    for entry in entries:
        config = preset(entry.name)
        both = config.family == "encdec"
        layers = f"{config.num_layers} + {config.num_decoder_layers}" if both else str(config.num_layers)
        heads = str(config.num_heads)
        if config.num_kv_heads != config.num_heads:
            heads += f" / {config.num_kv_heads}"
        ours = f"{count_parameters(config, entry.heads).total:,}"
        words = (ours, entry.published, entry.learns, entry.source)
        found.append((entry.name, config.family, layers, str(config.d_model), heads, *words))
    return found


def print_presets(family: str = "") -> None:
    """The presets of a family, or all: a table on a terminal, else plain lines with aligned columns."""
    listed = rows(chosen(family))
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in COLUMNS:
            table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=name != "source")
        for row in listed:
            table.add_row(*row)
        Console(highlight=False).print(table)
    else:
        widths = [max(len(row[at]) for row in [COLUMNS, *listed]) for at in range(len(COLUMNS))]
        for row in [COLUMNS, *listed]:
            cells = [
                word.rjust(width) if name in RIGHT else word.ljust(width)
                for name, word, width in zip(COLUMNS, row, widths, strict=True)
            ]
            print("  ".join(cells).rstrip())
    print("heads: of queries / of keys and values, where these are fewer")
    print(NO_GPT4)


def print_preset(name: str) -> None:
    """A preset: where it is from, what to know of it, its parameters by part, every switch.

    Raises ModelError for an unknown name.
    """
    entry, config = known(name), preset(name)
    counted = count_parameters(config, entry.heads)
    parts = ", ".join(f"{part} {n:,}" for part, n in counted.to_json().items() if n and part != "total")
    of_weights = f"; {entry.weights:,} in the public weights" if entry.weights else ""
    lines = {
        "source": entry.source,
        "note": entry.note,
        "objective": entry.learns,
        "vocabulary": entry.vocab + (", lower case" if entry.lowercase else ""),
        "parameters": f"{counted.total:,} (published: {entry.published}{of_weights})",
        "": parts,
    }
    print(entry.name)
    for title, text in lines.items():
        print(f"  {title:<11} {text}")
    usual = {field.name: field.default for field in fields(TransformerConfig)}
    print("switches (a star: not the usual value)")
    for field in fields(TransformerConfig):
        value = getattr(config, field.name)
        print(f"  {'*' if value != usual[field.name] else ' '} {field.name:<22} {value!r}")
