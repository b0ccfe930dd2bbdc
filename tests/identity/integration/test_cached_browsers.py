"""What a replica remembers of browsers is never believed after somebody else has made it wrong."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from dmp.identity.v1 import erasure_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.graph_check import changed_keys
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.parsed_identifier import Key
from tests.identity.batches import Event, event
from tests.identity.cached_replicas import TYPES, before_loading, learn, shows
from tests.identity.client import Identity


@pytest.fixture
def policy() -> IdentifierPolicy:
    """A value is shared once it came with three others of a type, a device says nothing once it has three owners."""
    return policy_from_mapping({"types": TYPES})


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

    monkeypatch.setattr("dmp_identity.attribute_from_cache.changed_keys", changed_after_a_change)
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
