"""What can be said about a stack before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dmp_chassis.settings import EnvReader

CONTEXTS: Final = ("ingest", "identity", "stats")
"""The services, in the order in which a request meets them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """One stack.

    http_port: 0 takes a free one.
    data_directory: None keeps the data in a temporary directory that goes with the stack.
    database_urls, redis_url: servers that exist already; embedded ones are started only for what is not named here.
    replicas: processes per service, 1 where not named; the gateway spreads calls over all of them.
    service_environment: further variables for the services, over those of this process.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    data_directory: Path | None = Path(".data")
    database_urls: Mapping[str, str] = field(default_factory=dict)
    redis_url: str | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> StackSettings:
        """Reads the environment; raises SettingsError with every problem at once."""
        env = EnvReader(environ)
        data_directory = Path(os.path.abspath(env.text("DMP_DATA_DIR", ".data")))  # noqa: PTH100 - keeps symbolic links
        urls = {context: env.url(database_variable(context), "", schemes=("postgresql",)) for context in CONTEXTS}
        settings = cls(
            http_host=env.text("DMP_HTTP_HOST", "127.0.0.1"),
            http_port=env.integer("DMP_HTTP_PORT", 8080, minimum=0, maximum=65535),
            data_directory=None if env.boolean("DMP_EPHEMERAL", False) else data_directory,
            database_urls={context: url for context, url in urls.items() if url},
            redis_url=env.url("DMP_REDIS_URL", "", schemes=("redis", "rediss", "unix")) or None,
        )
        env.finish()
        return settings


def database_variable(context: str) -> str:
    """The name of the variable that carries a service's database URL."""
    return f"DMP_{context.upper()}_DATABASE_URL"
