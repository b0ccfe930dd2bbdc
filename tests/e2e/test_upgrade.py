"""Databases of the first release become those of this one, with what is in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dmp_chassis.migrations import migrate
from tests.servers import PostgresFixture

_SERVICES = Path(__file__).parents[2] / "services"
_MIGRATIONS = {
    context: _SERVICES / context / "src" / f"dmp_{context}" / "migrations"
    for context in ("ingest", "identity", "stats")
}
_FIRST_RELEASE = {"ingest": "0002", "identity": "0002", "stats": "0001"}
_ROWS = {
    "ingest": """
        INSERT INTO event (event_key, batch_id, fingerprint, occurred_at, received_at, event_id, type, identifiers)
        VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 1, now(), now(), 'e', 'click', '[]');
        INSERT INTO outbox VALUES (gen_random_uuid(), 'x', false, true, 0, now());
        INSERT INTO erasure (id, internal_user_id, requested_at, cleaned_events)
        VALUES (gen_random_uuid(), 'user_1', now(), 0)
    """,
    "identity": """
        INSERT INTO profile VALUES (1, 1, 1, true), (2, 2, 1, true);
        INSERT INTO merge (id, cause, ref, source, reason, merged_at_us, undone_at_us, undo_reason)
        VALUES ('00000000-0000-0000-0000-000000000001', 'event', 'e', 's', '', 1, 2, 'wrong');
        INSERT INTO merge_edge (merge_id, ordinal, survivor_id, merged_id, profile_a, profile_b)
        VALUES ('00000000-0000-0000-0000-000000000001', 0, 1, 2, 1, 2)
    """,
    "stats": "INSERT INTO rollup VALUES ('c', 1, 1, 'click', 2, 3, 4, 5)",
}
_KEPT = {
    "ingest": (
        (
            "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM outbox),"
            " (SELECT count(*) FROM erasure WHERE due_at <= now() AND failures = 0)"
        ),
        (1, 1, 1),
    ),
    "identity": ("SELECT array_agg(profile_id ORDER BY profile_id) FROM separated_profile", ([1, 2],)),
    "stats": ("SELECT sum(count), (SELECT count(*) FROM forgotten_user) FROM rollup", (3, 0)),
}
_FACTS = (
    (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
        " FROM information_schema.columns WHERE table_schema = 'public'"
    ),
    "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    (
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
    ),
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "SELECT relname, reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "SELECT version_num FROM alembic_version",
)


def facts_of(url: str) -> list[list[str]]:
    """Everything that the schema consists of."""
    with psycopg.connect(url) as connection:
        return [sorted(map(repr, connection.execute(question.encode()).fetchall())) for question in _FACTS]


@pytest.fixture
def old_database_url(postgres: PostgresFixture) -> Iterator[str]:
    """An empty database."""
    yield postgres.create_database("first_release")
    postgres.drop_database("first_release")


@pytest.mark.parametrize("context", _MIGRATIONS)
def test_a_database_of_the_first_release_becomes_one_of_this_release(
    postgres: PostgresFixture, old_database_url: str, tmp_path: Path, context: str
) -> None:
    before = tmp_path / "migrations"
    shutil.copytree(_MIGRATIONS[context], before, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (before / "versions").glob("*.py"):
        if path.name[:4] > _FIRST_RELEASE[context]:
            path.unlink()
    migrate(old_database_url, before)
    with psycopg.connect(old_database_url) as connection:
        connection.execute(_ROWS[context].encode())
    migrate(old_database_url, _MIGRATIONS[context])
    name, new_url = postgres.migrated_clone(context)
    try:
        assert facts_of(old_database_url) == facts_of(new_url)
    finally:
        postgres.drop_database(name)
    question, answer = _KEPT[context]
    with psycopg.connect(old_database_url) as connection:
        assert connection.execute(question.encode()).fetchone() == answer
