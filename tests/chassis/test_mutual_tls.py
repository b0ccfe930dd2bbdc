"""Services with certificates: who is believed, and that nobody notices when certificates and authority are replaced."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from google.protobuf.wrappers_pb2 import StringValue

from deploy.certificates.make_certificates import make_certificates, replace_authority
from dmp_chassis.certificates import Certificates
from dmp_chassis.client import channel
from dmp_chassis.server import Parts, RunningServer, start_server
from tests.chassis.echo_service import API, KINDS, SERVICE, EchoServicer, call, failure, health_of
from tests.chassis.test_certificates import files_of
from tests.chassis.test_probe import probe
from tests.conditions import eventually

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")

BELIEVING = replace(
    API,
    callers={
        f"/{SERVICE}/ForIngest": {"ingest"},
        f"/{SERVICE}/ForBoth": {"ingest", "gateway"},
        f"/{SERVICE}/MySerial": {"ingest"},
    },
)

Dial = Callable[[str], grpc.aio.Channel]


async def echo(request: StringValue, context: object) -> StringValue:
    return request


async def shown_to_me(request: StringValue, context: grpc.aio.ServicerContext[StringValue, StringValue]) -> StringValue:
    """The serial number of the caller's certificate."""
    (pem,) = context.auth_context()["x509_pem_cert"]
    return StringValue(value=str(x509.load_pem_x509_certificate(pem).serial_number))


async def echo_stream(request: object, context: object) -> AsyncGenerator[StringValue]:
    yield StringValue(value="answered")


async def silence() -> AsyncGenerator[bytes]:
    await asyncio.Event().wait()
    yield b""


METHODS = {"ForIngest": echo, "ForBoth": echo, "ForNobody": echo, "MySerial": shown_to_me}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("dmp_chassis.certificates._LOOKS_APART_SECONDS", 0.05)
    directory = tmp_path / "made"
    make_certificates(directory)
    return directory


async def start(made: Path, *, service: EchoServicer | None = None) -> RunningServer:
    """A server with the certificate of identity."""
    parts = Parts(servicer=service or EchoServicer(METHODS))
    return await start_server(BELIEVING, parts, certificates=files_of(made / "identity"))


@pytest_asyncio.fixture(loop_scope="session")
async def server(made: Path) -> AsyncIterator[RunningServer]:
    async with await start(made) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def dial(made: Path, server: RunningServer) -> AsyncIterator[Dial]:
    """Channels to the server by the service whose certificate they show."""
    async with AsyncExitStack() as stack:
        opened: list[grpc.aio.Channel] = []

        def open_channel(caller: str) -> grpc.aio.Channel:
            certificates = Certificates(files_of(made / caller))
            opened.append(channel(server.address, service="identity", certificates=certificates))
            stack.push_async_callback(opened[-1].close)
            return opened[-1]

        yield open_channel


@pytest.mark.parametrize(
    ("caller", "believed"),
    [("ingest", {"ForIngest", "ForBoth"}), ("gateway", {"ForBoth"}), ("stats", set()), ("identity", set())],
)
async def test_each_rpc_believes_the_callers_of_its_table_and_nobody_else(
    caller: str, believed: set[str], dial: Dial
) -> None:
    to_server = dial(caller)
    for name in ("ForIngest", "ForBoth", "ForNobody"):
        if name in believed:
            assert await call(to_server, name, "hello") == ["hello"]
        else:
            error = await failure(to_server, name, "hello")
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "certificate" in (error.details() or "")


