"""Erasing works in slices, from wherever it was left, and finds the person in events of others."""

from __future__ import annotations

import asyncio
import time

import grpc
import psycopg
import pytest

from dmp.identity.v1 import erasure_pb2 as pb
from dmp.identity.v1 import identity_service_pb2, merge_pb2, separation_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.domain.profile_id import profile_id_from_public
from tests.identity.batches import event
from tests.identity.client import Identity

ENTRIES = 60_000


async def a_person_with_many_entries(identity: Identity, entries: int) -> str:
    """Somebody with so many timeline entries and a tenth as many addresses."""
    (person,) = await identity.apply(event("first", email="a@b.com", user_id="u", browser_id="x"))
    number = profile_id_from_public(person)
    async with await psycopg.AsyncConnection.connect(identity.database_url) as connection:
        await connection.execute(
            "INSERT INTO timeline_entry SELECT %s, 1700000000000000 + n, 'e' || n, 'view', 'web'"
            " FROM generate_series(1, %s) AS n",
            (number, entries),
        )
        await connection.execute(
            "INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal)"
            " SELECT 'ip_address', '10.0.' || n / 256 || '.' || n %% 256, %s, 1, 0 FROM generate_series(1, %s) AS n",
            (number, entries // 10),
        )
    return person


async def step(identity: Identity, erasure_id: str, person: str = "") -> pb.ErasePersonResponse:
    """One call of ErasePerson."""
    return await identity.stub.ErasePerson(
        pb.ErasePersonRequest(erasure_id=erasure_id, internal_user_id=person or "user_1"), timeout=30
    )


async def erased(identity: Identity, person: str) -> tuple[str, pb.ErasePersonResponse]:
    """Erases a person to the end; the erasure's id and its last answer."""
    erasure_id = uuid7_text()
    while not (answer := await step(identity, erasure_id, person)).finished:
        pass
    return erasure_id, answer


async def listed(identity: Identity, erasure_id: str) -> dict[str, bool]:
    """The events to clean, each with whether it is somebody else's."""
    page = await identity.stub.ListErasedEvents(pb.ListErasedEventsRequest(erasure_id=erasure_id))
    return dict(zip(page.event_ids, page.of_others, strict=True))


async def matched(identity: Identity, erasure_id: str, *pairs: tuple[str, str]) -> list[int]:
    """Which of the pairs are the erased person's."""
    request = pb.MatchErasedRequest(
        erasure_id=erasure_id, types=[pair[0] for pair in pairs], values=[pair[1] for pair in pairs]
    )
    return list((await identity.stub.MatchErased(request)).positions)


async def test_the_person_is_unknown_at_once_and_the_rest_goes_in_slices_from_where_it_was_left(
    replicas: list[Identity],
) -> None:
    identity = replicas[0]
    person = await a_person_with_many_entries(identity, ENTRIES)
    erasure_id = uuid7_text()
    first = await step(identity, erasure_id, person)
    assert not first.finished
    assert not first.already_erased
    assert list(first.user_ids) == ["u"]
    for gone in (identity.profile(person), identity.match("email", "a@b.com"), identity.match("browser_id", "x")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gone
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    (anew,) = await identity.apply(event("n1", email="a@b.com", browser_id="x"), accepted_at_us=time.time_ns() // 1000)
    assert anew not in {"", person}
    assert await replicas[1].apply(event("n2", browser_id="x"), accepted_at_us=time.time_ns() // 1000) == [anew]
    seen: set[str] = set()
    turns = 0
    while True:
        turns += 1
        # Any replica goes on, two at a time too, with any pause in between.
        answers = await asyncio.gather(*(step(replica, erasure_id) for replica in replicas))
        page = await listed(identity, erasure_id)
        seen |= page.keys()
        await identity.stub.ForgetErasedEvents(pb.ForgetErasedEventsRequest(erasure_id=erasure_id, event_ids=page))
        if answers[0].finished and not page:
            break
    assert turns > 1
    assert len(seen) == ENTRIES + 1
    last = await step(identity, erasure_id)
    assert (last.counts.events, last.counts.identifiers) == (ENTRIES + 1, 3 + ENTRIES // 10)
    assert await identity.rows("SELECT count(*) FROM timeline_entry") == [(2,)]
    assert await identity.rows("SELECT count(*) FROM weak_link") == [(1,)]
    await identity.stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=erasure_id))
    assert await identity.rows("SELECT count(*) FROM erasure_key") == [(0,)]
    assert list((await step(identity, erasure_id)).user_ids) == []


async def test_others_are_answered_while_a_large_person_is_erased(replicas: list[Identity]) -> None:
    person = await a_person_with_many_entries(replicas[0], ENTRIES)
    begun = time.monotonic()
    erasing = asyncio.ensure_future(erased(replicas[1], person))
    waits: list[float] = []
    while not erasing.done():
        asked = time.monotonic()
        await replicas[0].identify(f"{len(waits)}@x.com", str(len(waits)))
        waits.append(time.monotonic() - asked)
    await erasing
    # One transaction would have held off the first request until its end.
    assert len(waits) > 5
    assert max(waits) < (time.monotonic() - begun) / 2


async def test_memories_stay_true_and_are_not_dropped_by_slices(identity: Identity) -> None:
    person = await a_person_with_many_entries(identity, ENTRIES)
    erasure_id = uuid7_text()
    await step(identity, erasure_id, person)
    ((before,),) = await identity.rows("SELECT evidence FROM graph_version")
    while not (await step(identity, erasure_id)).finished:
        pass
    assert await identity.rows("SELECT evidence FROM graph_version") == [(before,)]


async def test_events_of_others_that_show_the_person_are_listed_after_an_undo(identity: Identity) -> None:
    father, son = await identity.apply(event("e1", phone="+49301"), event("e2", email="son@x.com"))
    await identity.apply(event("e3", email="son@x.com", phone="+49301"))
    merges = await identity.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=son))
    await identity.undo(merges.merges[0].merge_id)
    erasure_id, _ = await erased(identity, father)
    assert await listed(identity, erasure_id) == {"e1": False, "e2": True, "e3": True}
    pairs = [("email", "son@x.com"), ("phone", " +49 30-1"), ("phone", "+49302"), ("nonsense", "+49301")]
    assert await matched(identity, erasure_id, *pairs) == [1]
    assert (await identity.profile(son)).internal_user_id == son


async def test_events_of_others_that_show_a_detached_identifier_are_listed(identity: Identity) -> None:
    (person,) = await identity.apply(event("e1", email="a@x.com", phone="+49301"))
    await identity.stub.DetachIdentifier(
        separation_pb2.DetachIdentifierRequest(
            internal_user_id=person, identifier="phone", value="+49301", reason="a wrong number"
        )
    )
    erasure_id, _ = await erased(identity, (await identity.match("phone", "+49301")).internal_user_id)
    assert await listed(identity, erasure_id) == {"e1": True}
    assert await matched(identity, erasure_id, ("phone", "+49301"), ("email", "a@x.com")) == [0]


async def detached(identity: Identity, person: str, kind: str, value: str) -> str:
    """Takes an identifier from a person; whose it is then."""
    request = separation_pb2.DetachIdentifierRequest(
        internal_user_id=person, identifier=kind, value=value, reason="a wrong one"
    )
    return (await identity.stub.DetachIdentifier(request)).detached_user_id


async def test_an_identifier_that_was_parted_twice_is_found_in_events_of_the_first_person(identity: Identity) -> None:
    son, father = await identity.apply(event("e1", email="son@x.com"), event("e2", phone="+49301", user_id="u"))
    await identity.apply(event("both", wallet_address="w", email="son@x.com", phone="+49301"))
    merges = await identity.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=son))
    await identity.undo(merges.merges[0].merge_id)
    erasure_id, _ = await erased(identity, await detached(identity, father, "phone", "+49301"))
    assert await listed(identity, erasure_id) == {"e1": True, "e2": True, "both": True}


