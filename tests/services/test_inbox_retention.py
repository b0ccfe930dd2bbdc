"""Both consumers forget which batches they applied, when that was long ago."""

from __future__ import annotations

import importlib
import uuid

import psycopg
import pytest

from dmp_chassis.service import ServiceDefinition
from tests.conditions import eventually

_LONG_AGO, _LATELY = str(uuid.UUID(int=1 << 80)), str(uuid.UUID(int=2 << 80))


@pytest.mark.parametrize("context", ["identity", "stats"])
async def test_a_service_that_runs_forgets_old_batches(context: str, request: pytest.FixtureRequest) -> None:
    database_url: str = request.getfixturevalue(f"{context}_database_url")
    service = importlib.import_module(f"dmp_{context}.app").SERVICE
    assert isinstance(service, ServiceDefinition)
    environment = {
        f"DMP_{context.upper()}_DATABASE_URL": database_url,
        f"DMP_{context.upper()}_LISTEN": "127.0.0.1:0",
        "DMP_REDIS_URL": "unix:///nowhere",
        f"DMP_{context.upper()}_INBOX_RETENTION_DAYS": "3",
    }
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO inbox (batch_id, applied_at) VALUES (%s, now() - interval '4 days'), (%s, now())",
            (_LONG_AGO, _LATELY),
        )

        async def is_gone() -> bool:
            rows = await (await connection.execute("SELECT batch_id::text FROM inbox")).fetchall()
            return rows == [(_LATELY,)]

        async with await service.start(service.read_settings(environment)):
            await eventually(is_gone)
