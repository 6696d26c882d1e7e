"""Small stand-ins for a loaded model."""

from __future__ import annotations

import threading
import time
from typing import Any

from liju.errors import RequestError

__all__ = ["Reviews", "Writer"]


class Reviews:
    """Classifies by counting; remembers its calls, and fails if it is ever called twice at once."""

    task = "classification"

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds
        self.calls: list[int] = []
        self.threads: set[str] = set()
        self.lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        return {"name": "评论", "labels": ["neg", "pos"], "parameters": 3_412_480, "max_length": 128}

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        assert self.lock.acquire(blocking=False), "called twice at once"
        try:
            time.sleep(self.seconds)
            self.calls.append(len(texts))
            self.threads.add(threading.current_thread().name)
            for text in texts:
                if text == "crash":
                    raise ZeroDivisionError("secret detail")
                if text == "refuse":
                    raise RequestError("this text has no word", hint="write one")
            return [self.answer(text) for text in texts]
        finally:
            self.lock.release()

    @staticmethod
    def answer(text: str) -> dict[str, Any]:
        good = (text.count("好") + 1) / (len(text) + 2)
        return {
            "label": "pos" if good > 0.5 else "neg",
            "score": good,
            "scores": {"neg": 1 - good, "pos": good},
        }


class Writer:
    """Writes on, with options; reads a second text where one is given."""

    task = "generation"

    def describe(self) -> dict[str, Any]:
        return {
            "name": "writer",
            "options": {"max_new_tokens": 64, "temperature": 1.0, "greedy": False, "stop": ""},
        }

    def predict(
        self, texts: list[str], pairs: list[str] | None = None, max_new_tokens: int = 64, **rest: Any
    ) -> list[dict[str, Any]]:
        second = pairs or [""] * len(texts)
        return [
            {"text": (text + two) * 2, "new": max_new_tokens, **rest}
            for text, two in zip(texts, second, strict=True)
        ]
