"""The settings that every service has, and the names of their variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dmp_chassis.settings import EnvReader

_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings:
    """What every service can be told."""

    database_url: str
    """`DMP_<SERVICE>_DATABASE_URL`: its own database, for its own role."""
    redis_url: str
    """`DMP_REDIS_URL`: the one that all services share."""
    listen: str
    """`DMP_<SERVICE>_LISTEN`: `host:port` or `unix:/path`."""
    log_level: str
    """`DMP_LOG_LEVEL`."""
    drain_seconds: float
    """`DMP_DRAIN_SECONDS`: how long health says NOT_SERVING before the port closes, for the gateway to notice."""


def read_common(env: EnvReader, service: str, *, port: int) -> CommonSettings:
    """Reads them for a service, which listens on `port` unless it is told otherwise. Problems are noted in `env`."""
    return CommonSettings(
        database_url=read_database_url(env, service),
        redis_url=env.url("DMP_REDIS_URL", schemes=("redis", "rediss", "unix")),
        listen=env.address(f"DMP_{service.upper()}_LISTEN", f"0.0.0.0:{port}"),
        log_level=read_log_level(env),
        drain_seconds=env.seconds("DMP_DRAIN_SECONDS", 2.5, maximum=60),
    )


def read_database_url(env: EnvReader, service: str) -> str:
    """Where the service's database is. A problem is noted in `env`."""
    return env.url(f"DMP_{service.upper()}_DATABASE_URL", schemes=("postgresql",))


def read_log_level(env: EnvReader) -> str:
    """From which level on it logs. A problem is noted in `env`."""
    return env.text("DMP_LOG_LEVEL", "info", choices=_LEVELS)


def database_url_from_env(environ: Mapping[str, str], service: str) -> str:
    """All that a command on the service's database alone needs, such as `migrate`. Raises SettingsError."""
    env = EnvReader(environ)
    url = read_database_url(env, service)
    env.finish()
    return url
