"""Fixtures for every suite. The servers behind them are real; see `tests/servers.py`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator

import hypothesis
import pytest
from httpx._transports import default as transports

pytest_plugins = ["tests.servers", "tests.redis_cluster", "tests.tls_stores"]

# A property is about results: on a machine that others keep busy an example may take any time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Each client of httpx reads the certificates of this machine again, which takes longer than most requests of the tests.
transports.create_ssl_context = functools.cache(transports.create_ssl_context)  # type: ignore[attr-defined]  # it is private


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What attacks cost others is measured first: systems of other tests, which stay until the end, would take part."""
    items.sort(key=lambda item: "hostile" not in item.path.parent.parts)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """What a test does to the root logger (some start a program in this process) ends with the test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
