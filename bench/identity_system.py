"""A durable PostgreSQL, a Valkey and one identity service of their own, for the identity benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp_stack.child import Child, ChildSpec
from dmp_stack.ports import reserve_port
from dmp_stack.postgres import PostgresOptions, PostgresServer
from dmp_stack.valkey import ValkeyServer

ROLE = "dmp_identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySystem:
    """A running service: where it listens, its database, and its processes."""

    address: str
    database_url: str
    postgres_pid: int
    service_pid: int

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU time so far: the service's and PostgreSQL's with all its backends."""
        return _cpu_seconds(self.service_pid), _cpu_seconds(self.postgres_pid)

    def stub(self) -> IdentityServiceStub:
        """A client of its own connection."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        return IdentityServiceStub(grpc.insecure_channel(self.address, options=options))


def _cpu_seconds(pid: int) -> float:
    """Of a process and its descendants, those that have ended included."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
        if one is process:
            total += times.children_user + times.children_system
    return total


@contextmanager
def running_identity(*, shared_buffers_mebibytes: int = 512) -> Iterator[IdentitySystem]:
    """Starts everything in a temporary directory and stops it at the end."""
    with tempfile.TemporaryDirectory(prefix="dmp-identity-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        environment = dict(os.environ)
        postgres = PostgresServer(
            data_directory=directory / "postgres",
            socket_directory=directory / "pg",
            log_path=directory / "postgres.log",
            options=PostgresOptions(shared_buffers_mebibytes=shared_buffers_mebibytes, durable=True, trusted=True),
            environment=environment,
        )
        valkey = ValkeyServer(
            data_directory=directory / "valkey",
            socket_path=directory / "valkey.sock",
            log_path=directory / "valkey.log",
            environment=environment,
            persistent=False,
        )
        children: list[Child] = []
        try:
            for server in (postgres, valkey):
                server.prepare()
                child = Child(server.child_spec(), report=print)
                child.start()
                children.append(child)
                server.wait_ready(child)
            postgres.provision(ROLE, role=ROLE, password=None)
            url = postgres.url(ROLE, role=ROLE)
            port = reserve_port("127.0.0.1").port
            environment |= {
                "DMP_IDENTITY_DATABASE_URL": url,
                "DMP_REDIS_URL": valkey.url,
                "DMP_IDENTITY_LISTEN": f"127.0.0.1:{port}",
                "DMP_IDENTITY_METRICS_LISTEN": "127.0.0.1:0",
                "DMP_LOG_LEVEL": "warning",
                "DMP_DRAIN_SECONDS": "0",
            }
            _migrate(environment)
            service = Child(
                ChildSpec(
                    name="identity",
                    argv=(sys.executable, "-m", "dmp_identity", "serve"),
                    environment=environment,
                    log_path=directory / "identity.log",
                ),
                report=print,
            )
            service.start()
            children.append(service)
            grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{port}")).result(timeout=30)
            postgres_pid, service_pid = children[0].pid, service.pid
            if postgres_pid is None or service_pid is None:
                raise RuntimeError("a server died at its start")
            yield IdentitySystem(
                address=f"127.0.0.1:{port}", database_url=url, postgres_pid=postgres_pid, service_pid=service_pid
            )
        finally:
            for child in reversed(children):
                child.close(10)


def _migrate(environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "dmp_identity", "migrate"], env=environment, check=True, capture_output=True)
