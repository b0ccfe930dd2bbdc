"""The gateway of the repository with its real Envoy, in front of servers that say what a test wants them to say."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from dmp_stack.child import Child
from dmp_stack.gateway import Gateway
from dmp_stack.gateway_certificates import GatewayCertificates, PublicCertificate
from dmp_stack.ports import reserve_port
from tests.conditions import wait_until
from tests.gateway.backends import Backend
from tests.gateway.keyring import Keyring, full


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """One server for each service."""

    ingest: Backend
    identity: Backend
    stats: Backend

    @classmethod
    def start(cls, certificates: Path | None = None) -> Backends:
        """Running ones. certificates: a directory of them; each server shows its own, and believes who has one too."""
        folders = {name: certificates and certificates / name for name in ("ingest", "identity", "stats")}
        made = cls(**{name: Backend(folder) for name, folder in folders.items()})
        for backend in made.all():
            backend.start()
        return made

    def close(self) -> None:
        """Stops for good."""
        for backend in self.all():
            backend.close()

    def all(self) -> tuple[Backend, ...]:
        return (self.ingest, self.identity, self.stats)

    def ports(self) -> dict[str, list[int]]:
        """Where each listens, as a gateway is told."""
        return {"ingest": [self.ingest.port], "identity": [self.identity.port], "stats": [self.stats.port]}

    def reset(self) -> None:
        """Forgets calls and answers."""
        for backend in self.all():
            backend.reset()


class GatewayRunner:
    """Starts gateways and ends them with itself."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._children: list[Child] = []
        self._admin_sockets: dict[str, Path] = {}

    def run(self, kind: type[Gateway] = Gateway, **upstreams: list[int]) -> str:
        """Starts a gateway of this kind; returns its URL once it answers."""
        return self._run(kind, upstreams)

    def run_with_keys(self, keys_folder: Path, **upstreams: list[int]) -> str:
        """Starts a gateway that asks for the keys in a folder; returns its URL once it answers."""
        return self._run(Gateway, upstreams, keys_folder=keys_folder)

    def run_with_both(self, keys_folder: Path, certificates: GatewayCertificates, **upstreams: list[int]) -> str:
        """The same with certificates."""
        return self._run(Gateway, upstreams, keys_folder=keys_folder, certificates=certificates)

    def run_with_tls(self, certificate: PublicCertificate, **upstreams: list[int]) -> str:
        """Starts a gateway that shows this certificate to callers; returns its URL once it answers."""
        return self._run(Gateway, upstreams, certificates=GatewayCertificates(public=certificate))

    def _run(self, kind: type[Gateway], upstreams: Mapping[str, list[int]], **others: Any) -> str:  # noqa: ANN401
        reservation = reserve_port("127.0.0.1")
        folder = self._directory / f"gateway-{reservation.port}"
        folder.mkdir()
        gateway = kind(
            host="127.0.0.1",
            port=reservation.port,
            upstreams={name: [f"127.0.0.1:{port}" for port in ports] for name, ports in upstreams.items()},
            run_directory=folder,
            log_path=folder / "envoy.log",
            environment=self._environment,
            **others,
        )
        child = Child(gateway.child_spec(), report=print)
        self._children.append(child)
        child.start()
        reservation.close()
        url = f"{'http' if gateway.certificates.public is None else 'https'}://127.0.0.1:{gateway.port}"
        wait_until(lambda: answers(url), f"a gateway at {url}")
        self._admin_sockets[url] = gateway.admin_socket
        return url

    def counter(self, url: str, name: str) -> int:
        """One of Envoy's own counters in the gateway at this URL."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self._admin_sockets[url]))) as admin:
            ((_, value),) = [
                line.split(": ") for line in admin.get(f"http://admin/stats?filter=^{name}$").text.splitlines()
            ]
        return int(value)

    def dump(self, url: str) -> str:
        """All that the admin interface of the gateway at this URL says of its configuration."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self._admin_sockets[url]))) as admin:
            return admin.get("http://admin/config_dump?include_eds").text

    def log(self, url: str) -> Path:
        """The log of the gateway at this URL."""
        return self._admin_sockets[url].with_name("envoy.log")

    def close(self) -> None:
        for child in self._children:
            child.close(5)


def certificates_of(made: Path | None) -> GatewayCertificates:
    """What a gateway shows to callers and to services, from a directory of certificates; None: neither."""
    if made is None:
        return GatewayCertificates()
    public = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    return GatewayCertificates(public=public, inside=made)


def client_of(url: str, authority: Path | None = None) -> httpx.Client:
    """An HTTP/1.1 client. authority: whom it believes, where the URL says https."""
    believed = ssl.create_default_context(cafile=authority) if authority else True
    return httpx.Client(base_url=url, verify=believed, timeout=20.0, trust_env=False)


def channel_of(url: str, authority: Path | None = None) -> grpc.Channel:
    """A native gRPC channel to the same port."""
    address, options = url.partition("://")[2], [("grpc.enable_http_proxy", 0)]
    if authority is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.read_bytes()), options)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/docs", trust_env=False, verify=False).status_code == 200  # noqa: S501 -- is it there?
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def runner(server_directory: Path, server_environment: dict[str, str]) -> Iterator[GatewayRunner]:
    running = GatewayRunner(server_directory, server_environment)
    yield running
    running.close()


@pytest.fixture(scope="session")
def _backends() -> Iterator[Backends]:
    started = Backends.start()
    yield started
    started.close()


@pytest.fixture
def backends(_backends: Backends) -> Backends:
    """The servers behind the gateway, without memory of other tests."""
    _backends.reset()
    return _backends


@pytest.fixture(scope="session")
def gateway_url(runner: GatewayRunner, _backends: Backends) -> str:
    """Where the gateway listens, without a slash at the end."""
    return runner.run(Gateway, **_backends.ports())


@pytest.fixture(scope="session")
def api(gateway_url: str) -> Iterator[httpx.Client]:
    """An HTTP/1.1 client of the gateway."""
    with client_of(gateway_url) as client:
        yield client


@pytest.fixture(scope="session")
def channel(gateway_url: str) -> Iterator[grpc.Channel]:
    """A native gRPC channel to the same port."""
    with channel_of(gateway_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """The keys of the gateway that asks for them."""
    return full(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def key_url(runner: GatewayRunner, _backends: Backends, keyring: Keyring) -> str:
    """Where a gateway listens that asks for keys."""
    return runner.run_with_keys(keyring.directory.gateway, **_backends.ports())


@pytest.fixture(scope="session")
def key_client(key_url: str) -> Iterator[httpx.Client]:
    """An HTTP/1.1 client of the gateway that asks for keys."""
    with httpx.Client(base_url=key_url, timeout=20.0, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def key_channel(key_url: str) -> Iterator[grpc.Channel]:
    """A native gRPC channel to the gateway that asks for keys."""
    address = key_url.removeprefix("http://")
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as opened:
        yield opened
