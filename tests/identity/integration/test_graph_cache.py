"""What a replica remembers is never believed after another replica has made it wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

import pytest

from dmp.identity.v1 import erasure_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.graph_check import changed_keys
from dmp_identity.adapters.graph_snapshot import load_snapshot
from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.parsed_identifier import Key
from dmp_identity.domain.snapshot import Snapshot
from tests.identity.batches import Event, batch, event
from tests.identity.client import Identity, people

TYPES = {
    "email": {"strength": "strong", "hub_degree": 2},
    "phone": {"strength": "strong", "hub_degree": 2},
    "browser_id": {"strength": "weak", "attribute": True, "adopt_anonymous": True},
    "device_id": {"strength": "weak", "attribute": True, "max_holders": 2},
    "ip_address": {"strength": "weak"},
}


@pytest.fixture
def policy() -> IdentifierPolicy:
    """A value is shared once it came with three others of a type, a device says nothing once it has three owners."""
    return policy_from_mapping({"types": TYPES})


def knows(identity: Identity, one: Event) -> bool:
    """True if the replica would attribute the event from its cache, and change nothing."""
    servicer = identity.servicer
    identifiers = [servicer.parser.parse(kind, value) for kind, value in one.identifiers.items()]
    shown = [parsed for parsed in identifiers if parsed is not None]
    answer = EventAttributor(servicer.cache).attribute(shown, 0)
    return answer is not None and not answer[1]


def shows(*pairs: tuple[str, str]) -> Event:
    """An event with several values of a type."""
    return Event(identifiers={}, more=list(pairs), event_id=event().event_id)


async def learn(identities: Sequence[Identity], *events: Event) -> list[str]:
    """Applies the identifiers of the events until all replicas know them; the people."""
    found: list[str] = []
    for identity in identities:
        for _ in range(5):
            found = await identity.apply(*(event(**one.identifiers) for one in events))
        assert all(knows(identity, one) for one in events)
    return found


def before_loading(monkeypatch: pytest.MonkeyPatch, change: Awaitable[object]) -> None:
    """Lets a change happen in the middle of the next batch: before what it cannot place is looked up."""
    changes = [change]

    async def load_after_the_change(*arguments: Any) -> Snapshot:  # noqa: ANN401
        while changes:
            await changes.pop()
        return await load_snapshot(*arguments)

    monkeypatch.setattr("dmp_identity.decide_plan.load_snapshot", load_after_the_change)


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


async def test_a_browser_that_another_replica_gave_to_somebody_else_says_nothing(replicas: list[Identity]) -> None:
    a, b = await learn(replicas, event(email="a", browser_id="x"), event(email="b", browser_id="y"))
    assert await learn(replicas, event(browser_id="x"), event(browser_id="y")) == [a, b]
    (c,) = await replicas[1].apply(event(email="c", browser_id="x"))
    answers = [await identity.apply(event(browser_id="y"), event(browser_id="x")) for identity in replicas]
    assert answers[0] == answers[1]
    assert answers[0][0] == b
    assert answers[0][1] not in {a, b, c}


async def test_an_anonymous_profile_that_another_replica_identified_is_nobodys_any_more(
    replicas: list[Identity],
) -> None:
    await replicas[0].apply(event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    (anonymous,) = await replicas[0].apply(shows(("browser_id", "x"), ("browser_id", "y")))
    (address,) = await learn(replicas, event(ip_address="1.1.1.1"))
    assert await learn(replicas, event(browser_id="x")) == [anonymous]
    assert await replicas[1].apply(event(email="c", browser_id="y")) == [anonymous]
    answers = [await identity.apply(event(ip_address="1.1.1.1"), event(browser_id="x")) for identity in replicas]
    assert answers[0] == answers[1]
    assert answers[0][0] == address
    assert answers[0][1] != anonymous


async def test_a_browser_of_people_whom_another_replica_merges_is_theirs_until_that_is_undone(
    replicas: list[Identity],
) -> None:
    a, b = await replicas[0].apply(event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    await learn(replicas, event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    merged = await replicas[1].merge(a, b)
    for identity in replicas:
        assert await identity.apply(event(browser_id="x")) == [a]
    assert await learn(replicas, event(browser_id="x")) == [a]
    await replicas[1].undo(merged.merge_id)
    answers = [await identity.apply(event(browser_id="x")) for identity in replicas]
    assert answers[0] == answers[1]
    assert answers[0] not in ([a], [b])


async def test_an_anonymous_profile_that_another_replica_merged_is_nobodys_any_more(replicas: list[Identity]) -> None:
    a, b = await replicas[0].apply(event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    (anonymous,) = await learn(replicas, event(browser_id="x"))
    await replicas[1].merge(a, anonymous)
    answers = [await identity.apply(event(browser_id="x")) for identity in replicas]
    assert answers[0] == answers[1]
    assert answers[0] not in ([a], [b], [anonymous])
    await replicas[1].merge(a, answers[0][0])
    await replicas[1].merge(a, b)
    for identity in replicas:
        assert await identity.apply(event(browser_id="x")) == [a]


async def test_the_anonymous_profile_made_while_the_first_one_was_identified_stays_after_an_undo(
    replicas: list[Identity],
) -> None:
    a, _ = await replicas[0].apply(event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    (first,) = await replicas[0].apply(shows(("browser_id", "x"), ("browser_id", "y")))
    assert await learn(replicas[:1], event(browser_id="x")) == [first]
    merged = await replicas[1].merge(a, first)
    (second,) = await replicas[1].apply(event(browser_id="x"))
    await replicas[1].undo(merged.merge_id)
    assert second != first
    # Shows that the first is anonymous again, and who has the browser, but not whose anonymous profile that has now.
    await replicas[0].apply(shows(("browser_id", "y"), ("browser_id", "x")))
    for identity in replicas:
        assert await identity.apply(event(browser_id="x")) == [second]


async def test_what_too_many_have_says_nothing_though_they_become_one_person(replicas: list[Identity]) -> None:
    owners = [event(email=name, device_id="d") for name in "ab"]
    a, b = await learn(replicas, *owners)
    await replicas[1].merge(a, b)
    assert await learn(replicas, event(device_id="d")) == [a]
    owners.append(event(email="c", device_id="d"))
    c = (await replicas[1].apply(*owners))[2]
    await replicas[1].merge(a, c)
    for identity in replicas:
        for _ in range(3):
            assert await identity.apply(*(event(**one.identifiers) for one in owners)) == [a, a, a]
        (anonymous,) = await identity.apply(event(device_id="d"))
        assert anonymous != a
        assert await learn([identity], event(device_id="d")) == [anonymous]


async def test_a_browser_of_somebody_erased_is_nobodys(replicas: list[Identity]) -> None:
    (a,) = await learn(replicas, event(email="a", browser_id="x"))
    await learn(replicas, event(browser_id="x"))
    await replicas[1].stub.ErasePerson(erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=a))
    await replicas[1].rows("UPDATE erasure SET erased_at_us = 0")
    answers = [await identity.apply(event(browser_id="x")) for identity in replicas]
    assert answers[0] == answers[1] != [a]


async def test_a_browser_is_the_last_ones_after_the_others_were_erased(replicas: list[Identity]) -> None:
    a, b = await replicas[0].apply(event(email="a", browser_id="x"), event(email="b", browser_id="x"))
    (anonymous,) = await learn(replicas, event(browser_id="x"))
    for gone in (b, anonymous):
        request = erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=gone)
        await replicas[1].stub.ErasePerson(request)
    await replicas[1].rows("UPDATE erasure SET erased_at_us = 0")
    for identity in replicas:
        assert await identity.apply(event(browser_id="x")) == [a]


def named(name: str, one: Event) -> Event:
    """The same with values that no event of another name shows."""
    return shows(*((kind, f"{name}-{value}") for kind, value in [*one.identifiers.items(), *one.more]))


async def placements(identity: Identity, name: str, events: Sequence[Event], *, together: bool) -> list[int]:
    """Where events go after others that the replica remembers: equal numbers are equal profiles. `together`: all in one
    batch, otherwise one after another, and nothing is remembered.
    """
    # x is of a, b and an anonymous one, who alone has y; z is of a and c, who alone has w.
    before = [
        *(event(email=value, browser_id="x") for value in "ab"),
        shows(("browser_id", "x"), ("browser_id", "y")),
        *(event(email=value, browser_id="z") for value in "ac"),
        event(email="c", browser_id="w"),
    ]
    known = [named(name, one) for one in before]
    await identity.apply(*known)
    for value in "xyw":
        await learn([identity], event(browser_id=f"{name}-{value}"))
    asked = [named(name, one) for one in events]
    if together:
        await identity.apply(*asked)
    else:
        for one in asked:
            identity.servicer.cache = GraphCache()
            await identity.apply(one)
    stored = dict(await identity.rows("SELECT event_id, profile_id FROM timeline_entry"))
    places = [stored[one.event_id] for one in (*known, *asked)]
    return [places.index(place) for place in places][len(known) :]


BRIDGE = shows(("email", "a"), ("email", "c"))
ADOPTION = event(email="new", browser_id="y")
AMBIGUOUS = event(browser_id="x")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # The anonymous profile becomes somebody's, so there is another one, or did not yet.
        ([ADOPTION, AMBIGUOUS], [2, 7]),
        ([AMBIGUOUS, ADOPTION], [2, 2]),
        # Several people have z, or one, of whom profile 0 was made first.
        ([BRIDGE, shows(("browser_id", "z"), ("browser_id", "w"))], [0, 0]),
        ([shows(("browser_id", "z"), ("browser_id", "w")), BRIDGE], [4, 0]),
        # Others get a browser of one, or have got it, or only show it.
        ([event(browser_id="w"), event(email="b", browser_id="w"), event(browser_id="w")], [4, 1, 8]),
        ([event(browser_id="w"), event(email="new", browser_id="w"), event(browser_id="w")], [4, 7, 8]),
        ([event(browser_id="w"), event(email="c", browser_id="w"), event(browser_id="w")], [4, 4, 4]),
        # Somebody who is looked up shows a browser that somebody known gets.
        ([event(email="b", browser_id="n"), event(email="new", browser_id="n"), event(browser_id="n")], [1, 7, 8]),
    ],
)
async def test_a_batch_is_decided_as_its_events_would_be_one_after_another(
    replicas: list[Identity], events: list[Event], expected: list[int]
) -> None:
    assert await placements(replicas[1], "single", events, together=False) == expected
    assert await placements(replicas[0], "batch", events, together=True) == expected


async def test_what_changes_while_a_batch_is_placed_is_not_believed(
    replicas: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await learn(replicas, event(email="a", browser_id="x"), event(email="b", browser_id="y"))
    await learn(replicas, event(browser_id="x"), event(browser_id="y"))
    changes: list[Coroutine[Any, Any, Any]] = []

    async def changed_after_a_change(*arguments: Any) -> list[Key]:  # noqa: ANN401
        while changes:
            await changes.pop()
        return await changed_keys(*arguments)

    monkeypatch.setattr("dmp_identity.apply_batch.changed_keys", changed_after_a_change)
    # Another one gets the browser, by what another replica does.
    changes.append(replicas[1].apply(event(email="c", browser_id="x")))
    anonymous, of_b = await replicas[0].apply(event(browser_id="x"), event(browser_id="y"))
    assert anonymous not in {a, b}
    assert of_b == b
    # People become one, and two again.
    assert await learn(replicas, event(browser_id="y")) == [b]
    changes.append(replicas[1].merge(a, b))
    assert await replicas[0].apply(event(browser_id="y")) == [a]
    await replicas[0].apply(event(email="a", browser_id="y"))
    assert await learn(replicas, event(browser_id="y")) == [a]
    ((merge_id,),) = await replicas[0].rows("SELECT id::text FROM merge")
    changes.append(replicas[1].undo(merge_id))
    (anonymous,) = await replicas[0].apply(event(browser_id="y"))
    assert anonymous not in {a, b}


async def test_a_merge_after_a_browser_was_looked_at_gives_one_answer_for_one_person(
    replicas: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await learn(replicas, event(email="a"), event(email="b", browser_id="x"))
    await learn(replicas, event(browser_id="x"))
    before_loading(monkeypatch, replicas[1].merge(a, b))
    remembered, looked_up = await replicas[0].apply(event(browser_id="x"), event(email="b", phone="1"))
    assert remembered == looked_up == a
