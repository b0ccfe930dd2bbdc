"""The gateway with a certificate: TLS for JSON and native calls, on HTTP/2 and 1.1, and a new one at any time."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509

from deploy.certificates.make_certificates import make_certificates
from dmp.ingest.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from dmp_client import DmpClient
from dmp_stack.gateway_certificates import PublicCertificate
from tests.conditions import wait_until
from tests.gateway.conftest import Backends, GatewayRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A gateway with TLS, and the directory of the certificates that were made for it."""

    url: str
    made: Path

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("https://").rpartition(":")
        return host, int(port)

    @property
    def authority(self) -> Path:
        return self.made / "public" / "ca.pem"

    @property
    def serial(self) -> int:
        """Of the certificate in the file."""
        return x509.load_pem_x509_certificate((self.made / "public" / "cert.pem").read_bytes()).serial_number

    @property
    def shown(self) -> int:
        """The serial number of the certificate that a new connection gets."""
        pem = ssl.get_server_certificate(self.address, timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def client(self, *, http2: bool = False) -> httpx.Client:
        """A client that believes the authority and nobody else."""
        context = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=20, http2=http2)


@pytest.fixture(scope="module")
def secured(runner: GatewayRunner, _backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made)
    certificate = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    ports = {"ingest": _backends.ingest.port, "identity": _backends.identity.port, "stats": _backends.stats.port}
    return Secured(url=runner.run_with_tls(certificate, **{name: [port] for name, port in ports.items()}), made=made)


@pytest.fixture
def verified(secured: Secured) -> Iterator[httpx.Client]:
    with secured.client() as client:
        yield client


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_json_goes_over_both_versions_of_http(http2: bool, version: str, secured: Secured) -> None:
    with secured.client(http2=http2) as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.http_version) == (200, version)


def test_native_calls_go_over_the_same_port(secured: Secured, backends: Backends) -> None:
    credentials = grpc.ssl_channel_credentials(secured.authority.read_bytes())
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(secured.url.removeprefix("https://"), credentials, options) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        stub.PublishEvents(ingest_service_pb2.PublishEventsRequest(), timeout=10)
    assert backends.ingest.only_call().method == "PublishEvents"


@pytest.mark.parametrize("transport", ["json", "grpc"])
def test_the_python_client_believes_the_authority_that_it_is_told(
    secured: Secured, backends: Backends, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.authority))
    client = DmpClient(secured.url, spool=tmp_path / "events.spool", source="test", transport=transport)
    client.track("click", campaign_id="c")
    wait_until(lambda: bool(backends.ingest.calls), "the events arrive")
    client.close(0)


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nothing-here", "/users/user_1"])
def test_browsers_are_told_to_come_back_with_tls_only(path: str, verified: httpx.Client, api: httpx.Client) -> None:
    assert verified.get(path).headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in api.get(path).headers


def test_plain_http_gets_no_answer(secured: Secured) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(secured.url.replace("https", "http") + "/healthz", trust_env=False)


def test_versions_of_tls_before_1_2_are_refused(secured: Secured) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError, match=r"(?i)version|alert"):
        httpx.get(f"{secured.url}/healthz", verify=old, trust_env=False)


def test_a_new_certificate_counts_without_a_restart_and_no_request_fails(secured: Secured) -> None:
    ended, statuses, failures = threading.Event(), [], []

    def ask_on() -> None:
        """On connections of every age: each third request makes one."""
        client = secured.client()
        while not ended.is_set():
            try:
                statuses.append(client.get("/healthz").status_code)
            except httpx.TransportError as error:
                failures.append(error)
            if len(statuses) % 3 == 0:
                client.close()
                client = secured.client()
        client.close()

    asking = [threading.Thread(target=ask_on) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(3):
            make_certificates(secured.made, renew=True)
            wait_until(lambda: secured.shown == secured.serial, "the new certificate is shown")
    finally:
        ended.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert set(statuses) == {200}
    assert len(statuses) > 10


def test_half_a_certificate_changes_nothing(secured: Secured, runner: GatewayRunner) -> None:
    before = secured.shown
    folder = secured.made / "public"
    key = (folder / "key.pem").read_bytes()

    def refused() -> int:
        """How often the gateway has looked at new files and could not use them."""
        return runner.counter(secured.url, r".*sds\.public\.key_rotation_failed")

    looked = refused()
    (folder / "broken.pem").write_text("no key")
    (folder / "broken.pem").replace(folder / "key.pem")
    wait_until(lambda: refused() > looked, "the gateway has seen the broken key")
    assert secured.shown == before
    with secured.client() as client:
        assert client.get("/healthz").status_code == 200
    (folder / "fresh.pem").write_bytes(key)
    (folder / "fresh.pem").replace(folder / "key.pem")
    make_certificates(secured.made, renew=True)
    wait_until(lambda: secured.shown == secured.serial != before, "a whole one is shown")
