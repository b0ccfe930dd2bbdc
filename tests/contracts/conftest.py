"""Clients of the one running system that all contract tests share, through its gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from dmp_stack.stack import Stack

REAL_INPUTS = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Public data that lies beside a checkout, not in it."""

collect_ignore = [] if REAL_INPUTS.is_dir() else ["test_real_inputs.py"]


def pytest_report_collectionfinish() -> str:
    """Says whether the tests on real inputs are among those collected."""
    if REAL_INPUTS.is_dir():
        return f"real inputs: {REAL_INPUTS}"
    return "real inputs: NOT TESTED (test_real_inputs.py is not collected, because ../shared/data is not there)"


@pytest.fixture(scope="session")
def gateway_url(stack: Stack) -> str:
    """Where the gateway listens, without a slash at the end."""
    return stack.http_url.rstrip("/")


@pytest.fixture(scope="session")
def api(gateway_url: str) -> Iterator[httpx.Client]:
    """An HTTP/1.1 client."""
    with httpx.Client(base_url=gateway_url, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def http2_api(gateway_url: str) -> Iterator[httpx.Client]:
    """An HTTP/2 client (without TLS, by prior knowledge)."""
    with httpx.Client(base_url=gateway_url, http1=False, http2=True, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def identity_store_url(stack: Stack) -> str:
    """Identity's database: contacts have a table that the contract describes."""
    return stack.database_url("identity")


@pytest.fixture(scope="session")
def redis_store_url(stack: Stack) -> str:
    """The Redis that domain events go to."""
    return stack.redis_url


@pytest.fixture(scope="session")
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    """A native gRPC channel to the port that speaks JSON too."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    with grpc.insecure_channel(stack.grpc_address, options=options) as opened:
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
