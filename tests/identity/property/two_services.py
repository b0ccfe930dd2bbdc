"""Two identity services of one database, in a loop of their own."""

from __future__ import annotations

import asyncio

import psycopg

from dmp_identity.api.servicer import IdentityServicer
from dmp_identity.app import assemble
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.client import settings as service_settings


class System:
    """Two services for all examples, in one loop, and a connection to their database."""

    def __init__(self, database_url: str, redis_url: str, policy: IdentifierPolicy) -> None:
        self.runner = asyncio.Runner()
        self.servicers = self.runner.run(self._start(database_url, redis_url, policy))
        self.database = psycopg.connect(database_url, autocommit=True)

    async def _start(self, database_url: str, redis_url: str, policy: IdentifierPolicy) -> list[IdentityServicer]:
        self._parts = [assemble(service_settings(database_url, redis_url, policy)) for _ in range(2)]
        servicers = [parts.servicer for parts in self._parts if isinstance(parts.servicer, IdentityServicer)]
        self._requests = [asyncio.ensure_future(servicer.identifier.run()) for servicer in servicers]
        return servicers

    def close(self) -> None:
        """Stops both services."""

        async def stop() -> None:
            for requests in self._requests:
                requests.cancel()
            await asyncio.wait(self._requests)
            for parts in self._parts:
                for close in parts.on_close:
                    await close()

        self.runner.run(stop())
        self.runner.close()
        self.database.close()
