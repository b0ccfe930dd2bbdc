"""The one gateway file, pointed at this machine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dmp_stack.errors import StackError
from dmp_stack.gateway import Gateway
from dmp_stack.programs import envoy_program, repository_root


def gateway(run_path: Path, **upstreams: list[str]) -> Gateway:
    return Gateway(
        host="127.0.0.1",
        port=18099,
        upstreams=upstreams,
        run_directory=run_path,
        log_path=run_path / "gateway.log",
        environment=dict(os.environ),
    )


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def endpoints(configuration: dict[str, Any], cluster: str) -> list[tuple[str, int]]:
    (found,) = (c for c in configuration["static_resources"]["clusters"] if c["name"] == cluster)
    assert found["type"] == "STATIC"
    addresses = [
        endpoint["endpoint"]["address"]["socket_address"]
        for endpoint in found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    return [(address["address"], address["port_value"]) for address in addresses]


def test_every_replica_is_an_endpoint_on_loopback(run_path: Path) -> None:
    configuration = gateway(
        run_path, ingest=["127.0.0.1:1001", "127.0.0.1:1002"], identity=["127.0.0.1:1003"], stats=["127.0.0.1:1004"]
    ).configuration()
    assert endpoints(configuration, "ingest") == [("127.0.0.1", 1001), ("127.0.0.1", 1002)]
    assert endpoints(configuration, "identity") == [("127.0.0.1", 1003)]
    listener = configuration["static_resources"]["listeners"][0]
    assert listener["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": 18099}}


def test_a_replica_may_be_a_socket(run_path: Path) -> None:
    """For the streams of the service too, which are clusters of their own."""
    upstreams = {context: [f"unix:{run_path}/{context}"] for context in ("ingest", "identity", "stats")}
    configuration = gateway(run_path, **upstreams).configuration()
    for cluster in configuration["static_resources"]["clusters"]:
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        path = str(run_path / cluster["name"].removesuffix("_streams"))
        assert endpoint["endpoint"]["address"] == {"pipe": {"path": path}}


def test_every_file_is_found_on_this_machine(run_path: Path) -> None:
    configuration = gateway(
        run_path, ingest=["127.0.0.1:1001"], identity=["127.0.0.1:1002"], stats=["127.0.0.1:1003"]
    ).configuration()
    assert not [text for text in strings(configuration) if text.startswith("/etc/envoy")]
    assert str(repository_root() / "protos" / "gen" / "dmp.binpb") in strings(configuration)


def test_all_else_is_as_in_the_file(run_path: Path) -> None:
    source = yaml.safe_load((repository_root() / "gateway" / "envoy.yaml").read_text())
    configuration = gateway(
        run_path, ingest=["127.0.0.1:1001"], identity=["127.0.0.1:1002"], stats=["127.0.0.1:1003"]
    ).configuration()
    for before, after in zip(
        source["static_resources"]["clusters"], configuration["static_resources"]["clusters"], strict=True
    ):
        changed = {"type", "load_assignment", "transport_socket"}
        same = set(before) - changed - {key for key in before if key.startswith("dns_")}
        assert {key: before[key] for key in same} == {key: after[key] for key in same}


def filters(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    (chain,) = configuration["static_resources"]["listeners"][0]["filter_chains"]
    found: list[dict[str, Any]] = chain["filters"][0]["typed_config"]["http_filters"]
    return found


def test_without_keys_no_filter_asks_for_one_and_with_keys_they_come_from_the_folder(run_path: Path) -> None:
    upstreams = {"ingest": ["127.0.0.1:1001"], "identity": ["127.0.0.1:1002"], "stats": ["127.0.0.1:1003"]}
    asking = filters(replace(gateway(run_path, **upstreams), keys_folder=run_path / "told").configuration())
    names = [each["name"] for each in asking]
    assert names.index("authenticate") < names.index("limit") < names.index("whole_body")
    assert names.index("transcoder") < names.index("authorize") < names.index("router")
    assert {text for each in asking[:3] for text in strings(each) if text.startswith(str(run_path))} == {
        str(run_path / "told"),
        str(run_path / "told" / "authenticate.json"),
        str(run_path / "told" / "limit.json"),
    }
    silent = filters(gateway(run_path, **upstreams).configuration())
    assert [each["name"] for each in silent] == [
        name for name in names if name not in ("authenticate", "limit", "authorize")
    ]


def test_envoy_accepts_it(run_path: Path) -> None:
    spec = gateway(
        run_path, ingest=["127.0.0.1:1001", "127.0.0.1:1002"], identity=["127.0.0.1:1003"], stats=["127.0.0.1:1004"]
    ).child_spec()
    configuration = run_path / "envoy.json"
    assert json.loads(configuration.read_text())["admin"]["address"]["pipe"]["path"] == str(run_path / "envoy.sock")
    assert str(configuration) in spec.argv
    result = subprocess.run(
        [str(envoy_program()), "--mode", "validate", "--config-path", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_cluster_that_no_service_stands_for_is_an_error(run_path: Path) -> None:
    with pytest.raises(StackError, match="cluster 'stats'"):
        gateway(run_path, ingest=["127.0.0.1:1001"], identity=["127.0.0.1:1002"]).configuration()
