"""A server process for the tests of its end: `python -m tests.chassis.drain_process`. Its steps are in its log."""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.entry import main
from dmp_chassis.server import RunningServer, run_server
from tests.chassis.echo_service import DOMAIN, SERVICE, add_methods

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

    await run_server(
        service_names=[SERVICE],
        add_services=add_methods({"Echo": echo, "Hold": hold, "Release": release}),
        listen="127.0.0.1:0",
        table={},
        domain=DOMAIN,
        background=[loop],
        on_stop=[flush],
        on_close=[close],
        drain_seconds=60.0,
        ready=ready,
    )


def migrate() -> None:
    """Nothing to migrate."""


if __name__ == "__main__":
    main("test", serve=serve, migrate=migrate, arguments=["serve"])
