"""CONTRACT 3: the `contact` table, as 002 prints it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.contracts.answers import identify
from tests.contracts.payloads import fresh_email, fresh_phone

COLUMNS = {
    "id": {"integer"},
    "phoneNumber": {"text", "character varying"},
    "email": {"text", "character varying"},
    "linkedId": {"integer"},
    "linkPrecedence": {"text", "character varying", "USER-DEFINED"},
    "createdAt": {"timestamp with time zone"},
    "updatedAt": {"timestamp with time zone"},
    "deletedAt": {"timestamp with time zone"},
}

Row = dict[str, Any]


@pytest.fixture
def table(identity_store_url: str) -> Iterator[psycopg.Connection[Row]]:
    """A connection to identity's database, in the middle of which nothing is open."""
    with psycopg.connect(identity_store_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def rows(table: psycopg.Connection[Row], *ids: int) -> list[Row]:
    return table.execute("SELECT * FROM contact WHERE id = ANY(%s) ORDER BY id", [list(ids)]).fetchall()


def rows_with(table: psycopg.Connection[Row], emails: list[str]) -> list[Row]:
    return table.execute("SELECT * FROM contact WHERE email = ANY(%s) ORDER BY id", [emails]).fetchall()


def test_the_table_has_the_columns_of_the_source(table: psycopg.Connection[Row]) -> None:
    found = table.execute(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'contact'"
    ).fetchall()
    kinds = {column["column_name"]: column["data_type"] for column in found}
    assert set(COLUMNS) <= set(kinds)
    for name, expected in COLUMNS.items():
        assert kinds[name] in expected, name
    nullable = {column["column_name"] for column in found if column["is_nullable"] == "YES"}
    assert {"phoneNumber", "email", "linkedId", "deletedAt"} <= nullable
    assert not {"id", "linkPrecedence", "createdAt", "updatedAt"} & nullable


def test_a_new_person_is_a_primary_row(api: httpx.Client, table: psycopg.Connection[Row]) -> None:
    email, phone = fresh_email(), fresh_phone()
    before = datetime.now(UTC)
    (row,) = rows(table, identify(api, email=email, phoneNumber=phone)["primaryContactId"])
    assert (row["email"], row["phoneNumber"]) == (email, phone)
    assert (row["linkedId"], str(row["linkPrecedence"]), row["deletedAt"]) == (None, "primary", None)
    assert abs((row["createdAt"] - before).total_seconds()) < 10
    assert row["updatedAt"] == row["createdAt"]


def test_an_absent_half_is_null(api: httpx.Client, table: psycopg.Connection[Row]) -> None:
    (row,) = rows(table, identify(api, email=fresh_email())["primaryContactId"])
    assert row["phoneNumber"] is None
    (row,) = rows(table, identify(api, phoneNumber=fresh_phone())["primaryContactId"])
    assert row["email"] is None


def test_something_new_is_one_secondary_row_linked_to_the_primary(
    api: httpx.Client, table: psycopg.Connection[Row]
) -> None:
    phone, emails = fresh_phone(), [fresh_email() for _ in range(3)]
    answer = [identify(api, email=email, phoneNumber=phone) for email in emails][-1]
    found = rows(table, answer["primaryContactId"], *answer["secondaryContactIds"])
    assert [str(row["linkPrecedence"]) for row in found] == ["primary", "secondary", "secondary"]
    assert [row["linkedId"] for row in found] == [None, answer["primaryContactId"], answer["primaryContactId"]]
    assert [row["email"] for row in found] == emails


def test_nothing_new_makes_no_row(api: httpx.Client, table: psycopg.Connection[Row]) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    identify(api, email=emails[0], phoneNumber=phones[0])
    identify(api, email=emails[1], phoneNumber=phones[0])
    identify(api, email=emails[0], phoneNumber=phones[1])
    before = rows_with(table, emails)
    for email in emails:
        for phone in phones:
            identify(api, email=email, phoneNumber=phone)
        identify(api, email=email.upper())
    assert rows_with(table, emails) == before


def test_joining_relinks_the_newer_and_its_secondaries_and_moves_updated_at(
    api: httpx.Client, table: psycopg.Connection[Row]
) -> None:
    emails, phones = [fresh_email() for _ in range(4)], [fresh_phone(), fresh_phone()]
    older = identify(api, email=emails[0], phoneNumber=phones[0])["primaryContactId"]
    newer = identify(api, email=emails[1], phoneNumber=phones[1])["primaryContactId"]
    answers = [identify(api, email=email, phoneNumber=phones[1]) for email in emails[2:]]
    secondaries = answers[-1]["secondaryContactIds"]
    before = {row["id"]: row for row in rows_with(table, emails)}
    identify(api, email=emails[0], phoneNumber=phones[1])
    after = {row["id"]: row for row in rows_with(table, emails)}
    assert set(after) == set(before), "a request that joins two primaries adds no row"
    assert (after[older]["linkedId"], str(after[older]["linkPrecedence"])) == (None, "primary")
    for number in (newer, *secondaries):
        assert (after[number]["linkedId"], str(after[number]["linkPrecedence"])) == (older, "secondary")
        assert after[number]["updatedAt"] > before[number]["updatedAt"]
        assert after[number]["createdAt"] == before[number]["createdAt"]
        assert (after[number]["email"], after[number]["phoneNumber"]) == (
            before[number]["email"],
            before[number]["phoneNumber"],
        )


def test_a_deleted_secondary_takes_no_part(api: httpx.Client, table: psycopg.Connection[Row]) -> None:
    phone, emails = fresh_phone(), [fresh_email() for _ in range(3)]
    answer = [identify(api, email=email, phoneNumber=phone) for email in emails][-1]
    gone, stays = answer["secondaryContactIds"]
    table.execute('UPDATE contact SET "deletedAt" = now() WHERE id = %s', [gone])
    after = identify(api, phoneNumber=phone)
    assert after["primaryContactId"] == answer["primaryContactId"]
    assert after["secondaryContactIds"] == [stays]
    assert after["emails"] == [emails[0], emails[2]]


def test_a_deleted_primary_without_others_takes_no_part(api: httpx.Client, table: psycopg.Connection[Row]) -> None:
    email = fresh_email()
    gone = identify(api, email=email)["primaryContactId"]
    table.execute('UPDATE contact SET "deletedAt" = now() WHERE id = %s', [gone])
    after = identify(api, email=email)
    assert after["primaryContactId"] != gone
    assert (after["emails"], after["secondaryContactIds"]) == ([email], [])
