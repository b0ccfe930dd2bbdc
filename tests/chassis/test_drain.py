"""The end of a server process: what a signal starts, in which order, and that nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dmp_chassis.client import channel
from tests.chassis.echo_service import call, health_of
from tests.conditions import eventually

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


class ServerProcess:
    """The process, its log lines as they come, and its port."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    @property
    def steps(self) -> list[str]:
        return [line["message"] for line in self.lines]

    async def until(self, message: str) -> dict[str, Any]:
        """Reads the log up to this message."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while True:
                data = await self.process.stderr.readline()
                assert data, f"the process ended before {message!r}: {self.lines}"
                self.lines.append(json.loads(data))
                if self.lines[-1]["message"] == message:
                    return self.lines[-1]


@asynccontextmanager
async def server_process() -> AsyncIterator[tuple[ServerProcess, grpc.aio.Channel]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chassis.drain_process", stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    server = ServerProcess(process)
    try:
        port = (await server.until("ready"))["port"]
        async with channel(f"127.0.0.1:{port}") as to_server:
            yield server, to_server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_in_order_and_loses_no_call(number: signal.Signals) -> None:
    async with server_process() as (server, to_server):
        held = asyncio.ensure_future(call(to_server, "Hold", "kept", timeout=60))
        await server.until("holding")
        server.process.send_signal(number)

        async def is_not_serving() -> bool:
            return await health_of(to_server, "") == "NOT_SERVING"

        await eventually(is_not_serving)
        assert await call(to_server, "Echo", "still served while draining") == ["still served while draining"]
        assert await call(to_server, "Release", "") == [""]
        assert await held == ["kept"]
        assert server.process.returncode is None
        server.process.send_signal(number)  # a second signal cuts the draining, here of a minute, short
        await server.until("stopped")
        async with asyncio.timeout(20):
            assert await server.process.wait() == 0
    assert server.steps == ["serving", "ready", "holding", "draining", "flush", "loop ends", "close", "stopped"]
    assert server.lines[0]["port"] == server.lines[1]["port"] > 0


async def test_a_signal_raises_the_log_to_debug_and_the_next_one_ends_it() -> None:
    async with server_process() as (server, to_server):
        server.process.send_signal(signal.SIGUSR1)
        assert (await server.until("the log level changes"))["from_now_on"] == "debug"
        assert await call(to_server, "Echo", "hello", metadata=[("x-request-id", "r-1")]) == ["hello"]
        line = await server.until("call")
        assert (line["request_id"], line["method"].rpartition("/")[2]) == ("r-1", "Echo")
        server.process.send_signal(signal.SIGUSR1)
        assert (await server.until("the log level changes"))["from_now_on"] == "info"
        assert await call(to_server, "Echo", "hello") == ["hello"]
        server.process.send_signal(signal.SIGTERM)
        await server.until("draining")
        server.process.send_signal(signal.SIGTERM)
        await server.until("stopped")
    assert server.steps.count("call") == 1


def read_and_remove(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        return report
    finally:
        path.unlink()


async def test_a_signal_asks_for_a_report_while_calls_go_on() -> None:
    async with server_process() as (server, to_server):
        holding = asyncio.ensure_future(call(to_server, "Hold", "x"))
        await server.until("holding")
        server.process.send_signal(signal.SIGUSR2)
        report = read_and_remove(Path((await server.until("a report was asked for"))["path"]))
        assert report["pid"] == server.process.pid
        assert any("serve.<locals>.hold" in place for kind in report["kinds"] for place in kind["stack"])
        await call(to_server, "Release")
        assert await holding == ["x"]
