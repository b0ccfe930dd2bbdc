"""The audit log of acts: with the transaction or not at all, then for good, and read in one order."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from dmp_chassis.actions import (
    MOST_SUBJECTS,
    Action,
    ActionPage,
    action_query,
    expire_actions,
    list_actions,
    page_of,
    record,
    remove_reasons,
)
from dmp_chassis.database import Database, raw
from dmp_chassis.domain_events import InMemoryPublisher, drain
from dmp_chassis.migrations import migrate
from dmp_chassis.violations import InvalidArgument
from tests.servers import PostgresFixture

NOW = datetime.now(UTC)
FORBIDDEN = (
    "UPDATE action SET actor = 'somebody else'",
    "UPDATE action SET reason = NULL",
    "DELETE FROM action",
    "TRUNCATE action",
    "SET dmp.actions = 'remove_reasons'; UPDATE action SET reason = 'another'",
    "SET dmp.actions = 'remove_reasons'; UPDATE action SET reason = NULL, actor = 'x'",
    "SET dmp.actions = 'remove_reasons'; DELETE FROM action",
    "SET dmp.actions = 'expire'; UPDATE action SET actor = 'x'",
    "SET dmp.actions = 'expire'; TRUNCATE action",
)
MIGRATIONS = Path(__file__).parents[2] / "services" / "stats" / "src" / "dmp_stats" / "migrations"


@pytest.fixture(scope="module")
def database_url(postgres: PostgresFixture) -> Iterator[str]:
    """A database with a service's tables: its migration makes the trigger."""
    url = postgres.create_database("chassis_actions")
    migrate(url, MIGRATIONS)
    yield url
    postgres.drop_database("chassis_actions")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same without actions."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers
        connection.execute("TRUNCATE domain_event_outbox")
        connection.execute("DELETE FROM action")
    opened = Database.connect(database_url, pool_size=5, application_name="chassis test")
    yield opened
    await opened.close()


def act(kind: str = "merge_profiles", *, actor: str = "desk", hours_ago: float = 0, **fields: Any) -> Action:  # noqa: ANN401 - any of its fields
    at = NOW - timedelta(hours=hours_ago)
    return Action(kind=kind, actor=actor, result="done", acted_at=at, **{"subjects": [], **fields})


async def store(database: Database, *actions: Action) -> None:
    for action in actions:
        async with database.begin() as connection:
            await record(raw(connection), action)


async def read(database: Database, **asked: str | int) -> ActionPage:
    everything: dict[str, str | int] = dict.fromkeys(("first", "last", "kind", "actor", "page_token"), "")
    query = action_query(**{**everything, "page_size": 0, **asked})  # type: ignore[arg-type]
    async with database.read() as connection:
        return await list_actions(connection, query)


async def all_pages(database: Database, page_size: int) -> list[Action]:
    found: list[Action] = []
    page = await read(database, page_size=page_size)
    while page.next_page_token:
        found += page.actions
        page = await read(database, page_size=page_size, page_token=page.next_page_token)
    return [*found, *page.actions]


@pytest.mark.asyncio
async def test_an_action_is_read_as_it_was_recorded(database: Database) -> None:
    action = act(subjects=["user_1"], refs={"merge_id": "m"}, counts={"people": 2}, reason="seen at the desk")
    await store(database, action)
    assert list((await read(database)).actions) == [action]


@pytest.mark.asyncio
async def test_an_action_goes_with_its_transaction(database: Database) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with database.begin() as connection:
            await record(raw(connection), act())
            raise ZeroDivisionError
    assert not (await read(database)).actions


@pytest.mark.asyncio
async def test_each_action_is_a_domain_event_without_its_reason(database: Database) -> None:
    await store(database, act(subjects=["user_1"], refs={"merge_id": "m"}, reason="a secret"))
    publisher = InMemoryPublisher()
    await drain(database, publisher)
    (event,), _ = await publisher.read(None, 10)
    assert event.kind == "ActionRecorded"
    assert event.payload["internal_user_ids"] == ["user_1"]
    assert event.payload["refs"] == {"merge_id": "m"}
    assert "secret" not in str(event.payload)


@pytest.mark.asyncio
async def test_an_action_names_a_bounded_number_of_subjects(database: Database) -> None:
    await store(database, act(subjects=[f"user_{number}" for number in range(5000)]))
    (action,) = (await read(database)).actions
    assert len(action.subjects) == MOST_SUBJECTS


@pytest.mark.asyncio
async def test_what_is_written_is_not_changed(database: Database, database_url: str) -> None:
    action = act(reason="because")
    await store(database, action)
    for statement in FORBIDDEN:
        with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(statement.encode())
        assert list((await read(database)).actions) == [action], statement


