"""Envoy with nothing but transcoding, in front of the empty service: the limit for one event per request."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmp_stack.programs import envoy_program

_DESCRIPTORS = Path(__file__).resolve().parent.parent / "protos" / "gen" / "dmp.binpb"
_START_SECONDS = 20.0
_MAX_BODY_BYTES = 16 * 1024 * 1024
_TYPES = "type.googleapis.com/envoy.extensions"


@contextmanager
def empty_system(directory: Path) -> Iterator[tuple[tuple[str, int], dict[str, int]]]:
    """Runs both; yields the gateway's host and port, and the process ids by name."""
    service = subprocess.Popen(
        [sys.executable, "-m", "bench.empty_service"],
        cwd=_DESCRIPTORS.parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout is not None
        upstream = int(service.stdout.readline())
        admin_path = directory / "empty-admin"
        envoy = subprocess.Popen(
            [
                str(envoy_program()), "--config-yaml", json.dumps(_configuration(upstream)), "--use-dynamic-base-id",
                "--admin-address-path", str(admin_path), "--log-level", "error", "--concurrency", "1",
            ]
        )  # fmt: skip
        try:
            port = _listening_port(admin_path)
            yield ("127.0.0.1", port), {"envoy": envoy.pid, "empty service": service.pid}
        finally:
            envoy.terminate()
            envoy.wait()
    finally:
        service.communicate("")


def _listening_port(admin_path: Path) -> int:
    """The port that Envoy chose, once it listens."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{admin_path.read_text()}/listeners?format=json", timeout=1) as answer:
                for listener in json.load(answer)["listener_statuses"]:
                    return int(listener["local_address"]["socket_address"]["port_value"])
        except (OSError, KeyError, ValueError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("Envoy did not start")
        time.sleep(0.05)


def _configuration(upstream: int) -> dict[str, Any]:
    buffer_bytes = 1024 * 1024
    transcoder = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(_DESCRIPTORS),
        "services": ["dmp.ingest.v1.IngestService"],
        "match_incoming_request_route": True,
        "convert_grpc_status": True,
        "max_request_body_size": _MAX_BODY_BYTES,
        "request_validation_options": {"reject_unknown_method": True},
    }
    connection_manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "empty",
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}},
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "60s"}}],
                }
            ]
        },
    }
    loopback = {"address": "127.0.0.1"}
    return {
        "admin": {"address": {"socket_address": {**loopback, "port_value": 0}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "public",
                    "address": {"socket_address": {**loopback, "port_value": 0}},
                    "per_connection_buffer_limit_bytes": buffer_bytes,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": connection_manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "service",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "service",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": {"socket_address": {**loopback, "port_value": upstream}}}}
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }
