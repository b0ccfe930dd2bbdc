"""A database of the release before becomes one of this release, with what it has, and while it is written to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from dmp_chassis.migrations import migrate
from dmp_identity.settings import load_policy
from tests.identity.batches import event
from tests.identity.client import running
from tests.servers import PostgresFixture

_MIGRATIONS = Path(str(resources.files("dmp_identity"))) / "migrations"
_RELEASE_BEFORE, _BEFORE_THE_INDEXES = "0002", "0003"


@pytest.fixture
def database_url(postgres: PostgresFixture) -> Iterator[str]:
    """An empty database."""
    yield postgres.create_database("identity_upgrade")
    postgres.drop_database("identity_upgrade")


def migrate_until(url: str, last: str, directory: Path) -> None:
    """Applies the revisions up to one."""
    shutil.copytree(_MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (directory / "versions").glob("*.py"):
        if path.name[:4] > last:
            path.unlink()
    migrate(url, directory)


async def test_people_of_the_release_before_are_found(database_url: str, redis_url: str, tmp_path: Path) -> None:
    migrate_until(database_url, _RELEASE_BEFORE, tmp_path / "before")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO profile VALUES (1, 1, 1, true)")
        connection.execute(
            "INSERT INTO identifier (type, value, profile_id, first_seen_at_us, ordinal, cause, ref, source)"
            " VALUES ('email', 'a@b.com', 1, 1, 1, 'event', 'e1', 's')"
        )
        connection.execute("INSERT INTO weak_link VALUES ('browser_id', 'b1', 1, 1, 1, NULL)")
    migrate(database_url, _MIGRATIONS)
    async with running(database_url, redis_url, load_policy()) as identity:
        assert (await identity.match("email", "A@b.com")).internal_user_id == "user_1"
        assert (await identity.match("browser_id", "b1")).internal_user_id == "user_1"
        assert await identity.apply(event(email="a@b.com", phone="1"), event(browser_id="b1")) == ["user_1", "user_1"]


def test_indexes_are_made_while_others_write(database_url: str, tmp_path: Path) -> None:
    migrate_until(database_url, _BEFORE_THE_INDEXES, tmp_path / "before")
    insert = "INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal) VALUES ('b', %s, 1, 1, 1)"
    making = "SELECT 1 FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    job = threading.Thread(target=migrate, args=(database_url, _MIGRATIONS))
    with psycopg.connect(database_url, autocommit=True) as other:
        with psycopg.connect(database_url) as writer:
            writer.execute(insert, ("1",))
            job.start()
            while not other.execute(making).fetchone():
                assert job.is_alive()
            other.execute("SET lock_timeout = '1s'")
            other.execute(insert, ("2",))
        job.join(60)
        assert not job.is_alive()
        assert other.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall() == []
        assert other.execute("SELECT version_num >= '0004' FROM alembic_version").fetchone() == (True,)
