"""The compiled load client (`load/*.c`): built on first use, one process for each run."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).with_name("load")
_TIMEOUT_SECONDS = 3600.0


class LoadError(Exception):
    """The load could not be sent, or not all of it was answered. The text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What the client saw. `statuses` are HTTP status codes; for gRPC 200 stands for an answer, 0 for none."""

    requests: int
    seconds: float
    errors: int
    accepted: int
    duplicates: int
    rejected: int
    applied_answers: int
    request_bytes: int
    response_bytes: int
    client_cpu_seconds: float
    statuses: dict[str, int]
    latency_us: dict[str, float]


class LoadClient:
    """Built in `directory`. Needs a C compiler, and OpenSSL 3 when it speaks TLS."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise LoadError("a C compiler is missing; on Debian and Ubuntu: apt-get install gcc libc6-dev")
        self._program = directory / "load"
        sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
        built = subprocess.run(
            [compiler, "-O2", "-std=c11", "-Wall", "-o", str(self._program), *sources, "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            raise LoadError(f"the load client could not be built:\n{built.stderr}")

    def run(
        self,
        *,
        transport: str,
        address: tuple[str, int],
        path: str,
        bodies: Path,
        connections: int,
        requests: int,
        key: str | None = None,
        authority: Path | None = None,
    ) -> LoadResult:
        """Sends `requests` requests, each with the next body of the file, over `connections` connections.

        transport: `json` or `grpc`. key: an API key, for JSON only. authority: the certificates of whom to believe over
        TLS, in PEM; None speaks clear text.
        Raises LoadError if the system cannot be reached or stops answering.
        """
        host, port = address
        arguments = [transport, host, str(port), path, str(bodies), str(connections), str(requests), key or ""]
        if authority is not None:
            arguments.append(str(authority))
        finished = subprocess.run(
            [str(self._program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        if finished.returncode != 0:
            raise LoadError(finished.stderr.strip())
        return LoadResult(**json.loads(finished.stdout))
