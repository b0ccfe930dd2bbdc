"""What the launcher tells each service, before any of them is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmp_stack.services import Services
from dmp_stack.settings import CONTEXTS

OWN = {
    "DMP_REDIS_URL_FILE": "/secret/redis",
    **{f"DMP_{context.upper()}_DATABASE_URL_FILE": "/secret/url" for context in CONTEXTS},
    **{f"DMP_{context.upper()}_DATABASE_URL": "postgresql://outside" for context in CONTEXTS},
    "DMP_TLS_CERT_FILE": "/mine/cert.pem",
    "DMP_LOG_LEVEL": "debug",
}
"""The launcher's own environment."""


def services(certificates: Path | None = None) -> Services:
    return Services(
        database_urls={context: f"postgresql:///{context}" for context in CONTEXTS},
        redis_url="unix:///redis",
        addresses={context: [f"unix:/{context}-1.sock", f"unix:/{context}-2.sock"] for context in CONTEXTS},
        metrics={context: ["127.0.0.1:7001", ""] for context in CONTEXTS},
        log_directory=Path("/logs"),
        environment=OWN,
        certificates_directory=certificates,
    )


@pytest.mark.parametrize("context", CONTEXTS)
def test_each_replica_has_a_name_a_log_and_a_socket_of_its_own(context: str) -> None:
    first, second = services().serve_specs(context)
    assert (first.name, second.name) == (context, f"{context}-2")
    assert (first.log_path, second.log_path) == (Path(f"/logs/{context}.log"), Path(f"/logs/{context}-2.log"))
    listen = f"DMP_{context.upper()}_LISTEN"
    assert (first.environment[listen], second.environment[listen]) == (
        f"unix:/{context}-1.sock",
        f"unix:/{context}-2.sock",
    )
    assert services().migrate_spec(context).name == f"{context}-migrate"


def test_every_replica_of_ingest_knows_all_replicas_of_its_consumers() -> None:
    for replica in services().serve_specs("ingest"):
        assert replica.environment["DMP_IDENTITY_ADDRESS"] == "unix:/identity-1.sock,unix:/identity-2.sock"
        assert replica.environment["DMP_STATS_ADDRESS"] == "unix:/stats-1.sock,unix:/stats-2.sock"


@pytest.mark.parametrize("context", CONTEXTS)
def test_each_replica_is_told_where_its_metrics_are_read(context: str) -> None:
    told = [spec.environment[f"DMP_{context.upper()}_METRICS_LISTEN"] for spec in services().serve_specs(context)]
    assert told == ["127.0.0.1:7001", "off"]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_is_told_the_way_into_its_own_database_only(context: str) -> None:
    environment = services().serve_specs(context)[0].environment
    ways = {name: value for name, value in environment.items() if "DATABASE" in name}
    assert ways == {f"DMP_{context.upper()}_DATABASE_URL": f"postgresql:///{context}"}
    assert "DMP_REDIS_URL_FILE" not in environment
    assert environment["DMP_REDIS_URL"] == "unix:///redis"
    assert environment["DMP_LOG_LEVEL"] == "debug"


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_shows_its_own_certificate_or_none(context: str) -> None:
    given = services(Path("/made")).serve_specs(context)[0].environment
    files = {name: value for name, value in given.items() if name.startswith("DMP_TLS")}
    assert files == {
        "DMP_TLS_CERT_FILE": f"/made/{context}/cert.pem",
        "DMP_TLS_KEY_FILE": f"/made/{context}/key.pem",
        "DMP_TLS_CA_FILE": f"/made/{context}/ca.pem",
    }
    none = services().serve_specs(context)[0].environment
    assert {value for name, value in none.items() if name.startswith("DMP_TLS")} == {""}