async def test_an_identifier_whose_first_owner_is_erased_is_found_where_it_was_refused(identity: Identity) -> None:
    son, father = await identity.apply(event("e1", email="son@x.com"), event("e2", phone="+49301", wallet_address="w"))
    await identity.stub.CreateNeverMerge(
        merge_pb2.CreateNeverMergeRequest(internal_user_ids=[son, father], reason="two people")
    )
    assert await identity.apply(event("both", email="son@x.com", phone="+49301")) == [son]
    other = await detached(identity, father, "phone", "+49301")
    await erased(identity, father)
    erasure_id, _ = await erased(identity, other)
    assert (await listed(identity, erasure_id))["both"] is True
    assert await identity.rows("SELECT count(*) FROM review") == [(0,)]


async def test_nothing_names_an_identifier_that_joined_others_or_nobody(identity: Identity) -> None:
    son, father = await identity.apply(event(email="son@x.com"), event(phone="+49301"))
    await identity.apply(event(email="son@x.com", phone="+49301"))
    other = await detached(identity, son, "phone", "+49301")
    await identity.stub.UndoSharedValue(
        separation_pb2.UndoSharedValueRequest(identifier="phone", value="+49301", reason="a switchboard")
    )
    (nobody,) = await identity.apply(event("alone", phone="+49301"))
    contact = await identity.identify("", "+49301")
    assert nobody not in {son, father, other}
    erasure_id, _ = await erased(identity, other)
    assert (await listed(identity, erasure_id))["alone"] is True
    rows = [
        row[0]
        for table in ("merge_edge", "anonymous_profile", "identifier_pair", "review", "identifier", "contact")
        for row in await identity.rows(f"SELECT to_jsonb(t)::text FROM {table} t")  # noqa: S608  # no input in it
    ]
    assert rows
    assert not [row for row in rows if "+49301" in row]
    # The number belongs to nobody, and proves something again.
    assert await identity.apply(event(phone="+49301")) != [nobody]
    assert (await identity.identify("", "+49301")).primary_contact_id != contact.primary_contact_id


