"""Asks llama.cpp what it makes of a GGUF file. Run as a program of its own: a file that llama.cpp cannot
load may end its process, and that must not be ours.

    python llama_run.py question.json answer.json

question: model (path), context, threads, texts (to cut), prompts (token ids, gone on with greedily for so
many `tokens`), places (token ids; the log-probabilities of the `top` best next tokens), inputs (token ids of
an encoder) and pooling ("none", "rank").
answer: version, texts, prompts (new tokens), places ({id: log-probability}, or empty where the next token is
part of a character, which the server does not tell of), inputs (vectors).
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["answer"]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Start llama.cpp's server on the file, ask it, and give back what it says."""
    xllamacpp: Any = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = question["model"]
    params.n_ctx = question["context"]
    params.n_batch = params.n_ubatch = max(32, question["context"])
    params.n_parallel, params.n_gpu_layers = 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = question["threads"]
    params.warmup, params.fit_params, params.cache_prompt, params.verbosity = False, False, False, 1
    # Keys and values as they are computed: the default rounds them to 16 bits.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if question.get("inputs"):
        params.embedding = True
        kind = question["pooling"].upper()
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{kind}")
    server = xllamacpp.Server(params)

    def ask(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{server.listening_address}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.load(reply)

    said: dict[str, Any] = {"version": f"xllamacpp {xllamacpp.__version__}"}
    said["texts"] = [
        ask("/tokenize", {"content": text, "add_special": False, "parse_special": False})["tokens"]
        for text in question.get("texts", [])
    ]

    def go_on(prompt: list[int], tokens: int, top: int) -> Any:
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "n_probs": top}
        return ask("/completion", {**body, "return_tokens": True, "cache_prompt": False})

    said["prompts"] = [
        go_on(prompt, question["tokens"], 0)["tokens"] for prompt in question.get("prompts", [])
    ]
    said["places"] = []
    for prompt in question.get("places", []):
        told = go_on(prompt, 1, question["top"]).get("completion_probabilities")
        said["places"].append({one["id"]: one["logprob"] for one in told[0]["top_logprobs"]} if told else {})
    said["inputs"] = []
    for ids in question.get("inputs", []):
        reply = ask("/embedding", {"content": ids, "embd_normalize": -1})
        said["inputs"].append(reply[0]["embedding"])
    return said


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(answer(asked)), encoding="utf-8")
    os._exit(0)  # the server's threads have no end of their own
