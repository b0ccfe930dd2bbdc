"""What the services store in: embedded PostgreSQL and Valkey, or servers that exist already."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dmp_stack.child import Child, ChildSpec
from dmp_stack.data_directory import DataDirectory
from dmp_stack.postgres import PostgresOptions, PostgresServer, default_shared_buffers_mebibytes
from dmp_stack.settings import CONTEXTS, StackSettings
from dmp_stack.valkey import ValkeyServer

_LEAST_CONNECTIONS: Final = 200
_CONNECTIONS_OF_A_REPLICA: Final = 20
"""A pool of the default size, and what a service has beside it."""
_SPARE_CONNECTIONS: Final = 30


def role_of(context: str) -> str:
    """The role of a service; its embedded database has the same name."""
    return f"dmp_{context}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """URLs by context, and the embedded servers behind them; `passwords` has the roles whose databases are embedded."""

    database_urls: Mapping[str, str]
    redis_url: str
    postgres: PostgresServer | None
    valkey: ValkeyServer | None
    passwords: Mapping[str, str]

    def child_specs(self, *, pause: Callable[[float], None] = time.sleep) -> list[ChildSpec]:
        """Prepares the embedded servers' data and says how to run them."""
        specs = []
        if self.valkey is not None:
            self.valkey.prepare()
            specs.append(self.valkey.child_spec())
        if self.postgres is not None:
            self.postgres.prepare(pause=pause)
            specs.append(self.postgres.child_spec())
        return specs

    def wait_ready(self, children: Mapping[str, Child], *, pause: Callable[[float], None] = time.sleep) -> None:
        """Returns once the embedded servers answer and every service has its role and its own database."""
        if self.postgres is not None:
            self.postgres.wait_ready(children["postgres"], pause=pause)
            for role, password in self.passwords.items():
                self.postgres.provision(role, role=role, password=password)
        if self.valkey is not None:
            self.valkey.wait_ready(children["valkey"], pause=pause)


def choose_stores(
    settings: StackSettings, *, run_directory: Path, data: DataDirectory, environment: Mapping[str, str]
) -> Stores:
    """Embedded servers for everything that the settings name no server for. Starts nothing."""
    kept = settings.data_directory is not None
    replicas = sum(settings.replicas.get(context, 1) for context in CONTEXTS)
    roles = [role_of(context) for context in CONTEXTS if context not in settings.database_urls]
    postgres: PostgresServer | None = None
    if roles:
        postgres = PostgresServer(
            data_directory=data.path / "postgres",
            socket_directory=run_directory / "pg",
            log_path=data.logs / "postgres.log",
            options=PostgresOptions(
                shared_buffers_mebibytes=default_shared_buffers_mebibytes(),
                kept=kept,
                seed=settings.postgres_seed,
                max_connections=max(_LEAST_CONNECTIONS, _SPARE_CONNECTIONS + _CONNECTIONS_OF_A_REPLICA * replicas),
            ),
            environment=environment,
        )
    valkey: ValkeyServer | None = None
    if settings.redis_url is None:
        valkey = ValkeyServer(
            data_directory=data.path / "valkey",
            socket_path=run_directory / "valkey.sock",
            log_path=data.logs / "valkey.log",
            environment=environment,
            persistent=kept,
        )
    passwords = data.passwords(roles)
    database_urls = dict(settings.database_urls)
    if postgres is not None:
        for context in CONTEXTS:
            role = role_of(context)
            if role in passwords:
                database_urls[context] = postgres.url(role, role=role, password=passwords[role])
    return Stores(
        database_urls=database_urls,
        redis_url=settings.redis_url or (valkey.url if valkey is not None else ""),
        postgres=postgres,
        valkey=valkey,
        passwords=passwords,
    )
