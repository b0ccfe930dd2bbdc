"""The migrated schema is the one that the code works with."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dmp_stats.adapters.tables import METADATA


def test_the_migrated_schema_equals_the_tables(stats_database_url: str) -> None:
    engine = sa.create_engine(stats_database_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            options = {"compare_type": True, "compare_server_default": True}
            context = MigrationContext.configure(connection, opts=options)
            differences: list[Any] = compare_metadata(context, METADATA)
    finally:
        engine.dispose()
    assert differences == []
