"""Other engines: what each can express, its file, and its answers beside ours. `liju.hub.export` is the door.

stock.py            the weights, handed out by our names
gguf*.py            one file for llama.cpp; llama_run.py asks llama.cpp in a process of its own
onnx*.py            graphs for ONNX Runtime, written node by node
ctranslate2*.py     a folder for CTranslate2, from a table of our names and its own
answers.py          two lists of tokens or two sets of numbers, compared
"""

__all__: list[str] = []
