"""Clients of the one running system that all contract tests share, through its gateway.

It is a stack of the session's own, or one that runs already, however it was started: then DMP_TEST_HTTP_URL has the
address of its gateway, DMP_TEST_IDENTITY_DATABASE_URL and DMP_TEST_REDIS_URL those of the stores that tests look into.
With DMP_TEST_TLS=1 the session's own speaks TLS to callers, and mutual TLS inside; of one that runs already and speaks
TLS, SSL_CERT_FILE has the authority.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import httpx
import pytest

from deploy.certificates.make_certificates import make_certificates
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from dmp_stack.gateway_certificates import PublicCertificate
from dmp_stack.stack import Stack

REAL_INPUTS = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Public data that lies beside a checkout, not in it."""

collect_ignore = [] if REAL_INPUTS.is_dir() else ["test_real_inputs.py"]


def pytest_report_collectionfinish() -> str:
    """Says whether the tests on real inputs are among those collected."""
    if REAL_INPUTS.is_dir():
        return f"real inputs: {REAL_INPUTS}"
    return "real inputs: NOT TESTED (test_real_inputs.py is not collected, because ../shared/data is not there)"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Where the system under test is reached. `http_url` is without a slash at the end; gRPC has the same port."""

    http_url: str
    identity_store_url: str
    redis_store_url: str


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest) -> System:
    """The one that the environment names, else a stack that starts now."""
    if http_url := os.environ.get("DMP_TEST_HTTP_URL"):
        return System(
            http_url=http_url.rstrip("/"),
            identity_store_url=os.environ["DMP_TEST_IDENTITY_DATABASE_URL"],
            redis_store_url=os.environ["DMP_TEST_REDIS_URL"],
        )
    stack: Stack = request.getfixturevalue("tls_stack" if os.environ.get("DMP_TEST_TLS") else "stack")
    return System(
        http_url=stack.http_url.rstrip("/"),
        identity_store_url=stack.database_url("identity"),
        redis_store_url=stack.redis_url,
    )


@pytest.fixture(scope="session")
def tls_stack(new_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with TLS everywhere; this process believes its authority."""
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made)
    public = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    os.environ["SSL_CERT_FILE"] = str(made / "public" / "ca.pem")
    with new_stack(public_certificate=public, certificates_directory=made) as running:
        yield running
    del os.environ["SSL_CERT_FILE"]


@pytest.fixture(scope="session")
def believed(system: System) -> ssl.SSLContext | bool:
    """Whom clients believe: those of this machine, and SSL_CERT_FILE."""
    return ssl.create_default_context() if system.http_url.startswith("https:") else True


@pytest.fixture(scope="session")
def gateway_url(system: System) -> str:
    """Where the gateway listens, without a slash at the end."""
    return system.http_url


@pytest.fixture(scope="session")
def api(gateway_url: str, believed: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """An HTTP/1.1 client."""
    with httpx.Client(base_url=gateway_url, verify=believed, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def crowd(gateway_url: str, believed: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """A client for up to 64 threads, with a connection for each."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    with httpx.Client(base_url=gateway_url, verify=believed, timeout=60.0, trust_env=False, limits=limits) as client:
        yield client


@pytest.fixture(scope="session")
def http2_api(gateway_url: str, believed: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """An HTTP/2 client (without TLS, by prior knowledge)."""
    with httpx.Client(
        base_url=gateway_url, verify=believed, http1=False, http2=True, timeout=30.0, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def identity_store_url(system: System) -> str:
    """Identity's database: contacts have a table that the contract describes."""
    return system.identity_store_url


@pytest.fixture(scope="session")
def redis_store_url(system: System) -> str:
    """The Redis that domain events go to."""
    return system.redis_store_url


@pytest.fixture(scope="session")
def channel(gateway_url: str) -> Iterator[grpc.Channel]:
    """A native gRPC channel to the port that speaks JSON too."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    parts = urlsplit(gateway_url)
    if parts.scheme == "https":
        credentials = grpc.ssl_channel_credentials(Path(os.environ["SSL_CERT_FILE"]).read_bytes())
        opened = grpc.secure_channel(parts.netloc, credentials, options)
    else:
        opened = grpc.insecure_channel(parts.netloc, options)
    with opened:
        yield opened


@pytest.fixture(scope="session")
def ingest(channel: grpc.Channel) -> IngestServiceStub:
    return IngestServiceStub(channel)


@pytest.fixture(scope="session")
def identity(channel: grpc.Channel) -> IdentityServiceStub:
    return IdentityServiceStub(channel)


@pytest.fixture(scope="session")
def stats(channel: grpc.Channel) -> StatsServiceStub:
    return StatsServiceStub(channel)
