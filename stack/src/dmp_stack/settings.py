"""What can be said about a stack before it starts."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dmp_chassis.certificates import CertificateFiles, CertificatesUnusableError
from dmp_chassis.redis_address import REDIS_VARIABLE, read_redis_url
from dmp_chassis.service_settings import database_variable
from dmp_chassis.settings import EnvReader, SettingsError
from dmp_chassis.store_trust import check_stores
from dmp_stack.gateway_certificates import PublicCertificate

CONTEXTS: Final = ("ingest", "identity", "stats")
"""The services, in the order in which a request meets them."""

_MOST_REPLICAS: Final = 16

_SHARES: Final = {"ingest": 0.38, "identity": 0.24, "stats": 0.07}
"""How much of all work each service does at most, whether events come one or a thousand a request: the rest is the
databases', the gateway's and Valkey's. From the table "CPU us/event" in docs/performance.md."""

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
    public_certificate: what the gateway shows to callers, with TLS; None: they speak plain HTTP.
    certificates_directory: what the gateway and the services show to each other, as `deploy/certificates` makes it;
    None: they speak without TLS, over sockets that only their user can reach.
    postgres_seed: the data directory of a stopped PostgreSQL. An embedded one that has no data yet begins with a copy:
    tests start many stacks, and make databases once.
    metrics_listen: where the metrics of a service are read, `host:port` or `off`; a free loopback port where not named.
    canary: whether a canary sends events of its own, and where its metrics are read (`host:port`; empty: a free port).
    access_log_percent: of the answers below 500, how many the gateway logs; it logs all others.
    otlp_endpoint: the collector that takes spans, `http://host:port`; empty: nothing is traced. trace_percent: of the
    requests.
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
    public_certificate: PublicCertificate | None = None
    certificates_directory: Path | None = None
    postgres_seed: Path | None = None
    metrics_listen: Mapping[str, str] = field(default_factory=dict)
    canary: bool = False
    canary_metrics_listen: str = ""
    access_log_percent: int = 1
    otlp_endpoint: str = ""
    trace_percent: float = 1.0

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
        redis_url = read_redis_url(env, "")
        check_stores(
            env, {**{database_variable(context): url for context, url in urls.items()}, REDIS_VARIABLE: redis_url}
        )
        keys_directory = env.text("DMP_KEYS_DIR", "")
        metrics = {context: env.text(metrics_variable(context), "") for context in CONTEXTS}
        metrics = {
            context: told if told == "off" else env.address(metrics_variable(context))
            for context, told in metrics.items()
            if told
        }
        given: dict[str, Any] = {
            "http_host": env.text("DMP_HTTP_HOST", "127.0.0.1"),
            "http_port": env.integer("DMP_HTTP_PORT", 8080, minimum=0, maximum=65535),
            "data_directory": None if env.boolean("DMP_EPHEMERAL", False) else data_directory,
            "database_urls": {context: url for context, url in urls.items() if url},
            "redis_url": redis_url or None,
            "replicas": _replicas(env),
            "api_keys": env.boolean("DMP_API_KEYS", False),
            "keys_directory": Path(keys_directory).absolute() if keys_directory else None,
            "open_to_anybody": env.boolean("DMP_OPEN_TO_ANYBODY", False),
            "public_certificate": _public_certificate(env),
            "certificates_directory": _certificates_directory(env),
            "metrics_listen": metrics,
            "canary": env.boolean("DMP_CANARY", False),
            "canary_metrics_listen": env.address("DMP_CANARY_METRICS_LISTEN", ""),
            "access_log_percent": env.integer("DMP_ACCESS_LOG_PERCENT", 1, minimum=0, maximum=100),
            "otlp_endpoint": env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "", schemes=("http", "https")),
            "trace_percent": env.number("DMP_TRACE_PERCENT", 1.0, minimum=0, maximum=100),
        }
        env.finish()
        return cls(**given)


def _replicas(env: EnvReader) -> dict[str, int]:
    replicas = {}
    for context in CONTEXTS:
        name = f"DMP_{context.upper()}_REPLICAS"
        told = env.text(name, "1")
        if told == "auto":
            replicas[context] = replicas_for(context, cores=_cores())
        elif told.isascii() and told.isdecimal() and 1 <= int(told[:3]) <= _MOST_REPLICAS:
            replicas[context] = int(told)
        else:
            env.problem(name, f"must be a whole number from 1 to {_MOST_REPLICAS}, or auto")
    return replicas


def replicas_for(context: str, *, cores: int) -> int:
    """How many processes of a service `auto` starts: each has one core at most, and all of them get their share."""
    return max(1, min(_MOST_REPLICAS, round(cores * _SHARES[context])))


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _public_certificate(env: EnvReader) -> PublicCertificate | None:
    paths = {name: env.text(name, "") for name in ("DMP_HTTP_CERT_FILE", "DMP_HTTP_KEY_FILE")}
    if not any(paths.values()):
        return None
    missing = [name for name, path in paths.items() if not path]
    if missing:
        env.problem(missing[0], "must be set, as the other one is")
    certificate, key = (Path(path).absolute() for path in paths.values())
    # A certificate is an authority of itself: what is asked is whether both can be read and belong together.
    _check(env, " and ".join(paths), CertificateFiles(certificate=certificate, key=key, authority=certificate))
    return PublicCertificate(certificate=certificate, key=key)


def _certificates_directory(env: EnvReader) -> Path | None:
    name = "DMP_CERTIFICATES_DIR"
    text = env.text(name, "")
    if not text:
        return None
    directory = Path(text).absolute()
    for part in ("gateway", *CONTEXTS):
        folder = directory / part
        files = CertificateFiles(certificate=folder / "cert.pem", key=folder / "key.pem", authority=folder / "ca.pem")
        _check(env, name, files, what=f" for {part}")
    return directory


def _check(env: EnvReader, name: str, files: CertificateFiles, *, what: str = "") -> None:
    try:
        files.read()
    except CertificatesUnusableError as error:
        env.problem(name, f"cannot be used{what}: {error}")


def metrics_variable(context: str) -> str:
    """The name of the variable that says where a service's metrics are read."""
    return f"DMP_{context.upper()}_METRICS_LISTEN"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there. A name that is not an address may be anything."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
