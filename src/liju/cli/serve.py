"""liju serve: answers over HTTP."""

from __future__ import annotations

from pathlib import Path

__all__ = ["serve"]


def serve(
    run: Path,
    /,
    *,
    host: str | None = None,
    port: int | None = None,
    max_characters: int | None = None,
) -> None:
    """Serve a trained model over HTTP: POST /predict, GET /health, and a page to try it.

    Host, port and the longest text come from [serve] of the run's project file; flags win.

    examples:
      liju serve runs/first
      liju serve runs/first --port 9000

    Parameters
    ----------
    run
        A run directory or a model folder.
    host
        Address to listen on.
    port
        Port; 0 takes a free one.
    max_characters
        Longest text accepted in one request.
    """
    from liju import config
    from liju.finetune import load
    from liju.serve import serve as listen

    given = {"host": host, "port": port, "max_characters": max_characters}
    flags = [f"serve.{name}={value}" for name, value in given.items() if value is not None]
    path = run / "liju.toml"
    project = config.read(path, flags) if path.exists() else config.parse("", flags)
    listen(load(run), project.serve)
