"""What a replica remembers is never believed after another replica has made it wrong."""

from __future__ import annotations

import asyncio

import pytest

from dmp.identity.v1 import erasure_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from tests.identity.batches import Event, batch, event
from tests.identity.cached_replicas import TYPES, before_loading, knows, learn
from tests.identity.client import Identity, people


@pytest.fixture
def policy() -> IdentifierPolicy:
    """A value is shared once it came with three others of a type, a device says nothing once it has three owners."""
    return policy_from_mapping({"types": TYPES})


async def test_a_merge_by_hand_counts_for_the_other_replica(replicas: list[Identity]) -> None:
    first, second = event(email="a"), event(email="b", browser_id="x")
    a, b = await learn(replicas, first, second)
    await replicas[0].merge(a, b)
    for identity in replicas:
        assert await identity.apply(event(email="b", browser_id="x"), event(email="a")) == [a, a]
    assert await replicas[0].rows("SELECT count(DISTINCT profile_id) FROM timeline_entry") == [(2,)]


async def test_a_merge_by_an_event_counts_for_both_replicas_and_its_own_batch(replicas: list[Identity]) -> None:
    events = [event(email=name) for name in "abc"]
    a, b, c = await learn(replicas, *events)
    bridge = Event(identifiers={"email": "b"}, more=[("email", "c")], event_id="bridge")
    assert await replicas[0].apply(event(email="c"), bridge, event(email="a")) == [b, b, a]
    assert knows(replicas[0], events[2])
    for identity in replicas:
        assert await identity.apply(event(email="c"), event(email="a"), event(email="b")) == [b, a, b]
    bridge = Event(identifiers={"email": "a"}, more=[("email", "c")], event_id="bridge again")
    assert await replicas[1].apply(bridge, event(email="b")) == [a, a]
    assert await replicas[0].apply(event(email="c"), event(email="b")) == [a, a]
    assert c not in {a, b}


async def test_a_merge_counts_for_everybody_who_belonged_to_the_merged(replicas: list[Identity]) -> None:
    a, b, c = await learn(replicas, *(event(email=name) for name in "abc"))
    await replicas[0].merge(b, c)
    assert await learn(replicas, *(event(email=name) for name in "abc")) == [a, b, b]
    bridge = Event(identifiers={"email": "a"}, more=[("email", "b")], event_id="bridge")
    # In the batch that merges, and after it in the replica that did.
    assert await replicas[0].apply(event(email="c"), bridge) == [a, a]
    assert knows(replicas[0], event(email="c"))
    assert await replicas[0].apply(event(email="c")) == [a]
    assert await replicas[1].apply(event(email="c")) == [a]


async def test_a_merge_in_the_middle_of_a_batch_gives_one_answer_for_one_person(
    replicas: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await learn(replicas, *(event(email=name) for name in "abc"))
    await replicas[0].merge(b, c)
    await learn(replicas, event(email="c"))
    before_loading(monkeypatch, replicas[1].merge(a, b))
    remembered, looked_up = await replicas[0].apply(event(email="c"), event(email="b", phone="1"))
    assert remembered == looked_up == a


async def test_a_merge_by_identify_counts_for_both_replicas(replicas: list[Identity]) -> None:
    a, b = await learn(replicas, event(email="a"), event(phone="1"))
    assert a != b
    await replicas[0].identify("a", "1")
    for identity in replicas:
        assert await identity.apply(event(phone="1"), event(email="a")) == [a, a]


async def test_what_was_undone_is_not_remembered(replicas: list[Identity]) -> None:
    a, b = await learn(replicas, event(email="a"), event(email="b"))
    merged = await replicas[0].merge(a, b)
    assert await learn(replicas, event(email="a"), event(email="b")) == [a, a]
    await replicas[0].undo(merged.merge_id)
    both = Event(identifiers={"email": "a"}, more=[("email", "b")], event_id="both")
    for identity in replicas:
        assert await identity.apply(event(email="b"), event(email="a")) == [b, a]
    assert await replicas[1].apply(both) == [a]
    assert await replicas[1].rows("SELECT rule FROM review") == [("never_merge",)]


async def test_who_was_erased_comes_back_as_somebody_new(replicas: list[Identity]) -> None:
    shown = event(email="a", phone="1", browser_id="x", ip_address="1.1.1.1")
    (old,) = await learn(replicas, event(email="a"))
    await learn(replicas, event(phone="1", browser_id="x"), shown)
    await replicas[0].stub.ErasePerson(erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=old))
    await replicas[0].rows("UPDATE erasure SET erased_at_us = 0")
    for identity in replicas:
        (new,) = await identity.apply(event(**shown.identifiers))
        assert new != old
    for table, count in (("identifier", 2), ("weak_link", 2), ("profile", 1)):
        assert await replicas[0].rows(f"SELECT count(*) FROM {table}") == [(count,)]  # noqa: S608


