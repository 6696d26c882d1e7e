"""Other engines: what each can express, its file, and its answers beside ours. `liju.hub.export` is the door.

stock.py            the weights, handed out by our names
gguf*.py            one file for llama.cpp; llama_run.py asks llama.cpp in a process of its own
onnx*.py            graphs for ONNX Runtime, written node by node
ctranslate2*.py     a folder for CTranslate2, from a table of our names and its own
checks.py           what they answer beside what the model does, as figures with their bounds
"""

from liju.hub.engines.checks import Check, Made

__all__ = ["Check", "Made"]
