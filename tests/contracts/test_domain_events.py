"""CONTRACT 5: domain events go out at least once to a Redis stream that a reader can resume from a cursor."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import redis

from tests.contracts.answers import identify, person_of, post_events, stored
from tests.contracts.payloads import Json, campaign_event, fresh_email, fresh_phone, from_now, identified_event

STREAM = "dmp:{domain-events}"
DEADLINE_SECONDS = 15.0


class Reader:
    """Reads the stream from where it is when the reader is made."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        newest: Any = client.xrevrange(STREAM, count=1)
        self._cursor = newest[0][0] if newest else b"0-0"
        self.events: list[Json] = []

    def more(self) -> None:
        answer: Any = self._client.xread({STREAM: self._cursor}, count=1000, block=200)
        for _, entries in answer.items() if isinstance(answer, dict) else answer or []:
            flat = entries[0] if entries and isinstance(entries[0], list) else entries
            for cursor, fields in flat:
                self._cursor = cursor
                event = {name.decode(): value.decode() for name, value in fields.items()}
                self.events.append({**event, "payload": json.loads(event["payload"])})

    def wait_for(self, kind: str, fits: Callable[[Json], bool]) -> Json:
        """The first event of this kind whose payload fits."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            for event in self.events:
                if event["kind"] == kind and fits(event["payload"]):
                    return event
            self.more()
        kinds = [(event["kind"], event["payload"]) for event in self.events]
        raise AssertionError(f"no {kind} that fits among {kinds}")


@pytest.fixture
def reader(redis_store_url: str) -> Iterator[Reader]:
    with redis.Redis.from_url(redis_store_url) as client:
        yield Reader(client)


def mentions(*texts: str) -> Callable[[Json], bool]:
    """Whether a payload holds all the texts somewhere."""
    return lambda payload: all(text in json.dumps(payload) for text in texts)


def anything(_: Json) -> bool:
    return True


def test_accepted_events_are_published(api: httpx.Client, reader: Reader) -> None:
    stored(api, [campaign_event() for _ in range(7)])
    reader.wait_for("EventsAccepted", anything)


def test_ignored_duplicates_are_published(api: httpx.Client, reader: Reader) -> None:
    event = campaign_event()
    stored(api, event)
    post_events(api, event)
    reader.wait_for("DuplicatesIgnored", anything)


def test_rejected_events_are_published(api: httpx.Client, reader: Reader) -> None:
    post_events(api, campaign_event(type="nonsense"))
    reader.wait_for("EventsRejected", anything)


def test_new_profiles_are_published(api: httpx.Client, reader: Reader) -> None:
    profile = person_of(api, identified_event())
    reader.wait_for("ProfileCreated", mentions(profile))


def test_profiles_that_contacts_make_are_published(api: httpx.Client, reader: Reader) -> None:
    email = fresh_email()
    identify(api, email=email)
    found = api.get("/debug/match", params={"identifier": "email", "value": email}).json()
    reader.wait_for("ProfileCreated", mentions(found["internal_user_id"]))


def test_merges_by_events_are_published(api: httpx.Client, reader: Reader) -> None:
    email, phone = fresh_email(), fresh_phone()
    older = person_of(api, identified_event(identifiers={"email": email}))
    newer = person_of(api, identified_event(identifiers={"phone": phone}))
    person_of(api, identified_event(identifiers={"phone": phone, "email": email}))
    reader.wait_for("ProfilesMerged", mentions(older, newer))


def test_merges_by_hand_are_published(api: httpx.Client, reader: Reader) -> None:
    profiles = [person_of(api, identified_event()) for _ in range(2)]
    merge_id = api.post("/merge", json={"internal_user_ids": profiles}).json()["merge_id"]
    assert merge_id
    reader.wait_for("ProfilesMerged", mentions(*profiles))


def test_merges_by_contacts_are_published(api: httpx.Client, reader: Reader) -> None:
    emails, phones = [fresh_email(), fresh_email()], [fresh_phone(), fresh_phone()]
    for email, phone in zip(emails, phones, strict=True):
        identify(api, email=email, phoneNumber=phone)
    profiles = [
        api.get("/debug/match", params={"identifier": "email", "value": email}).json()["internal_user_id"]
        for email in emails
    ]
    identify(api, email=emails[0], phoneNumber=phones[1])
    reader.wait_for("ProfilesMerged", mentions(*profiles))


def test_a_replaced_reference_table_is_published(api: httpx.Client, reader: Reader) -> None:
    answer = api.put("/reference/users", json={"user_metadata": {}, "ts": from_now(0)}).json()
    reader.wait_for("ReferenceReplaced", lambda payload: answer["generation"] in payload.values())


def test_every_published_event_has_an_id_and_a_time(api: httpx.Client, reader: Reader) -> None:
    person_of(api, identified_event())
    reader.wait_for("EventsAccepted", anything)
    reader.wait_for("ProfileCreated", anything)
    for event in reader.events:
        assert uuid.UUID(event["id"]).version == 7
        assert datetime.fromisoformat(event["occurred_at"]).tzinfo is not None


def test_a_reader_resumes_from_its_cursor(api: httpx.Client, reader: Reader, redis_store_url: str) -> None:
    first = person_of(api, identified_event())
    reader.wait_for("ProfileCreated", mentions(first))
    seen = len(reader.events)
    second = person_of(api, identified_event())
    reader.wait_for("ProfileCreated", mentions(second))
    assert not any(
        mentions(first)(event["payload"]) for event in reader.events[seen:] if event["kind"] == "ProfileCreated"
    )
