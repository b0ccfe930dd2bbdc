"""What can be said about a stack before it starts."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dmp_chassis.settings import EnvReader, SettingsError

CONTEXTS: Final = ("ingest", "identity", "stats")
"""The services, in the order in which a request meets them."""

_OPEN: Final = (
    "DMP_HTTP_HOST lets other machines in, and without API keys whoever reaches the port may erase people: set "
    "DMP_API_KEYS=1, or DMP_HTTP_HOST=127.0.0.1, or, if it is meant so, DMP_OPEN_TO_ANYBODY=1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """One stack.

    http_port: 0 takes a free one.
    data_directory: None keeps the data in a temporary directory that goes with the stack.
    database_urls, redis_url: servers that exist already; embedded ones are started only for what is not named here.
    replicas: processes per service, 1 where not named; the gateway spreads calls over all of them.
    service_environment: further variables for the services, over those of this process.
    api_keys: whether callers need a key. keys_directory: where the keys are; None for `keys` in the data directory.
    open_to_anybody: lets a stack without keys listen where others reach it.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 8080
    data_directory: Path | None = Path(".data")
    database_urls: Mapping[str, str] = field(default_factory=dict)
    redis_url: str | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    service_environment: Mapping[str, str] = field(default_factory=dict)
    api_keys: bool = False
    keys_directory: Path | None = None
    open_to_anybody: bool = False

    def __post_init__(self) -> None:
        """Raises SettingsError if others could do what they like with people."""
        if not (self.api_keys or self.open_to_anybody or is_loopback(self.http_host)):
            raise SettingsError([_OPEN])

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> StackSettings:
        """Reads the environment; raises SettingsError with every problem at once."""
        env = EnvReader(environ)
        data_directory = Path(os.path.abspath(env.text("DMP_DATA_DIR", ".data")))  # noqa: PTH100 - keeps symbolic links
        urls = {context: env.url(database_variable(context), "", schemes=("postgresql",)) for context in CONTEXTS}
        keys_directory = env.text("DMP_KEYS_DIR", "")
        given: dict[str, Any] = {
            "http_host": env.text("DMP_HTTP_HOST", "127.0.0.1"),
            "http_port": env.integer("DMP_HTTP_PORT", 8080, minimum=0, maximum=65535),
            "data_directory": None if env.boolean("DMP_EPHEMERAL", False) else data_directory,
            "database_urls": {context: url for context, url in urls.items() if url},
            "redis_url": env.url("DMP_REDIS_URL", "", schemes=("redis", "rediss", "unix")) or None,
            "api_keys": env.boolean("DMP_API_KEYS", False),
            "keys_directory": Path(keys_directory).absolute() if keys_directory else None,
            "open_to_anybody": env.boolean("DMP_OPEN_TO_ANYBODY", False),
        }
        env.finish()
        return cls(**given)


def database_variable(context: str) -> str:
    """The name of the variable that carries a service's database URL."""
    return f"DMP_{context.upper()}_DATABASE_URL"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name that is not an address may be anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
