"""The epoch of the log: 8 bytes that change whenever the log may lack events that it has had.

A restore from a backup, a recovery to a moment in the past and a promoted standby may all take back commits. Each of
them starts a server or makes the table anew. So the epoch is a digest of when the server was started, which database it
is, and which table and file the log is in. An ordinary restart of the server changes it, too, which costs no more than
an empty Redis (ADR 0013).
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import Final

from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.pipeline_pool import PipelinePool

_READ: Final = b"""
SELECT timestamptz_send(pg_postmaster_start_time()) || oidsend(d.oid) || oidsend(c.oid)
       || oidsend(coalesce(pg_relation_filenode(c.oid), 0::oid))
FROM pg_class c, pg_database d WHERE c.oid = to_regclass('event') AND d.datname = current_database()
"""
_KNOWN_SECONDS: Final = 5.0
"""A replica that meets no repeated event asks so often, so that all replicas soon name the same epoch."""


class LogEpoch:
    """The epoch, as the database says it and as it was last seen."""

    def __init__(self, url: str) -> None:
        self._pool = PipelinePool(url, _READ, parameters=0, application_name="ingest epoch")
        self._known = b""
        self._known_until = 0.0

    async def known(self) -> bytes:
        """The epoch as it was at most a few seconds ago: to name claims by. Raises as `read` does."""
        if time.monotonic() > self._known_until:
            return await self.read()
        return self._known

    async def read(self) -> bytes:
        """The epoch now, in one round trip: what Redis said in this epoch before the call is true of the log.

        Raises DependencyUnavailable if the database does not answer, else what it raises.
        """
        (result,) = await self._pool.run_once([()])
        told = result.get_value(0, 0) if result.ntuples else None
        if told is None:  # the table is not there at this moment
            raise DependencyUnavailable("postgres")
        self._known = blake2b(told, digest_size=8).digest()
        self._known_until = time.monotonic() + _KNOWN_SECONDS
        return self._known

    async def close(self) -> None:
        """Closes its connections."""
        await self._pool.close()
