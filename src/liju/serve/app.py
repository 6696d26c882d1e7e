"""The HTTP application: one task, JSON in and out, and errors that are JSON everywhere.

POST /predict    {"text": "..."} or {"texts": ["...", "..."]}; "pair" or "pairs" and "options"
GET  /v1/model   what is served
POST /v1/...     OpenAI's API, of a model that writes (openai.py) or of vectors (embeddings.py)
GET  /health     ok, or stopping (503)
GET  /metrics    for Prometheus
GET  /           a page to try it
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from liju.config import Serve
from liju.errors import LijuError, MissingExtra, did_you_mean
from liju.serve.asked import Loaded, Problem, accepted_options, read_asked, takes_pairs
from liju.serve.batcher import Batcher, Overloaded, Stopping
from liju.serve.body import read_body, to_json
from liju.serve.counters import Counters

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from liju.serve.embeddings import Embeddings
    from liju.serve.openai import OpenAI

__all__ = ["create_app"]

log = logging.getLogger("liju.serve")

OPENAI_PATHS = {
    "/v1/models": "GET",
    "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
    "/v1/embeddings": "POST",
}
PATHS = {"/": "GET", "/health": "GET", "/metrics": "GET", "/predict": "POST", "/v1/model": "GET"}


def create_app(
    loaded: Loaded,
    settings: Serve,
    *,
    max_batch: int = 32,
    max_waiting: int = 1024,
    max_texts: int = 256,
    body_seconds: float = 30,
) -> Starlette:
    """The application that answers for `loaded`; any ASGI server runs it.

    At most `max_batch` texts go into one call of the model, `max_waiting` wait (then 503), `max_texts` come
    in one request (else 413). A body must arrive within `body_seconds` (else 408).

    Raises MissingExtra without Starlette.

    >>> class Echo:
    ...     task = "generation"
    ...     def describe(self): return {"name": "echo"}
    ...     def predict(self, texts): return [{"text": text} for text in texts]
    >>> [route.path for route in create_app(Echo(), Serve()).routes]
    ['/', '/health', '/v1/model', '/metrics', '/predict']
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.middleware import Middleware
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError:
        raise MissingExtra("starlette", extra="serve") from None
    from liju.serve.page import POLICY, page

    # Asked once: a description may be costly, and what is served does not change.
    description = {"task": loaded.task, **loaded.describe()}
    pairs, options = takes_pairs(loaded), accepted_options(loaded)
    batcher = Batcher(loaded.predict, max_batch, max_waiting)
    started = time.monotonic()
    # A character is at most twelve bytes: a surrogate pair written as two \uXXXX.
    max_bytes = 12 * settings.max_characters + 64 * 1024
    state = {"stopping": False}
    openai = _openai(
        loaded,
        batcher,
        lambda request: read_body(request, max_bytes, body_seconds),
        settings.max_characters,
        max_texts,
    )
    own = openai.routes() if openai else []
    paths = PATHS | {route.path: OPENAI_PATHS[route.path] for route in own}
    counters = Counters(list(paths))

    def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        return Response(to_json(body), status, headers, media_type="application/json")

    def wrong(error: LijuError, status: int, headers: Mapping[str, str] | None = None) -> Response:
        return answer(_error(error.message, error.hint, getattr(error, "field", "")), status, headers)

    async def index(request: Request) -> Response:
        return Response(page(), headers={"Content-Security-Policy": POLICY}, media_type="text/html")

    async def health(request: Request) -> Response:
        body = {"status": "ok", "task": loaded.task, "uptime_seconds": round(time.monotonic() - started, 3)}
        return answer(body | {"status": "stopping"}, 503) if state["stopping"] else answer(body)

    async def model(request: Request) -> Response:
        return answer({**description, "max_characters": settings.max_characters})

    async def metrics(request: Request) -> Response:
        gauges = {
            "liju_waiting_texts": batcher.waiting,
            "liju_model_calls_total": batcher.calls,
            "liju_model_texts_total": batcher.answered,
            "liju_model_seconds_total": batcher.seconds,
        }
        return Response(counters.text(gauges) + "\n", media_type="text/plain; version=0.0.4")

    async def predict(request: Request) -> Response:
        try:
            body = await read_body(request, max_bytes, body_seconds)
            asked = read_asked(
                body,
                max_characters=settings.max_characters,
                max_texts=max_texts,
                pairs=pairs,
                options=options,
            )
            return answer({"results": await batcher.ask(asked.texts, asked.pairs, asked.options)})
        except Problem as error:
            # What is left of a body that was refused unread is not read as the next request.
            unread = {"Connection": "close"} if error.status in (408, 413) else None
            return wrong(error, error.status, unread)
        except Overloaded as error:
            return wrong(error, 503, {"Retry-After": str(error.retry_after)})
        except Stopping as error:
            return wrong(error, 503, {"Retry-After": "5", "Connection": "close"})
        except LijuError as error:
            return wrong(error, 422)

    async def not_answered(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, method = request.url.path, request.method
        hint = ""
        if error.status_code == 404 and path in OPENAI_PATHS:
            message = f"a model for {loaded.task} does not answer {path}"
            hint = 'vectors come from a model of task = "embedding"' if "embed" in path else "use /predict"
        elif error.status_code == 404:
            hint = did_you_mean(path, paths) or f"known: {', '.join(paths)}"
            message = f"nothing is at {path}"
        elif error.status_code == 405:
            message = f"{path} does not answer {method}"
            hint = f"use {paths.get(path, 'GET')}"
        else:
            message = str(error.detail)
        return answer(_shaped(path, message, hint), error.status_code, error.headers)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        state["stopping"] = True
        await batcher.stop()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/health", health),
            Route("/v1/model", model),
            Route("/metrics", metrics),
            Route("/predict", predict, methods=["POST"]),
            *own,
        ],
        middleware=[Middleware(Guard, counters=counters)],  # type: ignore[arg-type]
        exception_handlers={HTTPException: not_answered},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.batcher = batcher
    return app


class Guard:
    """Around every request: counts it, and turns what nobody caught into a 500 that tells no secrets."""

    def __init__(self, app: Any, counters: Counters):
        self.app = app
        self.counters = counters

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import ClientDisconnect

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start = time.perf_counter()
        status = 0

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except ClientDisconnect:
            status = status or 499  # nginx's word for: the client is gone
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            told = _shaped(scope["path"], "the server failed to answer this", "its log says why", 500)
            body = to_json(told)
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await noting({"type": "http.response.start", "status": 500, "headers": headers})
            await noting({"type": "http.response.body", "body": body})
        finally:
            self.counters.add(scope["path"], status or 499, time.perf_counter() - start)


def _error(message: str, hint: str = "", field: str = "") -> dict[str, dict[str, str]]:
    return {"error": {"message": message, "hint": hint, "field": field}}


def _shaped(path: str, message: str, hint: str, status: int = 400) -> dict[str, Any]:
    """An error in the shape that the clients of a path know."""
    if path not in OPENAI_PATHS:
        return _error(message, hint)
    from liju.serve.openai_told import error_body

    return error_body(LijuError(message, hint), status)


def _openai(loaded: Loaded, *rest: Any) -> OpenAI | Embeddings | None:
    """OpenAI's endpoints, for a bundle whose model writes or has vectors of texts."""
    if not hasattr(loaded, "bundle"):
        return None
    from liju.serve.embeddings import Embeddings
    from liju.serve.openai import OpenAI

    return OpenAI.of(loaded, *rest) or Embeddings.of(loaded, *rest)
