"""Reads a server's metrics as Prometheus does."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from dmp_chassis.metrics import Metrics

Series = dict[str, float]
"""Values by the name of the series: `name label=value label=value`."""


async def fetch(port: int, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n") -> bytes:
    """Whatever the endpoint answers to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


async def scrape(port: int) -> Series:
    """All series of a server."""
    head, _, body = (await fetch(port)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    return parsed(body)


async def series_of(metrics: Metrics) -> Series:
    """All series of these metrics, without a port in between."""
    return parsed(await metrics.text())


def parsed(text: bytes) -> Series:
    """The series of a text in Prometheus' format."""
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sample.labels.items())]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def grown(before: Series, after: Series) -> Series:
    """By how much each series that changed has grown."""
    changes = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: change for name, change in changes.items() if change}
