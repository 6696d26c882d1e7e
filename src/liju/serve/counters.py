"""Counts of what was asked and answered, as text that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["Counters"]


class Counters:
    """Requests by path and status, and the seconds they took.

    Only known paths are counted by name: a caller cannot make the list grow.

    >>> counters = Counters(["/predict"])
    >>> counters.add("/predict", 200, 0.25)
    >>> counters.add("/who?", 404, 0.5)
    >>> print(counters.text({"liju_waiting_texts": 3}))
    # HELP liju_requests_total Requests answered, by path and status.
    # TYPE liju_requests_total counter
    liju_requests_total{path="/predict",status="200"} 1
    liju_requests_total{path="other",status="404"} 1
    # HELP liju_errors_total Requests answered with a status of 400 or more.
    # TYPE liju_errors_total counter
    liju_errors_total 1
    # HELP liju_request_seconds Time from the request's head to its answer.
    # TYPE liju_request_seconds summary
    liju_request_seconds_sum{path="/predict"} 0.25
    liju_request_seconds_count{path="/predict"} 1
    liju_request_seconds_sum{path="other"} 0.5
    liju_request_seconds_count{path="other"} 1
    # TYPE liju_waiting_texts gauge
    liju_waiting_texts 3
    """

    def __init__(self, paths: list[str]):
        self.paths = paths
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: Counter[str] = Counter()

    def add(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        path = path if path in self.paths else "other"
        self.requests[path, status] += 1
        self.seconds[path] += seconds  # type: ignore[assignment]

    def text(self, gauges: Mapping[str, float] | None = None) -> str:
        """The Prometheus exposition format 0.0.4; names in `gauges` that end in _total are counters."""
        lines = [
            "# HELP liju_requests_total Requests answered, by path and status.",
            "# TYPE liju_requests_total counter",
        ]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'liju_requests_total{{path="{path}",status="{status}"}} {count}')
        errors = sum(count for (_, status), count in self.requests.items() if status >= 400)
        lines += [
            "# HELP liju_errors_total Requests answered with a status of 400 or more.",
            "# TYPE liju_errors_total counter",
            f"liju_errors_total {errors}",
            "# HELP liju_request_seconds Time from the request's head to its answer.",
            "# TYPE liju_request_seconds summary",
        ]
        for path, seconds in sorted(self.seconds.items()):
            count = sum(count for (name, _), count in self.requests.items() if name == path)
            lines.append(f'liju_request_seconds_sum{{path="{path}"}} {seconds:.6g}')
            lines.append(f'liju_request_seconds_count{{path="{path}"}} {count}')
        for name, value in (gauges or {}).items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {name} {kind}", f"{name} {value:.6g}"]
        return "\n".join(lines)
