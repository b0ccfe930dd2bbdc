"""Envoy in front of the empty service: the limit for one event per request.

Once with nothing but transcoding, and once with the product's own gateway file, so that the difference is what the
gateway's filters cost.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmp_stack.gateway import Gateway
from dmp_stack.gateway_certificates import GatewayCertificates, PublicCertificate
from dmp_stack.programs import envoy_program, repository_root

_START_SECONDS = 30.0
_MAX_BODY_BYTES = 16 * 1024 * 1024
_TYPES = "type.googleapis.com/envoy.extensions"
_LOOPBACK = "127.0.0.1"


@contextmanager
def empty_system(
    directory: Path, *, own_gateway: bool = False, certificate: PublicCertificate | None = None
) -> Iterator[tuple[tuple[str, int], dict[str, int]]]:
    """Runs both; yields the gateway's host and port, and the process ids by name.

    own_gateway: with the product's gateway file instead of the barest one. certificate: with which the product's
    gateway speaks TLS.
    """
    service = subprocess.Popen(
        [sys.executable, "-m", "bench.empty_service"],
        cwd=repository_root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout is not None
        upstream, port = int(service.stdout.readline()), _free_port()
        certificates = GatewayCertificates(public=certificate)
        own = own_gateway or certificate is not None
        command = _own_command(directory, port, upstream, certificates) if own else _bare_command(port, upstream)
        with (directory / "envoy.log").open("wb") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_serving("http" if certificate is None else "https", port)
            yield (_LOOPBACK, port), {"envoy": envoy.pid, "empty service": service.pid}
        finally:
            envoy.terminate()
            envoy.wait()
    finally:
        service.communicate("")


def _own_command(directory: Path, port: int, upstream: int, certificates: GatewayCertificates) -> Sequence[str]:
    return (
        Gateway(
            host=_LOOPBACK,
            port=port,
            upstreams={context: [f"{_LOOPBACK}:{upstream}"] for context in ("ingest", "identity", "stats")},
            run_directory=directory,
            log_path=directory / "envoy.log",
            environment={},
            certificates=certificates,
        )
        .child_spec()
        .argv
    )


def _bare_command(port: int, upstream: int) -> Sequence[str]:
    """The same number of workers as the product's."""
    return (
        str(envoy_program()),
        "--config-yaml", json.dumps(_configuration(port, upstream)),
        "--concurrency", str(min(2, os.cpu_count() or 1)),
        "--disable-hot-restart",
        "--log-level", "error",
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _wait_serving(scheme: str, port: int) -> None:
    """Returns once an event is answered, by whoever listens there."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            url = f"{scheme}://{_LOOPBACK}:{port}/events"
            urllib.request.urlopen(url, data=b"{}", timeout=5, context=anybody).close()  # noqa: S310 - http or https
        except (OSError, urllib.error.URLError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError("Envoy did not start") from error
            time.sleep(0.05)  # between two questions whether it serves
        else:
            return


def _configuration(port: int, upstream: int) -> dict[str, Any]:
    buffer_bytes = 1024 * 1024
    transcoder = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(repository_root() / "protos" / "gen" / "dmp.binpb"),
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
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "public",
                    "address": {"socket_address": {"address": _LOOPBACK, "port_value": port}},
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
                                    {
                                        "endpoint": {
                                            "address": {
                                                "socket_address": {"address": _LOOPBACK, "port_value": upstream}
                                            }
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }
