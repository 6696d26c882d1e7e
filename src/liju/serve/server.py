"""Run the application on uvicorn: `serve` until stopped, or `Server` beside other work."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from liju.config import Serve
from liju.errors import MissingExtra, RequestError
from liju.serve.app import create_app
from liju.serve.asked import Loaded

__all__ = ["Server", "serve"]


class Server:
    """One model on one port. The port is taken when the object is made; port 0 takes a free one.

    `run()` answers until a signal; as a context manager it answers in a thread of its own:

    >>> class Echo:
    ...     task = "generation"
    ...     def describe(self): return {"name": "echo"}
    ...     def predict(self, texts): return [{"text": text} for text in texts]
    >>> import urllib.request
    >>> with Server(Echo(), Serve(port=0)) as server:
    ...     urllib.request.urlopen(f"{server.url}/predict", b'{"text": "a"}').read()
    b'{"results":[{"text":"a"}]}'

    Raises RequestError when the address cannot be taken, MissingExtra without uvicorn.
    """

    def __init__(self, loaded: Loaded, settings: Serve, **options: Any):
        try:
            import uvicorn
        except ImportError:
            raise MissingExtra("uvicorn", extra="serve") from None
        self.settings = settings
        self.app = create_app(loaded, self.settings, **options)
        self.socket = _listen(self.settings.host, self.settings.port)
        self.port: int = self.socket.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            # Answers under way are given; who still holds a connection after that is let go.
            timeout_graceful_shutdown=10,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = self.settings.host
        if host in ("", "0.0.0.0", "::"):
            host = "127.0.0.1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def run(self) -> None:
        """Answer until SIGINT or SIGTERM; then finish what is under way and come back."""
        handlers = {}
        if threading.current_thread() is threading.main_thread():
            # uvicorn sends itself the signal again when it is done; by then it has been obeyed.
            for number in (signal.SIGINT, signal.SIGTERM):
                handlers[number] = signal.signal(number, lambda *_: None)
        try:
            self._uvicorn.run(sockets=[self.socket])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self.socket.close()

    def stop(self) -> None:
        """Finish what is under way and stop. May be called from any thread."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self.run, name="liju-serve", daemon=True)
        self._thread.start()
        while not self._uvicorn.started and self._thread.is_alive():
            time.sleep(0.005)
        if not self._uvicorn.started:
            raise RequestError(f"the server at {self.url} did not start", "its log says why")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(loaded: Loaded, settings: Serve, **options: Any) -> None:
    """Serve `loaded` until Ctrl-C or SIGTERM. Says on stderr where, and how to ask.

    Raises RequestError when the address cannot be taken, MissingExtra without the packages of `liju[serve]`.
    """
    server = Server(loaded, settings, **options)
    description = loaded.describe()
    second = ', "pair": "..."' if description.get("pairs") else ""
    lines = [
        f"serving {description.get('name', 'a model')} ({loaded.task}) at {server.url}",
        f"  try it:   {server.url}/ in a browser, or",
        f'            curl {server.url}/predict -d \'{{"text": "..."{second}}}\'',
        f"  also:     {server.url}/health  /v1/model  /metrics",
    ]
    if not _only_here(settings.host):
        lines.append(f"  note:     {settings.host} can be reached from other machines, without a password")
    lines.append("  stop it:  Ctrl-C")
    print("\n".join(lines), file=sys.stderr, flush=True)
    server.run()
    print("stopped", file=sys.stderr, flush=True)


def _only_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, or an error that says what to do."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        hint = "127.0.0.1 is this machine only, 0.0.0.0 every address of it"
        raise RequestError(f"[serve] host: {host!r} is not an address: {error.strerror}", hint) from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port whose last server has just gone can be taken at once; one in use cannot.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        import errno

        if error.errno == errno.EADDRINUSE:
            hint = "stop the other program, or serve.port=0 takes a free one"
            raise RequestError(f"port {port} of {host} is in use", hint) from None
        if error.errno == errno.EACCES:
            raise RequestError(f"port {port} may not be taken by this user", "take one above 1023") from None
        hint = "127.0.0.1 is this machine only, 0.0.0.0 every address of it"
        raise RequestError(f"cannot listen on {host}, port {port}: {error.strerror}", hint) from None
    listener.set_inheritable(False)
    return listener
