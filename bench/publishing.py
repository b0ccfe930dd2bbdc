"""What sending events costs over HTTP and over one gRPC stream: the client's threads that send, the gateway, ingest.

Both in turn against one system, each time by a process of its own that tracks events into memory and sends them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Final

from bench.figures import Figures
from bench.processes import read_usage
from bench.system import System, WrongAnswerError

_ROOT: Final = Path(__file__).parents[1]
_TRANSPORTS: Final = ("json", "grpc")
_SERVERS: Final = ("gateway", "ingest")


def measure_publishing(figures: Figures, *, events: int, runs: int) -> None:
    """Notes CPU time for each event of the client, the gateway and ingest, and events a second, for each transport.

    Raises WrongAnswerError if an event was not accepted.
    """
    measured: dict[str, list[dict[str, float]]] = {transport: [] for transport in _TRANSPORTS}
    with System() as system:
        host, port = system.address
        for number in range(runs + 1):
            for transport in _TRANSPORTS:
                one = _run(system, transport, f"http://{host}:{port}", events)
                if number:  # the first of each warms everything up
                    measured[transport].append(one)
    for transport, each in measured.items():
        for name in ("client", *_SERVERS):
            spent = statistics.median(one[name] for one in each)
            figures.note(f"dmp over {transport}: CPU of the {name} for an event", "us", [spent * 1e6 / events])
        rate = statistics.median(events / one["seconds"] for one in each)
        figures.note(f"dmp over {transport}: events a second of the clock", "/s", [rate])


def _run(system: System, transport: str, url: str, events: int) -> dict[str, float]:
    before = read_usage(system.pids)
    done = subprocess.run(
        [sys.executable, str(_ROOT / "bench" / "publish_worker.py"), transport, str(events), url, uuid.uuid4().hex],
        env={**os.environ, "PYTHONPATH": str(_ROOT / "clients" / "python" / "src")},
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
        text=True,
    )
    spent = read_usage(system.pids).since(before)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if answer.pop("accepted") != events:
        raise WrongAnswerError(f"over {transport} not every event was accepted")
    return answer | {name: spent[name] for name in _SERVERS}
