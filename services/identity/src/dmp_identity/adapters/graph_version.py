"""Reads the version of the graph. The database itself counts: triggers on its tables do, whoever changes them."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from dmp_identity.domain.snapshot import GraphVersion

SERVER: Final = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"
"""The first number of a version, as an expression of SQL; the others are columns of `graph_version`."""

_VERSION: Final = f"SELECT {SERVER}, people, evidence FROM graph_version".encode()  # noqa: S608  # no input in it


async def read_graph_version(connection: psycopg.AsyncConnection[Any]) -> GraphVersion:
    """The version that this transaction sees now, its own changes included."""
    cursor = await connection.execute(_VERSION)
    row = await cursor.fetchone()
    assert row is not None
    return GraphVersion(*row)
