"""Envoy with the gateway file that also serves compose and Kubernetes: addresses and paths are changed as data."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from dmp_stack.child import ChildSpec
from dmp_stack.errors import StackError
from dmp_stack.gateway_certificates import GatewayCertificates
from dmp_stack.gateway_tracing import add_tracing
from dmp_stack.programs import console_directory, documentation_directory, envoy_program, repository_root

IMAGE_FOLDER = "/etc/envoy/"
"""Where the gateway file's own files are in a container."""

CONSOLE = "console/"
"""The folder of the console in it. Where that was not made, a page in its place says so."""

STREAMS = "_streams"
"""How the name of a cluster ends that has the streams of a service: the same endpoints with a limit of their own."""

KEY_FILTERS = ("authenticate", "limit", "authorize")
"""The filters that ask for API keys."""

ACTIVE_REQUESTS = "downstream_rq_active"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """What the gateway knows of a replica: whether it is well, and how many requests wait for its answer."""

    well: bool
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One Envoy. `upstreams` has, by cluster name, the addresses (`unix:/path` or `host:port`) of its endpoints.

    keys_folder: what `dmp_stack.keys` has written for it; None asks nobody for a key.
    certificates: what it shows to callers and to the services, and so whether it speaks TLS to them.
    otlp_endpoint: the collector that takes spans; empty if none does. trace_percent: of the requests.
    """

    host: str
    port: int
    upstreams: Mapping[str, Sequence[str]]
    run_directory: Path
    log_path: Path
    environment: Mapping[str, str]
    keys_folder: Path | None = None
    certificates: GatewayCertificates = field(default_factory=GatewayCertificates)
    access_log_percent: int = 1
    otlp_endpoint: str = ""
    trace_percent: float = 1.0

    @property
    def admin_socket(self) -> Path:
        return self.run_directory / "envoy.sock"

    def child_spec(self) -> ChildSpec:
        """Writes the configuration and says how to run Envoy with it."""
        config_path = self.run_directory / "envoy.json"
        config_path.write_text(json.dumps(self.configuration()))
        return ChildSpec(
            name="gateway",
            argv=(
                str(envoy_program()),
                "--config-path", str(config_path),
                "--concurrency", str(_workers(os.cpu_count() or 1)),
                "--disable-hot-restart",  # its shared memory would tie two stacks on one machine together
                "--log-level", "warning",
                "--component-log-level", "http:off,filter:off,http2:off",  # they log paths with queries
                "--file-flush-interval-msec", "500",
            ),
            environment=self.environment,
            log_path=self.log_path,
        )  # fmt: skip

    def configuration(self) -> dict[str, Any]:
        """The gateway file with this machine's addresses and paths."""
        source = repository_root() / "gateway" / "envoy.yaml"
        configuration: dict[str, Any] = yaml.safe_load(source.read_text())
        configuration["admin"] = {"address": {"pipe": {"path": str(self.admin_socket), "mode": 0o600}}}
        # Before the layer of the admin interface, which has the last word.
        settings = {"name": "settings", "static_layer": {"access_log.sampled_percent": self.access_log_percent}}
        configuration["layered_runtime"]["layers"].insert(0, settings)
        listener = self.certificates.apply(configuration["static_resources"], self.run_directory)
        listener["address"] = {"socket_address": {"address": self.host, "port_value": self.port}}
        _ask_for_keys(listener, self.keys_folder)
        listener["enable_reuse_port"] = False  # a second gateway on the port must fail, not share its connections
        for cluster in configuration["static_resources"]["clusters"]:
            addresses = self.upstreams.get(cluster["name"].removesuffix(STREAMS))
            if addresses is None:
                raise StackError(f"{source} has a cluster {cluster['name']!r} that no service stands for")
            _point_to(cluster, addresses)
        if self.otlp_endpoint:
            add_tracing(configuration, endpoint=self.otlp_endpoint, percent=self.trace_percent)
        paths = _FilePaths.of_this_machine()
        return {key: paths.replace(value) for key, value in configuration.items()}

    def drain(self, *, timeout_seconds: float, pause: Callable[[float], None] = time.sleep) -> None:
        """Takes no new connections and returns once no request is being answered, or after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._ask("POST", "/drain_listeners")
            while time.monotonic() < deadline and self._active_requests() > 0:
                pause(0.02)

    def replicas(self, context: str) -> list[ReplicaState]:
        """The replicas of a service, in the order of their addresses. Raises OSError if the gateway does not answer."""
        (found,) = (
            each for each in json.loads(self._ask("GET", "/clusters?format=json"))["cluster_statuses"]
            if each["name"] == context
        )  # fmt: skip
        states = {}
        for host in found.get("host_statuses", ()):
            counters = {each["name"]: int(each.get("value", 0)) for each in host["stats"]}
            well = not any(value is True for value in host["health_status"].values())
            states[_text(host["address"])] = ReplicaState(well=well, requests=counters["rq_active"])
        return [states[address] for address in self.upstreams[context] if address in states]

    def _active_requests(self) -> int:
        statistics = self._ask("GET", f"/stats?filter=^http\\.public\\.{ACTIVE_REQUESTS}$")
        return sum(int(line.rpartition(":")[2]) for line in statistics.splitlines() if ACTIVE_REQUESTS in line)

    def _ask(self, method: str, path: str) -> str:
        with contextlib.closing(_UnixConnection(self.admin_socket, timeout_seconds=1.0)) as connection:
            connection.request(method, path)
            return connection.getresponse().read().decode()


def wait_healthy(url: str, *, timeout_seconds: float, pause: Callable[[float], None] = time.sleep) -> None:
    """Returns once `GET /healthz` answers 200. Raises StackError, with the last answer, when time is up."""
    deadline = time.monotonic() + timeout_seconds
    while (answer := health(url)) is None or answer[0] != 200:
        if time.monotonic() > deadline:
            said = f"GET /healthz answers {answer[0]}: {answer[1]}" if answer else "the gateway does not answer"
            raise StackError(f"the stack is not healthy after {timeout_seconds:g} s; {said}")
        pause(0.03)


def health(url: str) -> tuple[int, str] | None:
    """Status and body of `GET /healthz`; None when nobody answers. Whoever answers is believed to be our gateway."""
    try:
        with contextlib.closing(_connection(url)) as connection:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=5)
    # The certificate is for the name that callers use, which is not the one here.
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=5, context=anybody)


def _workers(cores: int) -> int:
    """How many threads answer. Of single events the gateway does a quarter of all work (docs/performance.md)."""
    return max(min(2, cores), cores // 4)


def _ask_for_keys(listener: dict[str, Any], folder: Path | None) -> None:
    """Has the filters read the keys in `folder`, or takes them out."""
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    if folder is None:
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] not in KEY_FILTERS]
        return
    for each in manager["http_filters"]:
        if "config_discovery" in each:
            source = each["config_discovery"]["config_source"]["path_config_source"]
            source["path"] = str(folder / Path(source["path"]).name)
            source["watched_directory"]["path"] = str(folder)


def _point_to(cluster: dict[str, Any], addresses: Sequence[str]) -> None:
    assignment = cluster["load_assignment"]["endpoints"][0]
    pattern = assignment["lb_endpoints"][0]
    cluster["type"] = "STATIC"
    for name in [key for key in cluster if key.startswith("dns_")]:
        del cluster[name]
    assignment["lb_endpoints"] = [{**pattern, "endpoint": {"address": _address(address)}} for address in addresses]


def _address(text: str) -> dict[str, Any]:
    """Envoy's form of `unix:/path` or `host:port`."""
    kind, _, path = text.partition(":")
    if kind == "unix":
        return {"pipe": {"path": path}}
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _text(address: Mapping[str, Any]) -> str:
    """The other way round."""
    if "pipe" in address:
        return f"unix:{address['pipe']['path']}"
    return f"{address['socket_address']['address']}:{address['socket_address']['port_value']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilePaths:
    """Finds the files that a container has in `/etc/envoy/`."""

    folders: tuple[Path, ...]
    prefixes: Mapping[str, Path]

    @classmethod
    def of_this_machine(cls) -> _FilePaths:
        root, documentation = repository_root(), documentation_directory()
        prefixes = {"swagger-ui/": documentation / "swagger-ui-dist", "redoc/": documentation / "redoc" / "bundles"}
        prefixes |= {"snippet/": root / "clients" / "js" / "bundle", "example/": root / "clients" / "js" / "example"}
        return cls(
            folders=(root / "gateway", root / "protos" / "gen"),
            prefixes={**prefixes, CONSOLE: console_directory() or root / "console" / "absent"},
        )

    def replace(self, value: object) -> object:
        """A copy of `value` in which every string that is a path below `/etc/envoy/` is the path of that file here."""
        if isinstance(value, dict):
            return {key: self.replace(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.replace(item) for item in value]
        if isinstance(value, str) and value.startswith(IMAGE_FOLDER):
            return str(self._find(value.removeprefix(IMAGE_FOLDER)))
        return value

    def _find(self, name: str) -> Path:
        candidates = [folder / name for folder in self.folders]
        candidates += [
            folder / name.removeprefix(prefix) for prefix, folder in self.prefixes.items() if name.startswith(prefix)
        ]
        for candidate in candidates:
            if candidate.exists():
                return candidate
        if name.startswith(CONSOLE):
            return self.prefixes[CONSOLE] / "index.html"
        raise StackError(f"the gateway needs {name}, which is in none of {', '.join(map(str, self.folders))}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, *, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
