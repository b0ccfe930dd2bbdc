"""Callers share the gateway's connections to a service: what one sends does not reach the calls of another.

gRPC's library keeps a header that it could not read in the header table of the connection, and hands the error to every
later call whose header refers to that entry: six calls with `grpc-timeout: abc` ended everybody's calls until the
connection ended. Several things are in the way: the script and the connection manager, which let no such header
through, the header table that is off, and connections of their own for native calls. Each is tried without the others.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dmp_stack.gateway import Gateway
from tests.gateway.backends import Backend
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.http2 import native_call

GET_EVENT = "/dmp.ingest.v1.IngestService/GetEvent"
OK, INVALID_ARGUMENT = "0", "3"

MALFORMED_DEADLINES = ["abc", "1", "S", "1s", "123456789S", "-1S", "1.5S", "1S ", "1S,1S", "0x1S", "1S;"]


class WithoutTheScript(Gateway):
    """A gateway that lets every header through: nothing checks requests."""

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        # Without the limit the connection manager leaves deadlines alone that it cannot read.
        del manager(configuration)["common_http_protocol_options"]["max_stream_duration"]
        for each in filters(configuration):
            if each["name"] == "check_requests":
                each["typed_config"]["default_source_code"] = {"inline_string": "function envoy_on_request(handle) end"}
        return configuration


class WithTheHeaderTableOff(WithoutTheScript):
    """All that is left: connections without a header table."""

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        for route in configured_routes(configuration):
            route.get("route", {}).pop("priority", None)
        return configuration


class WithConnectionsApart(WithoutTheScript):
    """All that is left: native calls have other connections than JSON."""

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        for cluster in configuration["static_resources"]["clusters"]:
            (options,) = cluster["typed_extension_protocol_options"].values()
            del options["explicit_http_config"]["http2_protocol_options"]["hpack_table_size"]
        return configuration


def manager(configuration: dict[str, Any]) -> dict[str, Any]:
    (chain,) = configuration["static_resources"]["listeners"][0]["filter_chains"]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


def filters(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manager(configuration)["http_filters"]
    return found


def configured_routes(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    (host,) = manager(configuration)["route_config"]["virtual_hosts"]
    found: list[dict[str, Any]] = host["routes"]
    return found


def poison(url: str, times: int = 6) -> None:
    for _ in range(times):
        native_call(url, GET_EVENT, [("grpc-timeout", "abc")])


def json_statuses(url: str, count: int = 20) -> set[int]:
    found = set()
    for number in range(count):
        found.add(httpx.get(f"{url}/events/e-{number}", trust_env=False).status_code)
        found.add(httpx.post(f"{url}/events", content=b"{}", trust_env=False).status_code)
    return found


def run(runner: GatewayRunner, kind: type[Gateway], backends: Backends) -> str:
    ports = {name: [backend.port] for name, backend in named(backends).items()}
    return runner.run(kind, **ports)


def named(backends: Backends) -> dict[str, Backend]:
    return {"ingest": backends.ingest, "identity": backends.identity, "stats": backends.stats}


def test_without_a_header_table_nothing_is_kept(runner: GatewayRunner, backends: Backends) -> None:
    url = run(runner, WithTheHeaderTableOff, backends)
    poison(url)
    assert json_statuses(url) == {200, 202}
    assert native_call(url, GET_EVENT, [("grpc-timeout", "9S")])["grpc-status"] == OK


def test_native_calls_have_connections_of_their_own(runner: GatewayRunner, backends: Backends) -> None:
    url = run(runner, WithConnectionsApart, backends)
    poison(url)
    assert json_statuses(url) == {200, 202}


def test_all_together_nobody_notices(gateway_url: str, backends: Backends) -> None:
    poison(gateway_url)
    assert json_statuses(gateway_url) == {200, 202}
    assert native_call(gateway_url, GET_EVENT, [("grpc-timeout", "9S")])["grpc-status"] == OK


@pytest.mark.parametrize("deadline", MALFORMED_DEADLINES)
def test_a_deadline_that_is_none_is_refused(gateway_url: str, backends: Backends, deadline: str) -> None:
    answer = native_call(gateway_url, GET_EVENT, [("grpc-timeout", deadline)])
    assert answer["grpc-status"] == INVALID_ARGUMENT
    assert "grpc-timeout" in answer["grpc-message"]
    assert not backends.ingest.calls


@pytest.mark.parametrize("deadline", ["", "5S", "99999999H", "99999999M", "5000m", "10000000u"])
def test_any_other_deadline_is_taken(gateway_url: str, backends: Backends, deadline: str) -> None:
    assert native_call(gateway_url, GET_EVENT, [("grpc-timeout", deadline)])["grpc-status"] == OK


@pytest.mark.parametrize("name", ["x!a", "x~", "a*b", "x'y", "x|y", "x`y", "^x", "#x"])
def test_a_header_name_that_gRPC_does_not_know_is_refused(  # noqa: N802  # the protocol's name
    gateway_url: str, backends: Backends, name: str
) -> None:
    assert native_call(gateway_url, GET_EVENT, [(name, "1")])["grpc-status"] == INVALID_ARGUMENT
    for version in (True, False):
        with httpx.Client(base_url=gateway_url, http1=not version, http2=version, trust_env=False) as client:
            answer = client.get("/events/e", headers={name: "secret"})
        assert answer.status_code == 400
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
        assert "secret" not in answer.text
    assert not backends.ingest.calls


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\x80", "é".encode()])
def test_native_metadata_is_ascii(gateway_url: str, backends: Backends, value: bytes) -> None:
    answer = native_call(gateway_url, GET_EVENT, [("x-note", value)])
    assert (answer["grpc-status"], answer["grpc-message"]) == (INVALID_ARGUMENT, "x-note must be ASCII")
    assert not backends.ingest.calls