async def test_it_is_remembered_who_was_one_person_though_the_one_between_them_is_erased(identity: Identity) -> None:
    a, b, c = await identity.apply(*(event(f"e-{n}", email=f"{n}@x.com") for n in "abc"))
    first, second = (await identity.merge(a, b)).merge_id, (await identity.merge(b, c)).merge_id
    await identity.apply(event("both", email="c@x.com", user_id="u"), event("bridge", user_id="u", phone="1"))
    await identity.apply(event("all", email="a@x.com", phone="1"))
    await identity.undo(first)
    await identity.undo(second)
    await erased(identity, b)
    erasure_id, _ = await erased(identity, c)
    assert (await listed(identity, erasure_id)).get("all") is True


@pytest.mark.parametrize("shown", ["phone", "user_id", "wallet_address"])
async def test_events_of_others_that_show_the_person_are_listed_after_a_never_merge(
    identity: Identity, shown: str
) -> None:
    son, father = await identity.apply(
        event("e1", email="son@x.com", user_id="s1"), event("e2", phone="+49301", user_id="u9", wallet_address="w9")
    )
    await identity.stub.CreateNeverMerge(
        merge_pb2.CreateNeverMergeRequest(internal_user_ids=[son, father], reason="two people")
    )
    value = {"phone": "+49301", "user_id": "u9", "wallet_address": "w9"}[shown]
    await identity.apply(event("both", email="son@x.com", phone="+49301", user_id="u9", wallet_address="w9"))
    events = {row[0]: row[1] for row in await identity.rows("SELECT event_id, profile_id FROM timeline_entry")}
    other = father if events["both"] == events["e1"] else son
    erasure_id, _ = await erased(identity, other)
    assert (await listed(identity, erasure_id))["both"] is True
    assert bool(await matched(identity, erasure_id, (shown, value))) == (other == father)
    # Nobody keeps a trace of the evidence.
    rows = await identity.rows("SELECT to_jsonb(r)::text FROM review r")
    assert not any(value in row[0] for row in rows) or other == son


async def test_somebody_who_is_known_by_a_refused_value_only_can_be_erased(identity: Identity) -> None:
    await identity.apply(*(event(f"e{n}", email="a@x.com", user_id=f"u{n}") for n in range(510)))
    with_refusal = await identity.rows("SELECT type, value FROM review WHERE rule = 'limit' LIMIT 1")
    if not with_refusal:
        pytest.fail("the policy's limit on user ids was not reached")
    ((kind, value),) = with_refusal
    with pytest.raises(grpc.aio.AioRpcError):
        await identity.match(kind, value)
    erasure_id = uuid7_text()
    request = pb.ErasePersonRequest(erasure_id=erasure_id, identifier=kind, value=f" {value} ")
    while not (answer := await identity.stub.ErasePerson(request)).finished:
        pass
    assert list(answer.internal_user_ids) == []
    assert list(answer.user_ids) == [value]
    assert (await listed(identity, erasure_id)).get("e" + value.removeprefix("u")) is True
    assert await matched(identity, erasure_id, (kind, value), (kind, "u0")) == [0]
    assert await identity.rows("SELECT count(*) FROM review WHERE value = %s", (value,)) == [(0,)]


async def test_an_identifier_stands_for_its_person_and_a_stranger_is_not_found(identity: Identity) -> None:
    (person,) = await identity.apply(event(email="a@b.com"))
    preview = await identity.stub.PreviewErasure(pb.PreviewErasureRequest(identifier="email", value="A@b.com"))
    assert list(preview.internal_user_ids) == [person]
    for request, code in (
        (pb.ErasePersonRequest(identifier="email", value="no@x.com"), grpc.StatusCode.NOT_FOUND),
        (pb.ErasePersonRequest(identifier="ip_address", value="1.1.1.1"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ErasePersonRequest(identifier="email", value="a\0b"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ErasePersonRequest(identifier="email", value="a" * 1025), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ErasePersonRequest(), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        request.erasure_id = uuid7_text()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.stub.ErasePerson(request)
        assert caught.value.code() is code, request
    answer = await identity.stub.ErasePerson(
        pb.ErasePersonRequest(erasure_id=uuid7_text(), identifier="email", value="a@B.com")
    )
    assert list(answer.internal_user_ids) == [person]


async def test_reasons_of_merges_that_stay_name_nobody_any_more(identity: Identity) -> None:
    a, b, c = await identity.apply(*(event(email=f"{n}@x.com") for n in "abc"))
    merged = await identity.stub.MergeProfiles(
        identity_service_pb2.MergeProfilesRequest(internal_user_ids=[a, b, c], reason="b@x.com said so"), timeout=30
    )
    await identity.undo(merged.merge_id)
    await erased(identity, b)
    assert await identity.rows("SELECT reason, undo_reason FROM merge") == [("", "")]
