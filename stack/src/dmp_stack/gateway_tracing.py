"""Has the gateway choose requests to be traced, name them to the services, and send its own spans to a collector."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from dmp_stack.errors import StackError
from dmp_stack.programs import repository_root

CLUSTER: Final = "traces"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OF_THE_CALLER: Final = ("http.url", "peer.address", "user_agent", "grpc.authority", "grpc.content_type", "grpc.path")
"""Tags that may have what the caller said: each is written over."""
_OPENTELEMETRY: Final = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CALLERS_WORD: Final = ("traceparent", "tracestate")


def add_tracing(configuration: dict[str, Any], *, endpoint: str, percent: float) -> None:
    """Changes the gateway's configuration. `endpoint` is the base URL of a collector that takes OTLP over HTTP.

    percent: of the requests. Who calls has no say in it: a `traceparent` from outside is dropped. Of a request the span
    has the route, never the path, the query, the address or the program of the caller.
    """
    url = f"{endpoint.rstrip('/')}/v1/traces"
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise StackError("the collector must be an URL that starts with http:// or https://")
    resources = configuration["static_resources"]
    # Both listeners may be the same object in a file with anchors.
    managers = {id(manager): manager for listener in resources["listeners"] for manager in _managers(listener)}
    for manager in managers.values():
        manager["tracing"] = _tracing(url, percent)
        mutations = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
        mutations.extend({"remove": name} for name in _CALLERS_WORD)
        for log in manager["access_log"]:
            log["typed_config"]["log_format"]["json_format"]["trace_id"] = "%TRACE_ID%"
    resources["clusters"].append(_cluster(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]))


def traced_file(*, endpoint: str, percent: float) -> str:
    """The gateway file of an image, with tracing."""
    configuration: dict[str, Any] = yaml.safe_load((repository_root() / "gateway" / "envoy.yaml").read_text())
    add_tracing(configuration, endpoint=endpoint, percent=percent)
    return json.dumps(configuration, indent=1) + "\n"


def _managers(listener: dict[str, Any]) -> list[dict[str, Any]]:
    return [each["typed_config"] for chain in listener["filter_chains"] for each in chain["filters"]]


def _tracing(url: str, percent: float) -> dict[str, Any]:
    collector = {
        "@type": _OPENTELEMETRY,
        "service_name": "gateway",
        "http_service": {"http_uri": {"uri": url, "cluster": CLUSTER, "timeout": "5s"}},
    }
    untold = {tag: {"tag": tag, "literal": {"value": "-"}} for tag in _OF_THE_CALLER}
    route = {
        "tag": "http.route",
        "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "dmp", "path": [{"key": "path"}]}},
    }
    return {
        "random_sampling": {"value": percent},
        "client_sampling": {"value": 0},
        "max_path_tag_length": 1,
        "custom_tags": [route, *untold.values()],
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": collector},
    }


def _cluster(scheme: str, host: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": host, "port_value": port}}
    cluster: dict[str, Any] = {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if scheme == "https":
        tls = {"@type": _TLS, "sni": host, "common_tls_context": {"validation_context": {"system_root_certs": {}}}}
        cluster["transport_socket"] = {"name": "tls", "typed_config": tls}
    return cluster