async def test_links_and_pairs_of_the_erased_are_stored_again(replicas: list[Identity]) -> None:
    shown = event(email="a", phone="1", ip_address="1.1.1.1")
    for one in ({"email": "a"}, {"phone": "1"}):
        await replicas[1].apply(event(**one))
    (old,) = await learn(replicas, shown)
    assert await replicas[0].rows("SELECT count(*) FROM identifier_pair") == [(1,)]
    await replicas[0].stub.ErasePerson(erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=old))
    await replicas[0].rows("UPDATE erasure SET erased_at_us = 0")
    for one in ({"email": "a"}, {"phone": "1"}):
        await replicas[0].apply(event(**one))
    await replicas[1].apply(event(**shown.identifiers))
    assert await replicas[0].rows("SELECT count(*) FROM identifier_pair") == [(1,)]
    assert await replicas[0].rows("SELECT count(*) FROM weak_link") == [(1,)]


async def test_a_value_that_became_shared_matches_nobody_in_any_replica(replicas: list[Identity]) -> None:
    shop = event(phone="1", browser_id="x")
    await learn(replicas, shop)
    for name in "abc":
        await replicas[0].apply(event(phone="1", email=name))
    assert await replicas[0].rows("SELECT value FROM identifier WHERE shared_at_us IS NOT NULL") == [("1",)]
    refused = "SELECT coalesce(sum(times), 0) FROM review WHERE rule = 'shared'"
    for identity in replicas:
        ((before,),) = await identity.rows(refused)
        await identity.apply(event(phone="1", browser_id="x"))
        ((after,),) = await identity.rows(refused)
        assert after == before + 1


async def test_a_value_that_becomes_shared_within_a_batch_matches_nobody_after_that(
    replicas: list[Identity],
) -> None:
    await learn(replicas, event(phone="1"))
    for name in "ab":
        await replicas[0].apply(event(phone="1", email=name))
    assert knows(replicas[0], event(phone="1"))
    before, last, after = await replicas[0].apply(event(phone="1"), event(phone="1", email="c"), event(phone="1"))
    assert len({before, last, after}) == 3


async def test_a_new_browser_of_a_known_person_decides_for_the_events_after_it(replicas: list[Identity]) -> None:
    await learn(replicas, event(email="a"))
    before, linked, after, other = await replicas[0].apply(
        event(browser_id="x"), event(email="a", browser_id="x"), event(browser_id="x"), event(browser_id="y")
    )
    # An anonymous one had it before, and keeps what it showed then.
    assert len({before, linked, other}) == 3
    assert after == linked
    linked, after = await replicas[0].apply(event(email="a", browser_id="z"), event(browser_id="z"))
    assert linked == after
    assert await replicas[1].apply(event(browser_id="z")) == [linked]


async def test_a_new_address_of_a_known_person_is_stored_and_remembered(replicas: list[Identity]) -> None:
    await learn(replicas, event(email="a"))
    alone, already_attributed = event(email="a", ip_address="1.1.1.1"), event(email="a", ip_address="1.1.1.2")
    await replicas[0].apply(alone)
    await replicas[0].apply(already_attributed, event(email="b"))
    assert knows(replicas[0], alone)
    assert knows(replicas[0], already_attributed)
    assert await replicas[0].rows("SELECT count(*) FROM weak_link") == [(2,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE profile SET root_id = root_id",
        "DELETE FROM profile",
        "UPDATE identifier SET shared_at_us = 1",
        "DELETE FROM identifier",
        "DELETE FROM identifier_pair",
        "DELETE FROM weak_link",
        "TRUNCATE weak_link",
    ],
)
async def test_whoever_changes_what_is_remembered_makes_a_new_version(identity: Identity, change: str) -> None:
    version = "SELECT people, evidence FROM graph_version"
    before = await identity.rows(version)
    await identity.apply(event(email="a", browser_id="x"), event(phone="1"))
    assert await identity.rows(version) == before
    await identity.rows(change)
    assert await identity.rows(version) != before


async def test_batches_and_merges_at_once_give_one_answer_for_one_person(replicas: list[Identity]) -> None:
    names = [f"n{number}" for number in range(40)]
    ids = await learn(replicas, *(event(email=name) for name in names))

    async def merge() -> None:
        for n in range(0, len(names), 4):
            await replicas[0].merge(ids[n], ids[n + 1])
            bridge = Event(identifiers={"email": names[n + 2]}, more=[("email", names[n + 3])], event_id=f"b{n}")
            await replicas[1].apply(bridge)

    async def look(identity: Identity, number: int) -> None:
        for n in range(20):
            # Everything twice, once known and once with something new: the same person each time.
            events = [event(email=name) for name in names]
            events += [event(email=name, ip_address=f"10.{number}.{n}.{k}") for k, name in enumerate(names)]
            answer = people(await identity.apply_batch(batch(events)))
            assert answer[: len(names)] == answer[len(names) :]

    await asyncio.gather(merge(), look(replicas[0], 0), look(replicas[1], 1), look(replicas[0], 2))
    for identity in replicas:
        answer = await identity.apply(*(event(email=name) for name in names))
        assert answer == [ids[n - n % 2] for n in range(len(names))]
