"""The whole stack: starts everything in the right order, keeps it running, stops it in the right order.

with Stack(StackSettings(http_port=0, data_directory=None)) as stack:
    httpx.get(f"{stack.http_url}/healthz")
    stack.child("identity").kill()      # comes back by itself
    stack.wait_healthy()
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psycopg

from dmp_stack.canary.child import KEY_FILE as CANARY_KEY_FILE
from dmp_stack.canary.child import CanaryChild
from dmp_stack.child import Child, ChildSpec
from dmp_stack.data_directory import DataDirectory, open_data_directory
from dmp_stack.errors import StackError
from dmp_stack.gateway import Gateway, ReplicaState, wait_healthy
from dmp_stack.gateway_certificates import GatewayCertificates
from dmp_stack.keys.api_key import KeysError
from dmp_stack.keys.commands import make_canary_key, make_first_key
from dmp_stack.keys.keys_file import KeysDirectory
from dmp_stack.ports import PortReservation, reserve_port
from dmp_stack.postgres import PostgresServer
from dmp_stack.run_directory import (
    MARKER_VARIABLE,
    RunDirectory,
    create_run_directory,
    sweep_stale_run_directories,
)
from dmp_stack.services import Migrations, Services, metrics_addresses, service_addresses
from dmp_stack.settings import CONTEXTS, StackSettings
from dmp_stack.stores import choose_stores

HEALTHY_TIMEOUT_SECONDS = 60.0
_HOPELESS_DEATHS = 3  # of one child while the stack starts
_REACHED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, and how we reach it

_Part = TypeVar("_Part")

# When each step of an orderly end must be over, in seconds since its begin. Who is early leaves time to the next. A
# service needs at most two seconds (`dmp_chassis.lifecycle`), and its process a moment to go.
_DRAINED_BY = 1.0
_GATEWAY_ENDED_BY = 1.5
_INGEST_ENDED_BY = 4.5
_SERVICES_ENDED_BY = 7.0
_STORES_ENDED_BY = 8.5
_TOLD_AGAIN_SECONDS = 0.1


class StackCancelled(Exception):
    """The stack was told to stop while it was starting."""


class Stack:
    """One running stack. Start and stop it from one thread; everything else may be called from any.

    `report` gets one sentence for each thing that a person at the terminal should know.
    """

    def __init__(self, settings: StackSettings, *, report: Callable[[str], None] = print) -> None:
        self.settings = settings
        self._report = report
        self._cancelled = threading.Event()
        self._hurry = threading.Event()
        self._starting = True
        self._cleanup = contextlib.ExitStack()
        self._children: dict[str, Child] = {}
        self._run_directory: RunDirectory | None = None
        self._data: DataDirectory | None = None
        self._postgres: PostgresServer | None = None
        self._gateway: Gateway | None = None
        self._services: Services | None = None
        self._keys: KeysDirectory | None = None
        self._canary: CanaryChild | None = None

    # -- life

    def start(self) -> None:
        """Returns once the stack is healthy. Raises StackError or StackCancelled, and then nothing is left running."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends everything in order, in less than ten seconds: no new requests, services, then what they store in."""
        self._cancelled.set()
        begun = time.monotonic()
        checkpoint = self._begin_checkpoint()
        self._end(["canary"], begun + _DRAINED_BY)  # it keeps nothing, and what it sends is nobody's loss
        gateway = self._children.get("gateway")
        if gateway is not None and self._gateway is not None and not self._hurry.is_set():
            self._gateway.drain(timeout_seconds=_DRAINED_BY)
        self._end(["gateway"], begun + _GATEWAY_ENDED_BY)
        # First ingest, which hands what it still holds to the other two. A service that is told twice does not wait for
        # the gateway to notice, which is gone.
        ingest = [name for name in self._children if name.split("-")[0] == "ingest"]
        self._end(ingest, begun + _INGEST_ENDED_BY, told_again_after_seconds=_TOLD_AGAIN_SECONDS)
        rest = [name for name in self._children if name not in {"postgres", "valkey"}]
        self._end(rest, begun + _SERVICES_ENDED_BY, told_again_after_seconds=_TOLD_AGAIN_SECONDS)
        self._end(["valkey", "postgres"], begun + _STORES_ENDED_BY)
        if checkpoint is not None:
            checkpoint.join()
        self._cleanup.close()

    def cancel(self) -> None:
        """Makes a running `start` give up, from a signal handler or another thread; once more hurries `stop` too."""
        if self._cancelled.is_set():
            self._hurry.set()
        self._cancelled.set()

    def wait_cancelled(self) -> None:
        """Returns after `cancel`."""
        self._cancelled.wait()

    def wait_healthy(self, timeout_seconds: float = HEALTHY_TIMEOUT_SECONDS) -> None:
        """Returns once `GET /healthz` through the gateway answers 200."""
        wait_healthy(self.http_url, timeout_seconds=timeout_seconds, pause=self._pause)

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what is where

    @property
    def http_url(self) -> str:
        """The gateway, for JSON."""
        scheme = "http" if self.settings.public_certificate is None else "https"
        return f"{scheme}://{self.grpc_address}"

    @property
    def grpc_address(self) -> str:
        """The gateway, for native gRPC: `host:port`, as this machine reaches it."""
        gateway = _started(self._gateway)
        host = _REACHED_BY.get(gateway.host, gateway.host)
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{gateway.port}"

    def service_address(self, context: str, replica: int = 1) -> str:
        """One replica of a service, past the gateway: `unix:/path` of a socket that is for our user only."""
        return _started(self._services).addresses[context][replica - 1]

    def metrics_url(self, context: str, replica: int = 1) -> str:
        """Where the metrics of one replica are read; empty if nowhere."""
        address = _started(self._services).metrics[context][replica - 1]
        host, _, port = address.rpartition(":")
        return f"http://{_REACHED_BY.get(host, host)}:{port}/metrics" if address else ""

    @property
    def canary_metrics_url(self) -> str:
        """Where the metrics of the canary are read. Raises StackError when there is none."""
        return f"http://{_started(self._canary).metrics}/metrics"

    def replicas(self, context: str) -> list[ReplicaState]:
        """What the gateway knows of the replicas of a service, in order. Raises OSError if it does not answer."""
        return _started(self._gateway).replicas(context)

    def database_url(self, context: str) -> str:
        """The database of one service, as its own role."""
        return _started(self._services).database_urls[context]

    @property
    def redis_url(self) -> str:
        return _started(self._services).redis_url

    @property
    def keys(self) -> KeysDirectory:
        """The API keys. Raises StackError when callers need none."""
        return _started(self._keys)

    @property
    def postgres(self) -> PostgresServer:
        """The embedded PostgreSQL. Raises StackError when every database is an external one."""
        return _started(self._postgres)

    @property
    def log_directory(self) -> Path:
        return _started(self._data).logs

    @property
    def children(self) -> Mapping[str, Child]:
        """By name: `gateway`, `ingest`, `identity`, `stats`, `postgres`, `valkey`, `canary`; a replica: `ingest-2`."""
        return dict(self._children)

    def child(self, name: str) -> Child:
        return self._children[name]

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run right now."""
        return {name: pid for name, child in self._children.items() if (pid := child.pid) is not None}

    # -- starting

    def _start(self) -> None:
        sweep_stale_run_directories()
        run_directory = create_run_directory()
        self._cleanup.callback(run_directory.remove)
        self._run_directory = run_directory
        data_path = self.settings.data_directory or run_directory.path / "data"
        data = open_data_directory(data_path, run_directory=run_directory.path)
        self._cleanup.callback(data.release)
        self._data = data
        http_port = self._reserve(self.settings.http_host, self.settings.http_port)
        addresses = service_addresses(run_directory.service_sockets(), self.settings.replicas)
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.settings.otlp_endpoint,
            **self.settings.service_environment,
            MARKER_VARIABLE: str(run_directory.path),
        }
        stores = choose_stores(self.settings, run_directory=run_directory.path, data=data, environment=environment)
        self._postgres = stores.postgres
        for spec in stores.child_specs(pause=self._pause):
            self._add(spec)
        self._gateway = Gateway(
            host=self.settings.http_host,
            port=http_port,
            upstreams=addresses,
            run_directory=run_directory.path,
            log_path=data.logs / "gateway.log",
            environment=environment,
            keys_folder=self._keys_folder(data.path),
            certificates=GatewayCertificates(
                public=self.settings.public_certificate, inside=self.settings.certificates_directory
            ),
            access_log_percent=self.settings.access_log_percent,
            otlp_endpoint=self.settings.otlp_endpoint,
            trace_percent=self.settings.trace_percent,
        )
        self._add(self._gateway.child_spec())
        stores.wait_ready(self._children, pause=self._pause)
        self._services = Services(
            database_urls=stores.database_urls,
            redis_url=stores.redis_url,
            addresses=addresses,
            metrics=metrics_addresses(self.settings.metrics_listen, self.settings.replicas, reserve=self._reserve),
            log_directory=data.logs,
            environment=environment,
            certificates_directory=self.settings.certificates_directory,
        )
        self._start_services(self._services)
        self.wait_healthy()
        self._start_canary(data, environment)
        self._starting = False
        data.write_endpoints(self._endpoints())

    def _keys_folder(self, data_path: Path) -> Path | None:
        """What the gateway reads of the keys, with a first key if there is none; None when nobody is asked for one."""
        if not self.settings.api_keys:
            return None
        keys = self._keys = KeysDirectory(path=self.settings.keys_directory or data_path / "keys")
        try:
            made = make_first_key(keys)
        except KeysError as error:
            raise StackError(f"the API keys are not usable: {error}") from error
        if made:
            self._report(f"the first admin key is in {keys.first_key}")
        return keys.gateway

    def _start_canary(self, data: DataDirectory, environment: Mapping[str, str]) -> None:
        if not self.settings.canary:
            return
        key_file = None
        if self._keys is not None:
            key_file = self._keys.path / CANARY_KEY_FILE
            try:
                make_canary_key(self._keys, key_file)
            except (KeysError, OSError) as error:
                raise StackError(f"there is no key for the canary: {error}") from error
        host, _, port = (self.settings.canary_metrics_listen or "127.0.0.1:0").rpartition(":")
        self._canary = CanaryChild(
            url=self.http_url,
            metrics=f"{host}:{self._reserve(host.strip('[]'), int(port))}",
            key_file=key_file,
            certificate=None
            if self.settings.public_certificate is None
            else self.settings.public_certificate.certificate,
            log_directory=data.logs,
            environment=environment,
        )
        self._add(self._canary.child_spec())

    def _start_services(self, services: Services) -> None:
        migrations = Migrations({context: services.migrate_spec(context) for context in CONTEXTS})

        def serve(context: str) -> None:
            for spec in services.serve_specs(context):
                self._add(spec)

        migrations.run(migrated=serve, pause=self._pause)

    def _add(self, spec: ChildSpec) -> None:
        child = Child(spec, self._say)
        self._children[spec.name] = child
        child.start()

    def _reserve(self, host: str, port: int = 0) -> int:
        reservation: PortReservation = reserve_port(host, port)
        self._cleanup.callback(reservation.close)
        return reservation.port

    def _endpoints(self) -> dict[str, str]:
        services = _started(self._services)
        return {
            "DMP_HTTP_URL": self.http_url,
            **{f"DMP_{context.upper()}_ADDRESS": self.service_address(context) for context in CONTEXTS},
            **{f"DMP_{context.upper()}_DATABASE_URL": services.database_urls[context] for context in CONTEXTS},
            "DMP_REDIS_URL": services.redis_url,
            **({} if self._canary is None else {"DMP_CANARY_METRICS_URL": self.canary_metrics_url}),
            **{
                f"DMP_{context.upper()}{'' if number == 1 else f'_{number}'}_METRICS_URL": self.metrics_url(
                    context, number
                )
                for context in CONTEXTS
                for number in range(1, 1 + len(services.metrics[context]))
            },
        }

    # -- stopping

    def _begin_checkpoint(self) -> threading.Thread | None:
        """Lets PostgreSQL write to disk what it holds while the others still stop, so that its own end is quick."""
        postgres = self._postgres
        kept = self.settings.data_directory is not None
        if postgres is None or "postgres" not in self._children or self._hurry.is_set() or not kept:
            return None

        def checkpoint() -> None:
            with contextlib.suppress(psycopg.Error), postgres.connect() as connection:
                connection.execute("CHECKPOINT")

        thread = threading.Thread(target=checkpoint, name="last checkpoint", daemon=True)
        thread.start()
        return thread

    def _end(self, names: list[str], deadline: float, *, told_again_after_seconds: float = math.inf) -> None:
        """Ends children together and takes them off the list; those that do not obey by the deadline are killed."""
        children = [self._children.pop(name) for name in names if name in self._children]
        told_again_at = time.monotonic() + told_again_after_seconds
        for child in children:
            child.request_stop()
        while any(child.pid is not None for child in children):
            if time.monotonic() > deadline or self._hurry.wait(0.01):
                break
            if time.monotonic() > told_again_at:
                told_again_at = math.inf
                for child in children:
                    child.request_stop()
        for child in children:
            if child.pid is not None:
                self._report(f"{child.name} {'is' if self._hurry.is_set() else 'did not stop in time and is'} killed")
                child.request_stop(number=child.spec.orphan_signal)
            child.close(1.0)

    def _pause(self, seconds: float) -> None:
        """Sleeps, unless there is no point in going on."""
        if self._cancelled.wait(seconds):
            raise StackCancelled
        if self._starting:
            for child in self._children.values():
                if child.deaths >= _HOPELESS_DEATHS:
                    raise StackError(
                        f"{child.name} does not start. The end of {child.spec.log_path}:\n{child.log_tail()}"
                    )

    def _say(self, sentence: str) -> None:
        if not self._cancelled.is_set():
            self._report(sentence)


def _started(thing: _Part | None) -> _Part:
    if thing is None:
        raise StackError("the stack has not been started, or has no such part")
    return thing
