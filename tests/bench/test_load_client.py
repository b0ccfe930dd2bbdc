"""The compiled load client, against the real gateway program and a service that does nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.bodies import GrpcRequests, JsonRequests, Pool
from bench.empty_gateway import empty_system
from bench.load_client import LoadClient, LoadError, LoadResult
from bench.processes import read_memory, read_usage
from bench.system import PATHS
from deploy.certificates.make_certificates import make_certificates
from dmp_stack.gateway_certificates import PublicCertificate


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> LoadClient:
    return LoadClient(tmp_path_factory.mktemp("load"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tuple[str, int], dict[str, int]]]:
    with empty_system(tmp_path_factory.mktemp("empty")) as system:
        yield system


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(seed=1)


def _run(
    client: LoadClient, address: tuple[str, int], bodies: Path, *, transport: str, connections: int, requests: int
) -> LoadResult:
    return client.run(
        transport=transport,
        address=address,
        path=PATHS[transport],
        bodies=bodies,
        connections=connections,
        requests=requests,
    )


@pytest.mark.parametrize("connections", [1, 16])
def test_every_json_request_is_answered_and_its_counts_are_added_up(
    client: LoadClient,
    empty: tuple[tuple[str, int], dict[str, int]],
    pool: Pool,
    tmp_path: Path,
    connections: int,
) -> None:
    JsonRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    result = _run(client, empty[0], tmp_path / "bodies", transport="json", connections=connections, requests=200)
    assert (result.requests, result.accepted, result.duplicates, result.rejected) == (200, 200, 0, 0)
    assert (result.errors, result.statuses, result.applied_answers) == (0, {"200": 200}, 200)
    assert 0 < result.latency_us["p50"] <= result.latency_us["p99"] <= result.latency_us["max"]


def test_grpc_requests_larger_than_a_flow_control_window_arrive_whole(
    client: LoadClient, empty: tuple[tuple[str, int], dict[str, int]], pool: Pool, tmp_path: Path
) -> None:
    GrpcRequests(pool, 1000).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    result = _run(client, empty[0], tmp_path / "bodies", transport="grpc", connections=4, requests=20)
    assert result.accepted == 20 * 1000
    assert (result.errors, result.statuses) == (0, {"200": 20})


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tuple[str, int], Path]]:
    """The address of a gateway that speaks TLS, and whom its callers believe."""
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made)
    public = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    with empty_system(tmp_path_factory.mktemp("empty-tls"), certificate=public) as (address, _):
        yield address, made / "public" / "ca.pem"


@pytest.mark.parametrize(
    ("transport", "batch", "accepted"), [("json", 1, 1), ("json", 1000, 1), ("grpc", 1000, 1000)]
)  # whatever is in a JSON body, the empty service accepts one event
def test_over_tls_every_request_is_answered_too(
    client: LoadClient,
    with_tls: tuple[tuple[str, int], Path],
    pool: Pool,
    tmp_path: Path,
    *,
    transport: str,
    batch: int,
    accepted: int,
) -> None:
    bodies = tmp_path / "bodies"
    kind = JsonRequests if transport == "json" else GrpcRequests
    kind(pool, batch).write(bodies, pool.fresh(1, np.random.default_rng(1)))
    result = client.run(
        transport=transport,
        address=with_tls[0],
        path=PATHS[transport],
        bodies=bodies,
        connections=8,
        requests=40,
        authority=with_tls[1],
    )
    assert (result.errors, result.statuses) == (0, {"200" if transport == "grpc" else "202": 40})
    assert result.accepted == 40 * accepted


def test_a_server_that_the_authority_did_not_sign_is_not_loaded(
    client: LoadClient, with_tls: tuple[tuple[str, int], Path], pool: Pool, tmp_path: Path
) -> None:
    JsonRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    make_certificates(tmp_path / "others")
    with pytest.raises(LoadError, match="handshake"):
        client.run(
            transport="json",
            address=with_tls[0],
            path=PATHS["json"],
            bodies=tmp_path / "bodies",
            connections=1,
            requests=1,
            authority=tmp_path / "others" / "public" / "ca.pem",
        )


def test_a_refused_request_is_not_taken_for_an_accepted_one(
    client: LoadClient, empty: tuple[tuple[str, int], dict[str, int]], pool: Pool, tmp_path: Path
) -> None:
    JsonRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    refused = client.run(
        transport="json", address=empty[0], path="/nothing", bodies=tmp_path / "bodies", connections=2, requests=10
    )
    assert (refused.accepted, refused.statuses) == (0, {"404": 10})
    GrpcRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    unknown = client.run(
        transport="grpc",
        address=empty[0],
        path="/dmp.ingest.v1.IngestService/Nothing",
        bodies=tmp_path / "bodies",
        connections=2,
        requests=10,
    )
    assert (unknown.accepted, unknown.statuses) == (0, {"0": 10})


def test_a_system_that_is_not_there_is_said_so(client: LoadClient, pool: Pool, tmp_path: Path) -> None:
    JsonRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(LoadError, match="connect"):
            _run(client, unused.getsockname(), tmp_path / "bodies", transport="json", connections=1, requests=1)


def test_the_cpu_time_of_a_load_is_found_at_the_processes_that_served_it(
    client: LoadClient, empty: tuple[tuple[str, int], dict[str, int]], pool: Pool, tmp_path: Path
) -> None:
    address, pids = empty
    JsonRequests(pool, 1).write(tmp_path / "bodies", pool.fresh(1, np.random.default_rng(1)))
    before = read_usage(pids)
    _run(client, address, tmp_path / "bodies", transport="json", connections=8, requests=1500)
    spent = read_usage(pids).since(before)
    assert spent["envoy"] > 0.05
    assert spent["empty service"] > 0.05
    assert all(memory["pss"] > 5 for memory in read_memory(pids).values())
