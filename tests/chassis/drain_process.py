"""A server process for the tests of its end: `python -m tests.chassis.drain_process`. Its steps are in its log."""

from __future__ import annotations

import asyncio
import logging

import uvloop
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.logging import configure
from dmp_chassis.server import Parts, RunningServer, run_server
from tests.chassis.echo_service import API, EchoServicer

_LOG = logging.getLogger("test")


async def serve() -> None:
    """A server with the methods Echo, Hold (waits for Release) and Release; drains for a minute."""
    released = asyncio.Event()

    async def echo(request: StringValue, context: object) -> StringValue:
        return request

    async def hold(request: StringValue, context: object) -> StringValue:
        _LOG.info("holding")
        await released.wait()
        return request

    async def release(request: StringValue, context: object) -> StringValue:
        released.set()
        return request

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            _LOG.info("loop ends")

    async def flush() -> None:
        _LOG.info("flush")

    async def close() -> None:
        _LOG.info("close")

    def ready(running: RunningServer) -> None:
        _LOG.info("ready", extra={"port": running.port})

    parts = Parts(
        servicer=EchoServicer({"Echo": echo, "Hold": hold, "Release": release}),
        background=[loop],
        on_stop=[flush],
        on_close=[close],
    )
    await run_server(API, parts, listen="127.0.0.1:0", drain_seconds=60.0, ready=ready)


if __name__ == "__main__":
    configure("info", "test")
    uvloop.run(serve())
