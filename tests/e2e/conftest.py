"""Whole systems of a story's own: what happens to them is nobody else's concern."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from dmp_stack.stack import Stack


@pytest.fixture(scope="module")
def own_stack(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A fresh system for one module, with data of its own that goes with it; its ingest has a short queue, and its
    gateway logs every answer."""
    with new_stack(service_environment={"DMP_INGEST_MAX_QUEUED_EVENTS": "2000"}, access_log_percent=100) as running:
        yield running


@pytest.fixture(scope="module")
def own_api(own_stack: Stack) -> Iterator[httpx.Client]:
    """A client of the module's system."""
    with httpx.Client(base_url=own_stack.http_url, timeout=30.0, trust_env=False) as client:
        yield client
