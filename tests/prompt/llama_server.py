"""llama.cpp's own server on a GGUF file, as a program: prints its address, and ends when its input does.

python llama_server.py model.gguf NAME CONTEXT
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any


def main(path: str, name: str, context: int) -> None:
    xllamacpp: Any = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = path, {name}
    params.n_ctx = params.n_batch = params.n_ubatch = context
    params.n_parallel, params.n_gpu_layers = 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup, params.fit_params, params.cache_prompt, params.verbosity = False, False, False, 1
    # Keys and values as they are computed: the default rounds them to 16 bits.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    print(f"listening {server.listening_address}", flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's threads have no end of their own


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