@pytest.mark.asyncio
async def test_pages_have_every_action_once_the_newest_first_also_of_one_instant(database: Database) -> None:
    actions = [act(hours_ago=number // 3) for number in range(20)]
    await store(database, *actions)
    expected = sorted(actions, key=lambda action: (action.acted_at, action.id), reverse=True)
    for page_size in (1, 3, 7, 19, 20, 21):
        assert await all_pages(database, page_size) == expected


@pytest.mark.asyncio
async def test_actions_of_one_instant_have_one_order_however_the_database_finds_them(database: Database) -> None:
    """An index has them in this order; without it, only a statement that asks for the order does."""
    actions = [act() for _ in range(12)]
    await store(database, *actions[::2], *reversed(actions[1::2]))
    found: list[Action] = []
    token = ""
    async with database.read() as connection:
        await raw(connection).execute("SET LOCAL enable_indexscan = off")
        await raw(connection).execute("SET LOCAL enable_bitmapscan = off")
        while len(found) < 12:
            query = action_query(first="", last="", kind="", actor="", page_size=2, page_token=token)
            page = await list_actions(connection, query)
            found += page.actions
            token = page.next_page_token
            if not token:
                break
    assert found == sorted(actions, key=lambda action: action.id, reverse=True)


@pytest.mark.asyncio
async def test_pages_go_on_where_they_were_while_others_act(database: Database) -> None:
    old = [act(hours_ago=number + 1) for number in range(4)]
    await store(database, *old)
    first = await read(database, page_size=2)
    await store(database, act())
    second = await read(database, page_size=2, page_token=first.next_page_token)
    assert [*first.actions, *second.actions] == old


@pytest.mark.asyncio
async def test_filters_by_time_kind_and_actor(database: Database) -> None:
    merged, undone, other = act(hours_ago=3), act("undo_merge", hours_ago=2), act(actor="robot", hours_ago=1)
    await store(database, merged, undone, other)

    async def found(**asked: str) -> Sequence[Action]:
        return (await read(database, **asked)).actions

    assert list(await found(first=undone.acted_at.isoformat())) == [other, undone]
    assert list(await found(last=undone.acted_at.isoformat())) == [undone, merged]
    assert list(await found(kind="undo_merge")) == [undone]
    assert list(await found(actor="robot")) == [other]
    assert not await found(actor="robot", kind="undo_merge")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"first": "yesterday"}, "from"),
        ({"last": "1"}, "to"),
        ({"first": "2026-01-02T00:00:00Z", "last": "2026-01-01T00:00:00Z"}, "from"),
        ({"kind": "DROP TABLE"}, "kind"),
        ({"actor": "x" * 65}, "actor"),
        ({"actor": "\0"}, "actor"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "another"}, "page_token"),
        ({"page_token": "WzEsIm5vIGlkIl0"}, "page_token"),
    ],
)
def test_a_bad_query_names_the_field(asked: dict[str, str | int], field: str) -> None:
    everything = {"first": "", "last": "", "kind": "", "actor": "", "page_size": 0, "page_token": ""}
    with pytest.raises(InvalidArgument) as raised:
        action_query(**{**everything, **asked})  # type: ignore[arg-type]
    assert [violation.field for violation in raised.value.violations] == [field]


def test_a_full_page_has_a_token_if_only_one_source_has_more() -> None:
    actions = [act(hours_ago=number) for number in range(2)]
    assert not page_of(actions, 2).next_page_token
    assert page_of(actions, 2, more=True).next_page_token


@pytest.mark.asyncio
async def test_what_is_older_than_it_is_kept_goes_in_slices(database: Database, database_url: str) -> None:
    kept, old = act(hours_ago=47), act(hours_ago=49)
    await store(database, kept, old)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO action SELECT gen_random_uuid(), now() - interval '3 days', 'x', '-', 'done', '{}', '{}', '{}'"
            " FROM generate_series(1, 2500)"
        )
    assert await expire_actions(database, days=0) == 0
    assert await expire_actions(database, days=2) == 2501
    assert list((await read(database)).actions) == [kept]


@pytest.mark.asyncio
async def test_an_erasure_takes_reasons_away_that_are_about_the_person_or_name_them(database: Database) -> None:
    about = act(subjects=["user_1", "user_2"], refs={"merge_id": "m"}, reason="a mistake", hours_ago=1)
    naming = act(subjects=["user_3"], reason="the same as Ann@Example.com, he said", hours_ago=2)
    short = act(subjects=["user_3"], reason="user 7 asked", hours_ago=3)
    others = [
        act(subjects=["user_4"], reason=reason, hours_ago=4 + number)
        for number, reason in enumerate(["user 17 asked", "joann@example.com", "50 % (sic) .* \\"])
    ]
    await store(database, about, naming, short, *others)
    async with database.begin() as connection:
        gone = await remove_reasons(
            raw(connection), subjects=["user_1"], texts=["ann@example.com", "7", "+49 (30) 1", "[a-z]*", ""]
        )
    assert sorted(refs.get("merge_id", "") for refs in gone) == ["", "", "m"]
    left = (await read(database)).actions
    assert [action.reason for action in left] == [None, None, None, *(other.reason for other in others)]
    assert [action.id for action in left] == [about.id, naming.id, short.id, *(other.id for other in others)]
    async with database.begin() as connection:
        await remove_reasons(raw(connection), subjects=["user_9"], texts=[])
        with pytest.raises(psycopg.errors.RestrictViolation):
            await raw(connection).execute("UPDATE action SET reason = NULL")
        await raw(connection).rollback()
