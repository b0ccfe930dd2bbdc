"""A value that turns out to be shared, under the limits of the packaged policy."""

from __future__ import annotations

import pytest

from dmp.identity.v1 import explanation_pb2
from tests.identity.batches import Event, event
from tests.identity.client import Identity, shown

PHONE = "+49 30 123456"
LIMIT = 20


async def crowd(identity: Identity) -> list[str]:
    """The e-mails of the person who has the phone."""
    people = await identity.rows(
        "SELECT e.value FROM identifier s JOIN profile sp ON sp.id = s.profile_id"
        " JOIN profile p ON p.root_id = sp.root_id JOIN identifier e ON e.profile_id = p.id AND e.type = 'email'"
        " WHERE s.type = 'phone'"
    )
    return [value for (value,) in people]


async def apply_in(identity: Identity, events: list[Event], size: int) -> list[str]:
    """Applies events in batches of a size."""
    people: list[str] = []
    for start in range(0, len(events), size):
        people += await identity.apply(*events[start : start + size])
    return people


@pytest.mark.parametrize("size", [7, 600])
async def test_a_phone_of_500_known_people_joins_twenty(identity: Identity, size: int) -> None:
    owners = await apply_in(identity, [event(email=f"{n}@x.com") for n in range(515)], size)
    showing = await apply_in(identity, [event(email=f"{n}@x.com", phone=PHONE) for n in range(515)], size)
    assert len(await crowd(identity)) == LIMIT
    assert showing[LIMIT:] == owners[LIMIT:]
    assert len(set(owners[LIMIT:])) == 515 - LIMIT
    refused = await identity.stub.ListRefusals(
        explanation_pb2.ListRefusalsRequest(rule="shared", internal_user_id=owners[514])
    )
    assert [(r.identifier, r.value) for r in refused.refusals] == [("phone", "+4930123456")]


@pytest.mark.parametrize("size", [7, 600])
@pytest.mark.parametrize("alone", [0, 1])
async def test_a_phone_of_500_strangers_joins_twenty_and_all_are_learned(
    identity: Identity, size: int, alone: int
) -> None:
    events = [event(phone=PHONE)] * alone + [event(email=f"{n}@x.com", phone=PHONE) for n in range(515)]
    people = await apply_in(identity, events, size)
    assert len(await crowd(identity)) == LIMIT
    assert len(set(people)) == 1 + 515 - LIMIT
    assert (await identity.match("email", "514@x.com")).internal_user_id == people[-1]
    # Alone it names nobody any more.
    assert (await identity.apply(event(phone=PHONE)))[0] not in people


async def test_a_person_who_reaches_a_limit_keeps_all_and_gets_no_more(identity: Identity) -> None:
    (person, *_) = await identity.apply(*(event(email="a@x.com", user_id=f"u{n}") for n in range(12)))
    profile = await identity.profile(person)
    assert shown(profile, "user_ids") == [f"u{n}" for n in range(5)]
    assert len(profile.events) == 12
    refused = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(internal_user_id=person))
    assert sorted((r.rule, r.value) for r in refused.refusals) == sorted(("limit", f"u{n}") for n in range(5, 12))
    # What was set aside is not lost for others: alone it is somebody of its own.
    (other,) = await identity.apply(event(user_id="u7"))
    assert other != person
    assert await identity.apply(event(email="a@x.com", user_id="u7"), event(email="a@x.com")) == [other, person]


async def test_an_address_of_twenty_user_ids_is_shared_with_the_next_one(identity: Identity) -> None:
    people = await identity.apply(*(event(email="shop@x.com", user_id=f"u{n}") for n in range(30)))
    assert set(people[:LIMIT]) == {people[0]}
    assert len(set(people[LIMIT:])) == 10
    assert [row[0] for row in await identity.rows("SELECT value FROM identifier WHERE shared_at_us IS NOT NULL")] == [
        "shop@x.com"
    ]


async def test_who_has_more_than_a_new_limit_still_meets_others(identity: Identity) -> None:
    (old,) = await identity.apply(event(email="0@x.com"))
    number = int(old.removeprefix("user_"), 36)
    await identity.rows(
        "INSERT INTO identifier (type, value, profile_id, first_seen_at_us, ordinal, cause, ref, source, via_type,"
        " via_value) SELECT 'email', n || '@x.com', %s, n, n, 'event', 'e' || n, '', 'email', '0@x.com'"
        " FROM generate_series(1, 300) n",
        (number,),
    )
    assert await identity.apply(event(email="250@x.com")) == [old]
    other, known = await identity.apply(event(phone="1"), event(email="new@x.com"))
    assert await identity.apply(event(email="7@x.com", phone="1")) == [old]
    assert (await identity.profile(other)).internal_user_id == old
    # One more e-mail is not joined, and its event goes to whom it names.
    assert await identity.apply(event(email="new@x.com", phone="1")) == [known]
    assert len(shown(await identity.profile(old), "emails")) == 301
