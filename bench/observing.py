"""What watching costs: CPU for each event without metrics, with metrics that are read, and with traces.

The systems take turns, each round in another order, so that a slow minute of the machine falls on all alike. What
counts is the ratio of two systems of one round.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.cases import Case
from bench.figures import Figures
from bench.load_client import LoadClient
from bench.measure import Measurement
from bench.system import System
from dmp_stack.settings import CONTEXTS

_CASES: Final = (
    Case(transport="json", batch=1, connections=64),
    Case(transport="json", batch=1000, connections=8),
)
_READ_EVERY_SECONDS: Final = 5.0
_MOST_RATIO: Final = 1.02
"""The most that counting, showing and reading metrics may cost."""
_WITHOUT, _METRICS, _TRACES = "without metrics", "with metrics", "with metrics and traces of 1 %"
_NOBODY_COUNTS: Final = {"PYTHONPATH": str(Path(__file__).parent / "uncounted")}
_SERVICES: Final = (*CONTEXTS, "gateway")


def measure_observing(figures: Figures, directory: Path, *, seconds: float, runs: int, seed: int) -> None:
    """Notes, for single and large requests, the CPU of gateway and services for an event, and the ratios.

    Raises what `Measurement` raises.
    """
    measured: dict[tuple[str, str], list[float]] = {}
    client = LoadClient(directory)
    for number in range(runs):
        order = (_WITHOUT, _METRICS, _TRACES)[:: 1 if number % 2 else -1]
        for name in order:
            with _system(name) as system:
                measurement = Measurement(client, directory=directory, seed=seed + number)
                measurement.use(system)
                for case in _CASES:
                    cpu: dict[str, float] = measurement.run(case, seconds=seconds)["cpu_us_per_event"]
                    spent = sum(value for part, value in cpu.items() if part in _SERVICES)
                    measured.setdefault((case.name, name), []).append(spent)
    for case in _CASES:
        without = measured[case.name, _WITHOUT]
        for name in (_WITHOUT, _METRICS, _TRACES):
            figures.note(f"{case.name}, {name}: CPU for an event", "us", [statistics.median(measured[case.name, name])])
        for name in (_METRICS, _TRACES):
            ratios = [each / bare for each, bare in zip(measured[case.name, name], without, strict=True)]
            figures.note(
                f"{case.name}, {name}: CPU, of that without",
                "x",
                [statistics.median(ratios)],
                target=_MOST_RATIO if name == _METRICS else None,
                more={"least": f"{min(ratios):.3f}", "most": f"{max(ratios):.3f}"},
            )


@contextlib.contextmanager
def _system(name: str) -> Iterator[System]:
    if name == _WITHOUT:
        with System(service_environment=_NOBODY_COUNTS, metrics_listen=dict.fromkeys(CONTEXTS, "off")) as system:
            yield system
    elif name == _METRICS:
        with System() as system, _read_by_prometheus(system):
            yield system
    else:
        with (
            _collector() as endpoint,
            System(otlp_endpoint=endpoint, trace_percent=1.0) as system,
            _read_by_prometheus(system),
        ):
            yield system


@contextlib.contextmanager
def _read_by_prometheus(system: System) -> Iterator[None]:
    """Reads the metrics of each service again and again, three times as often as Prometheus does by default."""
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(_READ_EVERY_SECONDS):
            for context in CONTEXTS:
                with contextlib.suppress(OSError), urllib.request.urlopen(system.stack.metrics_url(context)) as answer:  # noqa: S310 -- always http
                    answer.read()

    reader = threading.Thread(target=read, name="prometheus", daemon=True)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """Takes whatever comes and keeps nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if length := self.headers["content-length"]:
                self.rfile.read(int(length))
            else:  # in chunks, as the gateway sends it
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 -- as in http.server
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
