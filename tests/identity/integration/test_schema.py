"""The migrated schema is the one that the code expects."""

from __future__ import annotations

import os
import subprocess
import sys

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dmp_identity.adapters.tables import METADATA


def test_the_migrated_schema_equals_the_tables(identity_database_url: str) -> None:
    url = identity_database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "target_metadata": METADATA}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_migrating_twice_does_nothing(identity_database_url: str) -> None:
    environment = {**os.environ, "DMP_IDENTITY_DATABASE_URL": identity_database_url}
    result = subprocess.run(
        [sys.executable, "-m", "dmp_identity", "migrate"], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "up to date" in result.stderr


def test_missing_settings_are_all_named(tmp_path: object) -> None:
    environment = {"PATH": os.environ["PATH"], "DMP_IDENTITY_POLICY_FILE": "/nowhere", "DMP_LOG_LEVEL": "loud"}
    result = subprocess.run(
        [sys.executable, "-m", "dmp_identity", "serve"], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2
    for name in ("DMP_IDENTITY_DATABASE_URL", "DMP_REDIS_URL", "DMP_IDENTITY_POLICY_FILE", "DMP_LOG_LEVEL"):
        assert name in result.stderr