@pytest.mark.parametrize("kind", KINDS)
async def test_all_four_kinds_of_rpc_refuse_who_is_not_believed(kind: str, made: Path) -> None:
    method = echo_stream if kind.endswith("stream") else echo
    async with await start(made, service=EchoServicer({"ForIngest": method}, kind)) as running:
        certificates = Certificates(files_of(made / "gateway"))
        async with channel(running.address, service="identity", certificates=certificates) as to_server:
            if kind.startswith("stream"):
                # Nothing is sent: the library's client reports a message that comes too late in its own words.
                rpc = getattr(to_server, kind)(f"/{SERVICE}/ForIngest")(silence(), timeout=10)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await (rpc if kind.endswith("unary") else anext(aiter(rpc)))
                error = raised.value
            else:
                error = await failure(to_server, "ForIngest", "x", kind=kind)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_whoever_has_a_certificate_may_ask_for_health_and_nobody_for_reflection(dial: Dial) -> None:
    to_server = dial("stats")
    assert await health_of(to_server, SERVICE) == "SERVING"
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    reflect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = to_server.stream_stream(reflection)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(reflect(silence(), timeout=5)))
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_certificate_of_the_authority_there_is_no_connection(
    made: Path, server: RunningServer, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "strangers")
    stranger = files_of(tmp_path / "strangers" / "ingest")
    believing = replace(stranger, authority=made / "ingest" / "ca.pem")
    options = [("grpc.enable_http_proxy", 0)]
    nobody = grpc.ssl_channel_credentials((made / "ingest" / "ca.pem").read_bytes())
    to_identity = [*options, ("grpc.ssl_target_name_override", "identity")]
    for to_server in (
        grpc.aio.insecure_channel(server.address, options=options),
        grpc.aio.secure_channel(server.address, nobody, options=to_identity),
        channel(server.address, service="identity", certificates=Certificates(believing)),
    ):
        async with to_server:
            assert (await failure(to_server, "ForBoth")).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_is_another_service_is_not_called(made: Path, server: RunningServer) -> None:
    certificates = Certificates(files_of(made / "ingest"))
    async with channel(server.address, service="stats", certificates=certificates) as to_server:
        assert (await failure(to_server, "ForBoth")).code() is grpc.StatusCode.UNAVAILABLE


async def serial_of(address: str) -> int:
    """The serial number of the certificate that the server shows to a new connection, whoever asks."""
    host, port = address.split(":")
    pem = await asyncio.to_thread(_shown, host, int(port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def _shown(host: str, port: int) -> str:
    return ssl.get_server_certificate((host, port), timeout=5)


async def test_no_call_fails_while_certificates_and_authority_are_replaced(
    made: Path, server: RunningServer, dial: Dial
) -> None:
    to_server, ended = dial("ingest"), asyncio.Event()
    shown: list[str] = []  # by the caller, at each call

    async def call_on() -> None:
        while not ended.is_set():
            shown.extend(await call(to_server, "MySerial"))

    async def both_show_new_ones(server_before: int) -> None:
        """Waits until new connections get the server's new certificate, and calls come with the caller's."""
        own = x509.load_pem_x509_certificate((made / "ingest" / "cert.pem").read_bytes()).serial_number

        async def are_new() -> bool:
            return await serial_of(server.address) != server_before and shown[-20:] == [str(own)] * 20

        await eventually(are_new)

    calls = asyncio.gather(*(call_on() for _ in range(4)))
    try:
        for step in ("leaves", "leaves", "add", "switch", "drop"):
            before = await serial_of(server.address)
            if step != "leaves":
                replace_authority(made, step)
            make_certificates(made, renew=True)
            await both_show_new_ones(before)
    finally:
        ended.set()
        await calls
    assert len(set(shown)) == 6


async def test_who_has_a_certificate_of_the_removed_authority_is_refused(
    made: Path, server: RunningServer, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for path in (made / "ingest").iterdir():
        (old / path.name).write_bytes(path.read_bytes())
    before = await serial_of(server.address)
    for step in ("add", "switch", "drop"):
        replace_authority(made, step)
    make_certificates(made, renew=True)

    async def is_new() -> bool:
        return await serial_of(server.address) != before

    await eventually(is_new)
    late = replace(files_of(old), authority=made / "ingest" / "ca.pem")
    async with channel(server.address, service="identity", certificates=Certificates(late)) as to_server:
        assert (await failure(to_server, "ForIngest")).code() is grpc.StatusCode.UNAVAILABLE


async def test_the_probe_shows_the_certificate_of_the_environment(
    made: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await probe(server.address) == (1, "UNAVAILABLE\n")
    for name in ("CERT", "KEY", "CA"):
        monkeypatch.setenv(f"DMP_TLS_{name}_FILE", str(made / "identity" / f"{name.lower()}.pem"))
    assert await probe(server.address, "--service", "identity") == (0, "")
    assert await probe(server.address, "--service", "stats") == (1, "UNAVAILABLE\n")
    monkeypatch.setenv("DMP_TLS_KEY_FILE", "")
    code, said = await probe(server.address, "--service", "identity")
    assert code == 1
    assert said.startswith("DMP_TLS_KEY_FILE must be set")
