"""A server that answers as a script says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["FakeServer", "answer", "events"]


def answer(text: str = " home", **more: Any) -> dict[str, Any]:
    """The body of a completion."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
    return {"choices": [choice], "usage": usage, **more}


def events(*texts: str, done: bool = True, finish: str | None = "stop") -> bytes:
    """A stream of completions, with a comment as some servers send to keep the line open."""
    lines = [": here\n\n"]
    for at, text in enumerate(texts):
        last = finish if at == len(texts) - 1 else None
        choice = {"index": 0, "text": text, "finish_reason": last}
        lines.append(f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\r\n\r\n")
    return "".join(lines + ["data: [DONE]\n\n"] * done).encode()


class FakeServer:
    """Each step of the script answers one request; the last one answers all after it.

    A step is a body (a dictionary, or bytes as they are), or (status, body, headers); `hang` seconds before
    it; headers may hold Content-Length, to promise more than comes.
    """

    def __init__(self, *script: Any, hang: float = 0.0):
        self.script, self.hang = list(script), hang
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                fake.handle(self)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who asked may hang up at any time
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self._lock:
            self.asked.append({"path": handler.path, **(json.loads(body) if body else {})})
            self.headers.append(dict(handler.headers))
            self.times.append(time.monotonic())
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.hang)
        with self._lock:
            self._at_once -= 1
        status, told, headers = step if isinstance(step, tuple) else (200, step, {})
        if told is None:  # hang up without a word
            handler.close_connection = True
            return
        sent = told if isinstance(told, bytes) else json.dumps(told).encode()
        kind = "text/event-stream" if sent.startswith((b"data:", b": ")) else "application/json"
        try:
            handler.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(sent)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(sent)
            if int(headers.get("Content-Length", 0)) > len(sent):
                handler.close_connection = True
        except OSError:
            pass  # who asked has gone

    def __enter__(self) -> FakeServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
