"""PostgreSQL and Redis with TLS: who they are is verified, and they may verify us.

The embedded servers come without TLS, so a front ends it before the real ones, as their own code does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import redis.exceptions

from deploy.certificates.make_certificates import make_certificates
from dmp_chassis.database import Database
from dmp_chassis.pipeline import Pipeline
from dmp_chassis.redis_client import check_redis, connect_redis, open_redis, run
from dmp_chassis.redis_cluster import Command
from tests.redis_cluster import running_cluster
from tests.servers import PostgresFixture

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SSL_REQUEST = (80877103).to_bytes(4)

Fronted = Callable[..., contextlib.AbstractAsyncContextManager[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory, servers=["store"])
    make_certificates(directory / "strangers", servers=["store"])
    return directory


def server_side(made: Path, *, asks_for_certificates: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "store" / "cert.pem", made / "store" / "key.pem")
    if asks_for_certificates:
        context.load_verify_locations(made / "store" / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def front(socket: str, context: ssl.SSLContext, *, postgres: bool, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Ends TLS in front of the server at a socket; the port where it listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            if postgres:
                assert (await reader.readexactly(8))[4:] == SSL_REQUEST
                writer.write(b"S")
                await writer.start_tls(context)
            to_server = await asyncio.open_unix_connection(socket)
            await asyncio.gather(carry(reader, to_server[1]), carry(to_server[0], writer))

    server = await asyncio.start_server(serve, host, 0, ssl=None if postgres else context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def fronted(postgres: PostgresFixture, made: Path) -> Fronted:
    """PostgreSQL behind TLS: the beginning of its URL, to which the options of a connection are added."""
    (folder,) = parse_qs(urlsplit(postgres.url("postgres")).query)["host"]

    @asynccontextmanager
    async def start(host: str = "127.0.0.1", *, asks_for_certificates: bool = False) -> AsyncIterator[str]:
        context = server_side(made, asks_for_certificates=asks_for_certificates)
        async with front(f"{folder}/.s.PGSQL.5432", context, postgres=True, host=host) as port:
            yield f"postgresql://postgres@{host}:{port}/postgres?gssencmode=disable&sslmode=verify-full"

    return start


async def answer(url: str) -> object:
    database = Database.connect(url, pool_size=1, application_name="tls", acquire_seconds=5)
    try:
        async with database.begin() as connection:
            return (await connection.exec_driver_sql("SELECT count(*) FROM generate_series(1, 1000)")).scalar()
    finally:
        await database.close()


async def test_a_database_is_reached_when_its_certificate_is_verified(fronted: Fronted, made: Path) -> None:
    async with fronted() as url:
        assert await answer(f"{url}&sslrootcert={made}/store/ca.pem") == 1000


async def test_a_pipeline_reads_all_of_a_large_answer_over_tls(fronted: Fronted, made: Path) -> None:
    """What TLS has taken from the socket already does not make the socket readable again."""
    async with fronted() as url:
        pipeline = await Pipeline.connect(
            f"{url}&sslrootcert={made}/store/ca.pem",
            b"SELECT repeat('x', $1::int)",
            parameters=1,
            application_name="tls",
        )
        try:
            results = await pipeline.run([[(1_000_000).to_bytes(4)]] * 3)
            assert [len(result.get_value(0, 0) or b"") for result in results] == [1_000_000] * 3
        finally:
            await pipeline.close()


@pytest.mark.parametrize("wrong", ["authority", "name", "no authority"])
async def test_a_database_that_cannot_prove_who_it_is_is_refused(wrong: str, fronted: Fronted, made: Path) -> None:
    authorities = {"authority": f"{made}/strangers/store/ca.pem", "name": f"{made}/store/ca.pem"}
    async with fronted("127.0.0.2" if wrong == "name" else "127.0.0.1") as url:
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            await psycopg.AsyncConnection.connect(f"{url}&sslrootcert={authorities.get(wrong, '/nowhere')}")


async def test_a_database_may_ask_for_our_certificate(fronted: Fronted, made: Path) -> None:
    async with fronted(asks_for_certificates=True) as url:
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(f"{url}&sslrootcert={made}/store/ca.pem")
        own = f"sslcert={made}/ingest/cert.pem&sslkey={made}/ingest/key.pem"
        assert await answer(f"{url}&sslrootcert={made}/store/ca.pem&{own}") == 1000


@pytest.mark.parametrize("wrong", [None, "authority", "no authority", "no certificate", "name"])
async def test_redis_is_reached_when_both_prove_who_they_are_and_not_otherwise(
    wrong: str | None, redis_url: str, made: Path
) -> None:
    socket = redis_url.removeprefix("unix://").partition("?")[0]
    authority = f"ssl_ca_certs={made}/{'strangers/' if wrong == 'authority' else ''}store/ca.pem"
    own = f"ssl_certfile={made}/ingest/cert.pem&ssl_keyfile={made}/ingest/key.pem"
    options = {"no authority": own, "no certificate": authority}.get(str(wrong), f"{authority}&{own}")
    host = "127.0.0.2" if wrong == "name" else "127.0.0.1"
    context = server_side(made, asks_for_certificates=True)
    async with front(socket, context, postgres=False, host=host) as port:
        client = connect_redis(f"rediss://{host}:{port}/0?{options}", client_name="tls", timeout_seconds=5)
        try:
            if wrong is None:
                await check_redis(client)
            else:
                with pytest.raises((redis.exceptions.ConnectionError, ssl.SSLError)):
                    await check_redis(client)
        finally:
            await client.aclose()


async def test_every_node_of_a_cluster_proves_who_it_is(
    made: Path, server_directory: Path, server_environment: dict[str, str]
) -> None:
    socket = server_directory / "node.sock"
    context = server_side(made, asks_for_certificates=False)
    with running_cluster(
        server_directory / "tls-cluster", server_environment, f"unixsocket {socket}", masters=1
    ) as cluster:
        (node,) = cluster.nodes
        async with front(str(socket), context, postgres=False) as port:
            # From now on the node says that it is where TLS is spoken.
            node.says("CONFIG", "SET", "cluster-announce-port", port)
            url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={made}"
            client = open_redis(f"{url}/store/ca.pem", client_name="tls", timeout_seconds=5)
            stranger = open_redis(f"{url}/strangers/store/ca.pem", client_name="tls", timeout_seconds=5)
            try:
                await check_redis(client)
                assert await run(client, Command(b"key", ("SET", "key", "value")))
                assert node.says("GET", "key") == b"value"
                with pytest.raises((redis.exceptions.RedisError, ssl.SSLError)):
                    await check_redis(stranger)
            finally:
                await client.aclose()
                await stranger.aclose()
