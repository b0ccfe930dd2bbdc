"""The command that asks a server for its health, run as a container runs it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from tests.chassis.echo_service import serving

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def probe(address: str, *arguments: str) -> tuple[int | None, str]:
    """The command's exit code and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dmp_chassis.probe", address, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def refuse() -> None:
    raise ConnectionRefusedError("away")


async def test_a_server_that_serves_is_healthy_and_nothing_is_printed() -> None:
    async with serving({}) as (server, _):
        assert await probe(server.address) == (0, "")


async def test_a_server_without_its_dependency_is_not_and_says_so() -> None:
    async with serving({}, checks={"postgres": refuse}) as (server, _):
        assert await probe(server.address) == (1, "NOT_SERVING\n")


async def test_where_nobody_listens_nobody_is_healthy() -> None:
    assert await probe("127.0.0.1:1") == (1, "UNAVAILABLE\n")


async def test_a_server_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert await probe(f"127.0.0.1:{silent.getsockname()[1]}") == (1, "DEADLINE_EXCEEDED\n")
