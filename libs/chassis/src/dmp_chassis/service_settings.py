"""The settings that every service has, and the names of their variables."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dmp_chassis.certificates import CertificateFiles, CertificatesUnusableError
from dmp_chassis.redis_address import REDIS_VARIABLE, read_redis_url
from dmp_chassis.settings import EnvReader
from dmp_chassis.store_trust import check_stores

CERTIFICATE_VARIABLES: Final = ("DMP_TLS_CERT_FILE", "DMP_TLS_KEY_FILE", "DMP_TLS_CA_FILE")
"""The certificate that a service shows, its key, and the authority of those that it believes."""

_LEVELS: Final = ("debug", "info", "warning", "error")
_METRICS_PORT_AFTER: Final = 10
"""The metrics of the service on port 50051 are on port 50061, unless it is told otherwise."""
_OFF: Final = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings:
    """What every service can be told."""

    database_url: str
    """`DMP_<SERVICE>_DATABASE_URL`: its own database, for its own role."""
    redis_url: str
    """`DMP_REDIS_URL`: the one that all services share, a server or a cluster (`dmp_chassis.redis_address`)."""
    listen: str
    """`DMP_<SERVICE>_LISTEN`: `host:port` or `unix:/path`."""
    log_level: str
    """`DMP_LOG_LEVEL`."""
    drain_seconds: float
    """`DMP_DRAIN_SECONDS`: how long health says NOT_SERVING before the port closes, for the gateway to notice."""
    action_retention_days: int
    """`DMP_ACTION_RETENTION_DAYS`: how long the audit log of acts is kept; 0 stands for ever."""
    certificates: CertificateFiles | None = None
    """`DMP_TLS_CERT_FILE`, `DMP_TLS_KEY_FILE`, `DMP_TLS_CA_FILE`: what the service shows to other services, and whom it
    believes; None: they talk without TLS."""
    metrics_listen: str = ""
    """`DMP_<SERVICE>_METRICS_LISTEN`: `host:port` where Prometheus reads the metrics; empty if nowhere."""
    otlp_endpoint: str = ""
    """`OTEL_EXPORTER_OTLP_ENDPOINT`: the collector that takes spans, `http://host:port`; empty if none does."""


def read_common(env: EnvReader, service: str, *, port: int) -> CommonSettings:
    """Reads them for a service, which listens on `port` unless it is told otherwise. Problems are noted in `env`."""
    listen = env.address(f"DMP_{service.upper()}_LISTEN", f"0.0.0.0:{port}")
    certificates = read_certificates(env)
    plain = env.boolean("DMP_PLAIN_INSIDE", False)
    if certificates is None and not plain and not _is_only_for_this_machine(listen):
        env.problem(
            f"DMP_{service.upper()}_LISTEN",
            "lets other machines call this service, and without certificates it believes whoever calls: set "
            "DMP_TLS_CERT_FILE, DMP_TLS_KEY_FILE and DMP_TLS_CA_FILE, or, in a network that you trust, "
            "DMP_PLAIN_INSIDE=1",
        )
    database_url = read_database_url(env, service)
    redis_url = read_redis_url(env)
    check_stores(env, {database_variable(service): database_url, REDIS_VARIABLE: redis_url})
    return CommonSettings(
        database_url=database_url,
        redis_url=redis_url,
        listen=listen,
        certificates=certificates,
        log_level=read_log_level(env),
        drain_seconds=env.seconds("DMP_DRAIN_SECONDS", 2.5, maximum=60),
        action_retention_days=env.integer("DMP_ACTION_RETENTION_DAYS", 1095, minimum=0, maximum=36_500),
        metrics_listen=read_metrics_listen(env, service, port=port + _METRICS_PORT_AFTER),
        otlp_endpoint=env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "", schemes=("http", "https")),
    )


def read_certificates(env: EnvReader) -> CertificateFiles | None:
    """The files of the service's certificate, all or none. Their content is read once, for problems to be noted."""
    paths = {name: env.text(name, "") for name in CERTIFICATE_VARIABLES}
    missing = [name for name, path in paths.items() if not path]
    if missing:
        if len(missing) < len(paths):
            env.problem(" and ".join(missing), "must be set, as the others are")
        return None
    certificate, key, authority = map(Path, paths.values())
    files = CertificateFiles(certificate=certificate, key=key, authority=authority)
    try:
        files.read()
    except CertificatesUnusableError as error:
        env.problem(", ".join(paths), f"cannot be used: {error}")
    return files


def _is_only_for_this_machine(listen: str) -> bool:
    host = listen.rpartition(":")[0]
    try:
        return host == "unix" or host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_metrics_listen(env: EnvReader, service: str, *, port: int) -> str:
    """Where the metrics are read, nowhere (empty) for `off`. A problem is noted in `env`."""
    name = f"DMP_{service.upper()}_METRICS_LISTEN"
    if env.text(name, "") == _OFF:
        return ""
    address = env.address(name, f"127.0.0.1:{port}")
    if address.startswith("unix:"):
        env.problem(name, "must be host:port or off")
    return address


def read_database_url(env: EnvReader, service: str) -> str:
    """Where the service's database is. A problem is noted in `env`."""
    return env.url(database_variable(service), schemes=("postgresql",))


def database_variable(service: str) -> str:
    """The name of the variable that has the URL of a service's database."""
    return f"DMP_{service.upper()}_DATABASE_URL"


def read_log_level(env: EnvReader) -> str:
    """From which level on it logs. A problem is noted in `env`."""
    return env.text("DMP_LOG_LEVEL", "info", choices=_LEVELS)


def database_url_from_env(environ: Mapping[str, str], service: str) -> str:
    """All that a command on the service's database alone needs, such as `migrate`. Raises SettingsError."""
    env = EnvReader(environ)
    url = read_database_url(env, service)
    check_stores(env, {database_variable(service): url})
    env.finish()
    return url
