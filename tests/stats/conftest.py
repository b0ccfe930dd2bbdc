"""A stats service for each test: a real gRPC server on a real database, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.stats.service import StatsCluster


@pytest.fixture
async def cluster(stats_database_url: str, redis_url: str) -> AsyncIterator[StatsCluster]:
    """Starts replicas on demand; all of them end with the test."""
    async with StatsCluster(stats_database_url, redis_url) as running:
        yield running
