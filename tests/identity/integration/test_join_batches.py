"""Batches that come together share a transaction, and leave what they would have left one after another."""

from __future__ import annotations

import asyncio
import time

from dmp.identity.v1 import erasure_pb2
from dmp_chassis.uuid7 import uuid7_text
from tests.identity.batches import START_US, Event, batch, event
from tests.identity.client import Identity, people

_BATCHES = 60


async def test_batches_that_come_together_share_transactions_and_keep_their_own_answers(identity: Identity) -> None:
    together = [
        batch([event(f"{n}-{m}", email=f"{n % 20}@x.com", browser_id=f"b{m}-{n}") for m in range(1 + n % 3)])
        for n in range(_BATCHES)
    ]
    answers = await asyncio.gather(*map(identity.apply_batch, together))
    by_person: dict[str, set[str]] = {}
    for number, answer in enumerate(answers):
        assert not answer.already_applied
        assert len(people(answer)) == 1 + number % 3
        by_person.setdefault(f"{number % 20}@x.com", set()).update(people(answer))
    assert all(len(found) == 1 for found in by_person.values())
    assert len(set().union(*by_person.values())) == 20
    assert await identity.rows("SELECT count(*), count(DISTINCT event_id) FROM timeline_entry") == [(120, 120)]
    ((transactions,),) = await identity.rows("SELECT count(DISTINCT xmin::text) FROM inbox")
    assert transactions < _BATCHES / 2


async def test_batches_that_were_applied_before_are_known_among_new_ones(identity: Identity) -> None:
    old = [batch([event(f"old-{n}", email=f"{n}@x.com")]) for n in range(5)]
    await asyncio.gather(*map(identity.apply_batch, old))
    new = [batch([event(f"new-{n}", email=f"{n}@x.com")]) for n in range(5)]
    answers = await asyncio.gather(*map(identity.apply_batch, [*new, *old, *old]))
    assert [answer.already_applied for answer in answers] == [False] * 5 + [True] * 10
    assert await identity.rows("SELECT count(*) FROM timeline_entry") == [(10,)]


async def test_people_made_by_joined_batches_are_as_old_as_their_own_batch(identity: Identity) -> None:
    ages = {f"{n}@x.com": START_US + (n * 7 % 50) * 1_000_000 for n in range(50)}
    together = [batch([event(email=email)], accepted_at_us=at_us) for email, at_us in ages.items()]
    await asyncio.gather(*map(identity.apply_batch, together))
    made = await identity.rows(
        "SELECT i.value, p.created_at_us FROM identifier i JOIN profile p ON p.id = i.profile_id"
    )
    assert dict(made) == ages
    ((transactions,),) = await identity.rows("SELECT count(DISTINCT xmin::text) FROM inbox")
    assert transactions < 25


async def test_batches_from_before_an_erasure_lose_the_erased_person_among_others(identity: Identity) -> None:
    (person,) = await identity.apply(event("e1", email="gone@x.com"))
    erasure_id = uuid7_text()
    before_us = time.time_ns() // 1000
    request = erasure_pb2.ErasePersonRequest(erasure_id=erasure_id, internal_user_id=person)
    while not (await identity.stub.ErasePerson(request)).finished:
        pass
    late = [batch([event(f"late-{n}", email="gone@x.com")], accepted_at_us=before_us) for n in range(5)]
    others = [batch([event(f"other-{n}", email=f"{n}@x.com")], accepted_at_us=before_us + 1) for n in range(5)]
    after_us = time.time_ns() // 1000
    new = [batch([event(f"new-{n}", email="gone@x.com")], accepted_at_us=after_us) for n in range(5)]
    answers = await asyncio.gather(*map(identity.apply_batch, [*late, *others, *new]))
    found = [people(answer)[0] for answer in answers]
    assert found[:5] == [""] * 5
    assert len(set(found[5:10])) == 5
    assert len(set(found[10:])) == 1
    assert person not in found
    page = await identity.stub.ListErasedEvents(erasure_pb2.ListErasedEventsRequest(erasure_id=erasure_id))
    assert set(page.event_ids) == {"e1", *(f"late-{n}" for n in range(5))}


async def test_a_merge_among_batches_that_come_together_makes_one_person_of_all(identity: Identity) -> None:
    together = [
        batch([event("a", email="a@x.com")], accepted_at_us=START_US + 1),
        batch([event("b", phone="+49301")], accepted_at_us=START_US + 2),
        batch([event("c", email="a@x.com", phone="+49301")], accepted_at_us=START_US + 3),
        batch([Event(identifiers={"phone": "+49301"}, event_id="d")], accepted_at_us=START_US + 4),
    ]
    answers = await asyncio.gather(*map(identity.apply_batch, together))
    # An answer names the people of its own transaction, which may be that of the merge or one before it.
    now = [await identity.profile(people(answer)[0]) for answer in answers]
    assert len({person.internal_user_id for person in now}) == 1
    assert len(now[0].events) == 4
