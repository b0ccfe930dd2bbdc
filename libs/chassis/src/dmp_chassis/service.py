"""What a service is, in one value: each `app.py` defines its own as `SERVICE`, and all of them are run in the same way.

SERVICE: Final = ServiceDefinition(
    name="stats",
    api=Api(services=[SERVICE_NAME], errors=ERRORS, domain=DOMAIN, max_request_bytes=MAX_REQUEST_BYTES),
    tables=METADATA,
    read_settings=read_settings,
    assemble=assemble,
)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from dmp_chassis.citus import WorkerNodeError, refuse_worker
from dmp_chassis.logging import configure
from dmp_chassis.server import Api, Callback, Parts, RunningServer, run_server, start_server
from dmp_chassis.service_settings import CommonSettings, database_variable
from dmp_chassis.settings import SettingsError
from dmp_chassis.tracing_export import TracingNotInstalledError, start_tracing

__all__ = ["AnyService", "Api", "Parts", "ServiceDefinition"]


class Settings(Protocol):
    """The settings of one service: those of every service, and its own."""

    @property
    def common(self) -> CommonSettings:
        """What every service can be told."""


_Settings = TypeVar("_Settings", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition(Generic[_Settings]):
    """One service: how its settings are read, what its parts are, and what callers see of it."""

    name: str
    """`ingest`: its package is `dmp_ingest`, its variables begin with `DMP_INGEST_`."""
    api: Api
    """What callers see."""
    tables: sa.MetaData
    """What its migrations make. A test compares the two."""
    read_settings: Callable[[Mapping[str, str]], _Settings]
    """Reads the environment. Raises SettingsError with every problem."""
    assemble: Callable[[_Settings], Parts]
    """Makes the parts from the settings, in a running event loop. Opens no connection yet."""

    async def serve(self) -> None:
        """Serves with the settings of this process until it is told to stop. Raises SettingsError, also if the database
        is on a node that must not be asked.
        """
        settings = self.read_settings(os.environ)
        common = settings.common
        try:
            await refuse_worker(common.database_url)
        except WorkerNodeError:
            problem = "names a worker of a Citus cluster; it must name the coordinator"
            raise SettingsError([f"{database_variable(self.name)} {problem}"]) from None
        configure(common.log_level, self.name)
        stop_tracing = _start_tracing(self.name, common.otlp_endpoint)
        parts = self.assemble(settings)
        await run_server(
            self.api,
            replace(parts, metrics_listen=common.metrics_listen, on_close=(*parts.on_close, *stop_tracing)),
            listen=common.listen,
            drain_seconds=common.drain_seconds,
            certificates=common.certificates,
        )

    async def start(self, settings: _Settings, *, metrics_listen: str = "") -> RunningServer:
        """A running server, for a test that has several in its process: its metrics are read nowhere unless it says so,
        whatever the settings say."""
        common = settings.common
        parts = replace(self.assemble(settings), metrics_listen=metrics_listen)
        return await start_server(self.api, parts, listen=common.listen, certificates=common.certificates)


AnyService = ServiceDefinition[Any]
"""A service whose own settings do not matter."""


def _start_tracing(name: str, endpoint: str) -> tuple[Callback, ...]:
    """Starts it if there is a collector; returns what is to be called at the end."""
    if not endpoint:
        return ()
    try:
        return (start_tracing(name, endpoint),)
    except TracingNotInstalledError:
        problem = "needs what is not installed: pip install 'dmp-chassis[otel]'"
        raise SettingsError([f"OTEL_EXPORTER_OTLP_ENDPOINT {problem}"]) from None
