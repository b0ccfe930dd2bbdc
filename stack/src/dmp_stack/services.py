"""The three services as programs: how to migrate each one's database and how to serve."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dmp_chassis.service_settings import CERTIFICATE_VARIABLES, database_variable
from dmp_stack.child import ChildSpec, child_command, describe_exit, log_tail, open_log, rotate_log
from dmp_stack.errors import StackError
from dmp_stack.settings import CONTEXTS, metrics_variable

_FREE: Final = "127.0.0.1:0"
_OFF: Final = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the services need to find each other. `addresses` has one socket (`unix:/path`) per replica, by context;
    `metrics` has where the metrics of each are read (`host:port`, empty if nowhere).

    certificates_directory: as `deploy/certificates` makes it; None has them speak without TLS.
    """

    database_urls: Mapping[str, str]
    redis_url: str
    addresses: Mapping[str, Sequence[str]]
    metrics: Mapping[str, Sequence[str]]
    log_directory: Path
    environment: Mapping[str, str]
    certificates_directory: Path | None = None

    def serve_specs(self, context: str) -> list[ChildSpec]:
        """One child per replica: `ingest`, `ingest-2`, ..."""
        return [
            self._spec(
                context,
                "serve",
                name=context if index == 0 else f"{context}-{index + 1}",
                extra={f"DMP_{context.upper()}_LISTEN": address, metrics_variable(context): metrics or _OFF},
            )
            for index, (address, metrics) in enumerate(zip(self.addresses[context], self.metrics[context], strict=True))
        ]

    def migrate_spec(self, context: str) -> ChildSpec:
        """Brings the database of one service up to date and ends."""
        return self._spec(context, "migrate", name=f"{context}-migrate", extra={})

    def _spec(self, context: str, command: str, *, name: str, extra: Mapping[str, str]) -> ChildSpec:
        environment = dict(self.environment)
        for other in CONTEXTS:
            for variable in (database_variable(other), f"{database_variable(other)}_FILE"):
                environment.pop(variable, None)  # nobody learns the way into another's database
        environment.pop("DMP_REDIS_URL_FILE", None)  # what it says is in DMP_REDIS_URL
        environment |= self._certificate_files(context)
        environment |= {
            database_variable(context): self.database_urls[context],
            "DMP_REDIS_URL": self.redis_url,
            "DMP_IDENTITY_ADDRESS": ",".join(self.addresses["identity"]),
            "DMP_STATS_ADDRESS": ",".join(self.addresses["stats"]),
            **extra,
        }
        return ChildSpec(
            name=name,
            argv=(sys.executable, "-m", f"dmp_{context}", command),
            environment=environment,
            log_path=self.log_directory / f"{name}.log",
        )

    def _certificate_files(self, context: str) -> dict[str, str]:
        """The variables of a service's own certificate; empty ones win over those of this process."""
        folder = self.certificates_directory
        files = ("cert.pem", "key.pem", "ca.pem")
        paths = [str(folder.absolute() / context / file) if folder is not None else "" for file in files]
        return dict(zip(CERTIFICATE_VARIABLES, paths, strict=True))


def service_addresses(directory: Path, replicas: Mapping[str, int]) -> dict[str, list[str]]:
    """A socket in `directory` for each replica, by context."""
    return {
        context: [f"unix:{directory}/{context}-{number}.sock" for number in range(1, 1 + replicas.get(context, 1))]
        for context in CONTEXTS
    }


def metrics_addresses(
    given: Mapping[str, str], replicas: Mapping[str, int], *, reserve: Callable[[str, int], int]
) -> dict[str, list[str]]:
    """Where the metrics of each replica are read, by context: `host:port`, empty if nowhere.

    given: what the variables say, by context. The first replica listens there; every other one, and port 0, gets a free
    port of the same host from `reserve`.
    """
    addresses: dict[str, list[str]] = {}
    for context in CONTEXTS:
        told = given.get(context, "") or _FREE
        host, _, port = told.rpartition(":")
        ports = [0 if told == _OFF else int(port), *[0] * (replicas.get(context, 1) - 1)]
        addresses[context] = ["" if told == _OFF else f"{host}:{reserve(host.strip('[]'), wanted)}" for wanted in ports]
    return addresses


class Migrations:
    """Migrations that run in parallel, each in a process of its own."""

    def __init__(self, specs: Mapping[str, ChildSpec]) -> None:
        self._specs = specs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *, migrated: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> None:
        """Runs all of them and calls `migrated` with each context as soon as its own is done.

        Raises StackError with the end of the log if one fails. Leaves no process, also when `pause` raises.
        """
        try:
            self._running = {context: _start(spec) for context, spec in self._specs.items()}
            while self._running:
                pause(0.01)
                for context, process in list(self._running.items()):
                    returncode = process.poll()
                    if returncode is None:
                        continue
                    del self._running[context]
                    if returncode != 0:
                        spec = self._specs[context]
                        raise StackError(
                            f"the migration of {context} failed ({describe_exit(returncode)}). "
                            f"The end of {spec.log_path}:\n{log_tail(spec.log_path)}"
                        )
                    migrated(context)
        finally:
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                process.wait()


def _start(spec: ChildSpec) -> subprocess.Popen[bytes]:
    rotate_log(spec.log_path)
    with open_log(spec.log_path) as log:
        return subprocess.Popen(
            child_command(spec.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(spec.environment),
            start_new_session=True,
        )
