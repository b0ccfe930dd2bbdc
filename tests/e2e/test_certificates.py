"""The whole system with TLS everywhere: it works, each service believes few, and new certificates disturb nobody."""

from __future__ import annotations

import argparse
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from google.protobuf.descriptor import MethodDescriptor

from deploy.certificates.make_certificates import SERVICES, make_certificates, replace_authority
from dmp.access.v1 import scope_pb2
from dmp.identity.v1 import identity_service_pb2
from dmp.ingest.v1 import ingest_service_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_stack.audit import add_arguments, audit
from dmp_stack.gateway_certificates import PublicCertificate
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import is_gone, wait_until
from tests.scraping import parsed

CHECK = "/grpc.health.v1.Health/Check"

METHODS = [
    method
    for module in (ingest_service_pb2, identity_service_pb2, stats_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.fixture(scope="module")
def system(new_stack: Callable[..., Stack], made: Path) -> Iterator[Stack]:
    public = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    with new_stack(public_certificate=public, certificates_directory=made) as running:
        yield running


def client_of(system: Stack, made: Path) -> httpx.Client:
    context = ssl.create_default_context(cafile=made / "public" / "ca.pem")
    return httpx.Client(base_url=system.http_url, verify=context, trust_env=False, timeout=20)


def test_the_audit_of_the_command_line_asks_over_tls(
    system: Stack, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, address="")
    asked = parser.parse_args(["--address", system.http_url])
    assert audit(asked) == 2  # nobody has told it about the authority
    monkeypatch.setenv("SSL_CERT_FILE", str(made / "public" / "ca.pem"))
    assert audit(asked) == 0
    assert "clean" in capsys.readouterr().out


def channel_as(caller: Path, system: Stack, service: str) -> grpc.Channel:
    """A channel past the gateway with the certificate in a folder."""
    key, certificate, authority = ((caller / f"{name}.pem").read_bytes() for name in ("key", "cert", "ca"))
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.secure_channel(
        system.service_address(service), credentials, [("grpc.ssl_target_name_override", service)]
    )


def event(number: int) -> dict[str, object]:
    return {
        "event_id": f"certified-{number}",
        "event_type": "page_view",
        "source": "web",
        "timestamp": time.time(),
        "identifiers": {"email": f"certified-{number}@example.com"},
    }


def test_each_service_shows_how_long_its_certificates_last(system: Stack, made: Path) -> None:
    for context in CONTEXTS:
        shown = parsed(httpx.get(system.metrics_url(context), trust_env=False).content)
        for name, file in (("own", "cert.pem"), ("authority", "ca.pem")):
            (certificate,) = x509.load_pem_x509_certificates((made / context / file).read_bytes())
            left = (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
            assert 0 <= shown[f"dmp_certificate_remaining_seconds certificate={name}"] - left < 60


def test_events_pass_all_services_and_show_at_once(system: Stack, made: Path) -> None:
    with client_of(system, made) as client:
        answer = client.post("/events", json=event(0)).json()
        assert (answer["accepted"], answer["applied"]) == (1, True)
        person = answer["results"][0]["internal_user_id"]
        assert client.get(f"/users/{person}").json()["identifiers"]["email"] == "certified-0@example.com"
        now = datetime.now(UTC)
        day = {"from": (now - timedelta(days=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
        assert client.get("/audit", params=day).json()["clean"] is True
        receipt = client.delete(f"/users/{person}", params={"dry_run": "true"}).json()["receipt"]
        assert receipt["internal_user_ids"] == [person]


@pytest.mark.parametrize("caller", SERVICES)
def test_each_rpc_refuses_every_service_that_its_proto_does_not_name(caller: str, system: Stack, made: Path) -> None:
    """With an empty request: whoever is believed gets some other answer than this refusal, mostly an error."""
    with ThreadPoolExecutor() as pool:
        channels = {context: channel_as(made / caller, system, context) for context in CONTEXTS}
        refused = dict(zip(METHODS, pool.map(lambda method: is_refused(channels, method), METHODS), strict=True))
        for channel in channels.values():
            channel.close()
    for method, was_refused in refused.items():
        believed = [scope_pb2.Caller.Name(each) for each in method.GetOptions().Extensions[scope_pb2.callers]]
        assert was_refused == (f"CALLER_{caller.upper()}" not in believed), method.full_name


def is_refused(channels: dict[str, grpc.Channel], method: MethodDescriptor) -> bool:
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel = channels[method.full_name.split(".")[1]]
    many = method.client_streaming
    make = getattr(channel, f"{'stream' if many else 'unary'}_{'stream' if method.server_streaming else 'unary'}")
    try:
        answer: Any = make(path)(iter(()) if many else b"", timeout=10)
        if method.server_streaming:
            next(answer)
    except StopIteration:
        return False
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.PERMISSION_DENIED
    return False


def test_without_a_certificate_no_service_is_reached(system: Stack, made: Path) -> None:
    for context in CONTEXTS:
        address = system.service_address(context)
        nobody = grpc.ssl_channel_credentials((made / context / "ca.pem").read_bytes())
        options = [("grpc.ssl_target_name_override", context)]
        for channel in (grpc.insecure_channel(address), grpc.secure_channel(address, nobody, options)):
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            with channel, pytest.raises(grpc.RpcError) as raised:
                check(b"", timeout=10)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def serial_in(folder: Path) -> int:
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number


def shown_by(system: Stack, context: str) -> int:
    """The serial number of the certificate that a service shows to a new connection, whoever makes it."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    anybody.set_alpn_protocols(["h2"])
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(system.service_address(context).removeprefix("unix:"))
        with anybody.wrap_socket(plain) as connection:
            shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def all_are_renewed(system: Stack, made: Path) -> bool:
    return all(shown_by(system, context) == serial_in(made / context) for context in CONTEXTS)


def are_gone(pids: set[int | None]) -> bool:
    return all(pid is None or is_gone(pid) for pid in pids)


def at_least(answered: list[int], count: int) -> bool:
    return len(answered) >= count


def test_certificates_and_authority_are_replaced_under_load_and_no_request_fails(system: Stack, made: Path) -> None:
    ended, numbers = threading.Event(), itertools.count(1)
    answered: list[int] = []

    def ask_on() -> None:
        """Requests that need the gateway, ingest, identity and stats."""
        with client_of(system, made) as client:
            while not ended.is_set():
                answered.append(client.post("/events", json=event(next(numbers))).status_code)
                answered.append(client.get("/metrics", params={"window": 60}).status_code)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask_on) for _ in range(3)]
        try:
            for step in ("leaves", "add", "switch", "drop"):
                if step != "leaves":
                    replace_authority(made, step)
                make_certificates(made, renew=True)
                wait_until(lambda: all_are_renewed(system, made), "all show new ones")
                until = len(answered) + 30
                wait_until(partial(at_least, answered, until), "requests go on")
        finally:
            ended.set()
        for thread in asking:
            thread.result()
    assert set(answered) == {200, 202}
    # New connections everywhere: whoever still had a certificate of the old authority would not be believed any more.
    with client_of(system, made) as client:
        for killed in (["identity", "stats"], ["ingest"]):
            pids = {system.child(name).pid for name in killed}
            for name in killed:
                system.child(name).kill()
            wait_until(partial(are_gone, pids), "they are gone")
            system.wait_healthy()
            assert client.post("/events", json=event(next(numbers))).json()["applied"] is True
