"""Where the stages of cleaning run: Daft in a process of its own, or this process for a little text.

Daft and its threads stay out of the process of the caller, who goes on to train. Also, an interpreter that
ends while Daft 0.7 takes its processes down may crash: so this one ends without.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import liju
from liju.errors import LijuError, MissingExtra
from liju.text.stages import Finish, Gather

__all__ = ["Engine"]

_STAGES = {stage.__name__: stage for stage in (Gather, Finish)}


class Engine:
    """Runs a stage over items. With 0 `workers` here, else on Daft with that many processes of its own.

    Which of Daft's runners it is comes from the environment (DAFT_RUNNER=native or ray). Raises MissingExtra.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._process: subprocess.Popen[str] | None = None
        if workers and importlib.util.find_spec("daft") is None:
            raise MissingExtra("daft", "text")

    def __enter__(self) -> Engine:
        if self.workers:
            environment = dict(os.environ)
            # No progress bars, no reports home; and nothing in the working folder may stand in for a module.
            environment |= {"DAFT_PROGRESS_BAR": "0", "DAFT_ANALYTICS_ENABLED": "0", "PYTHONSAFEPATH": "1"}
            home = str(Path(liju.__file__).parents[1])
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
            self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "liju.text.engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                encoding="utf-8",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        # Its own processes end when their connection to it does.
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()
        self._process.wait()
        self._errors.close()

    def run(self, stage: str, arguments: list[Any], items: list[Any]) -> Iterator[dict[str, Any]]:
        """The result of the stage for every item, in their order."""
        if self._process is None:
            worker = _STAGES[stage](*arguments)
            for item in items:
                yield worker.one(item)
            return
        job = {"stage": stage, "arguments": arguments, "items": items, "workers": self.workers}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
        except OSError:
            raise self._died() from None
        for _ in items:
            line = stdout.readline()
            if not line.endswith("\n"):
                raise self._died()
            yield json.loads(line)

    def _died(self) -> LijuError:
        """The error of an engine that gave no answer, with the last of what it said."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._errors.seek(0)
        said = [line for line in self._errors.read().splitlines() if line.strip()]
        last = said[-1] if said else "no message"
        return LijuError(
            f"the text engine ended early (exit code {self._process.poll()}): {last}",
            hint="if the memory ran out: free some, or use fewer workers. It said:\n" + "\n".join(said[-20:]),
        )


def _serve() -> None:
    """Answer the jobs that come on standard input, a line each."""
    import daft

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever else prints must not come between the answers.
    os.dup2(2, 1)
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=[jobs], daemon=True).start()
    while True:
        job = json.loads(jobs.get())
        stage = _STAGES[job["stage"]]
        daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)(stage.run)  # pyright: ignore
        workers = max(1, min(job["workers"], len(job["items"])))
        worker = daft.cls(stage, use_process=True, max_concurrency=workers)(*job["arguments"])
        frame = daft.from_pydict({"item": [json.dumps(item) for item in job["items"]]})
        frame = frame.select(worker.run(frame["item"]).alias("result"))
        for row in frame.iter_rows(results_buffer_size=1):
            answers.write(row["result"] + "\n")
            answers.flush()


def _listen(jobs: queue.Queue[str]) -> None:
    """Take jobs until the caller is gone, even if it was killed in the middle of one."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


if __name__ == "__main__":
    try:
        _serve()
    except BaseException:
        import traceback

        traceback.print_exc()
    # Not through the interpreter's end: see above.
    sys.stderr.flush()
    os._exit(1)
