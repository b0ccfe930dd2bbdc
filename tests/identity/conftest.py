"""A running identity service on its own database, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.settings import load_policy
from tests.identity.client import Identity, running


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The policy of the service in the test; a test module may override it."""
    return load_policy()


@pytest.fixture
async def identity(identity_database_url: str, redis_url: str, policy: IdentifierPolicy) -> AsyncIterator[Identity]:
    """One running service and its client."""
    async with running(identity_database_url, redis_url, policy) as client:
        yield client


@pytest.fixture
async def replicas(
    identity_database_url: str, redis_url: str, policy: IdentifierPolicy
) -> AsyncIterator[list[Identity]]:
    """Two running services on one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running(identity_database_url, redis_url, policy)) for _ in range(2)]
