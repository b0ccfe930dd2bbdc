"""Export and erasure: everything goes, nothing comes back, and a crash in between does no harm."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from dmp.identity.v1 import erasure_pb2 as pb
from dmp.identity.v1 import merge_pb2
from dmp_chassis.uuid7 import uuid7_text
from tests.identity.batches import batch, event
from tests.identity.client import Identity, people

TABLES_WITH_DATA = (
    "SELECT count(*) FROM identifier",
    "SELECT count(*) FROM identifier_pair",
    "SELECT count(*) FROM weak_link",
    "SELECT count(*) FROM anonymous_profile",
    "SELECT count(*) FROM contact",
    "SELECT count(*) FROM merge_contact",
    "SELECT count(*) FROM timeline_entry",
    "SELECT count(*) FROM merge",
    "SELECT count(*) FROM merge_edge",
    "SELECT count(*) FROM never_merge",
    "SELECT count(*) FROM review",
    "SELECT count(*) FROM profile",
)


async def erase(identity: Identity, person: str, erasure_id: str = "") -> pb.ErasePersonResponse:
    """Erases a person to the end, however many calls that takes; the last answer."""
    request = pb.ErasePersonRequest(erasure_id=erasure_id or uuid7_text(), internal_user_id=person)
    while not (answer := await identity.stub.ErasePerson(request)).finished:
        pass
    return answer


async def a_rich_person(identity: Identity) -> list[str]:
    """Somebody about whom there is something in every table; the ids of the profiles."""
    a, b, c = await identity.apply(
        event("e1", email="a@b.com", browser_id="x", ip_address="1.1.1.1"),
        event("e2", phone="1", user_id="u"),
        event("e3", browser_id="y"),
    )
    await identity.apply(event("e4", phone="1", email="a@b.com"), event("e5", email="null", user_id="u", phone="1"))
    await identity.identify("a@b.com", "2")
    await identity.identify("z@b.com", "2")
    await identity.merge(a, c)
    return [a, b, c]


async def test_an_export_has_everything(identity: Identity) -> None:
    ids = await a_rich_person(identity)
    export = await identity.stub.ExportProfile(pb.ExportProfileRequest(internal_user_id=ids[1]))
    assert list(export.profile_ids) == ids
    assert {(i.identifier, i.value) for i in export.identifiers} == {
        ("email", "a@b.com"),
        ("email", "z@b.com"),
        ("phone", "1"),
        ("phone", "2"),
        ("user_id", "u"),
        ("browser_id", "x"),
        ("browser_id", "y"),
        ("ip_address", "1.1.1.1"),
    }
    assert [entry.event.event_id for entry in export.events] == ["e1", "e2", "e3", "e4", "e5"]
    assert [entry.internal_user_id for entry in export.events][:3] == ids
    assert [row.link_precedence for row in export.contacts] == ["primary", "secondary"]
    assert list(export.contact.emails) == ["a@b.com", "z@b.com"]
    assert [merge.cause for merge in export.merges] == ["event", "manual"]
    page = await identity.stub.ExportProfile(pb.ExportProfileRequest(internal_user_id=ids[0], page_size=3))
    rest = await identity.stub.ExportProfile(
        pb.ExportProfileRequest(internal_user_id=ids[0], page_size=3, page_token=page.next_page_token)
    )
    assert [e.event.event_id for e in (*page.events, *rest.events)] == ["e1", "e2", "e3", "e4", "e5"]
    assert not rest.identifiers


async def test_erasing_leaves_a_receipt_and_nothing_else(identity: Identity) -> None:
    ids = await a_rich_person(identity)
    preview = await identity.stub.PreviewErasure(pb.PreviewErasureRequest(internal_user_id=ids[2]))
    assert list(preview.internal_user_ids) == ids
    assert (preview.counts.profiles, preview.counts.contacts, preview.counts.events) == (3, 2, 5)
    erasure_id = uuid7_text()
    receipt = await erase(identity, ids[1], erasure_id)
    assert receipt.counts == preview.counts
    again = await erase(identity, ids[1], erasure_id)
    assert again.already_erased
    assert (again.counts, again.erased_at) == (receipt.counts, receipt.erased_at)
    for statement in TABLES_WITH_DATA:
        assert await identity.rows(statement) == [(0,)], statement
    for person in ids:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.profile(person)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    page = await identity.stub.ListErasedEvents(pb.ListErasedEventsRequest(erasure_id=erasure_id, page_size=3))
    rest = await identity.stub.ListErasedEvents(
        pb.ListErasedEventsRequest(erasure_id=erasure_id, page_size=3, page_token=page.next_page_token)
    )
    assert (len(page.event_ids), rest.next_page_token) == (3, "")
    assert sorted([*page.event_ids, *rest.event_ids]) == ["e1", "e2", "e3", "e4", "e5"]
    confirmed = await identity.stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=erasure_id))
    assert confirmed.forgotten_events == 5
    assert await identity.rows("SELECT count(*) FROM erasure_page") == [(0,)]


async def test_others_keep_what_is_theirs(identity: Identity) -> None:
    a, b = await identity.apply(
        event("e1", email="a@b.com", browser_id="x"), event("e2", email="c@d.com", browser_id="x")
    )
    merged = await identity.merge(a, b)
    await identity.identify("c@d.com", "1")
    await identity.apply(event("e3", browser_id="x"))
    await identity.stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id=merged.merge_id, reason="no"))
    before = await identity.profile(b)
    await erase(identity, a)
    after = await identity.profile(b)
    assert (after.identifiers, list(after.events)) == (before.identifiers, list(before.events))
    assert list((await identity.identify("c@d.com")).phone_numbers) == ["1"]


async def test_late_batches_do_not_bring_the_person_back(identity: Identity) -> None:
    now = time.time_ns() // 1000
    (person,) = await identity.apply(event("e1", email="a@b.com", browser_id="x"), accepted_at_us=now)
    late = batch(
        [event("l1", email="a@b.com", phone="9"), event("l2", browser_id="x"), event("l3", email="c@d.com")],
        accepted_at_us=now + 1,
    )
    erasure_id = uuid7_text()
    await erase(identity, person, erasure_id)
    await identity.stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=erasure_id))
    answer = people(await identity.apply_batch(late))
    assert answer[:2] == ["", ""]
    assert answer[2]
    with pytest.raises(grpc.aio.AioRpcError):
        await identity.match("phone", "9")
    listed = await identity.stub.ListErasedEvents(pb.ListErasedEventsRequest(erasure_id=erasure_id))
    assert list(listed.event_ids) == ["l1", "l2"]
    (anew,) = await identity.apply(event("n1", email="a@b.com"), accepted_at_us=time.time_ns() // 1000)
    assert anew not in {"", person}


async def test_erasing_while_events_arrive_leaves_nothing_of_the_person(replicas: list[Identity]) -> None:
    (person,) = await replicas[0].apply(event("e0", email="a@b.com"))

    async def send(number: int) -> None:
        for n in range(10):
            await replicas[number % 2].apply(event(f"s{number}-{n}", email="a@b.com"), event(email=f"p{number}@x.com"))

    await asyncio.gather(*(send(number) for number in range(6)), erase(replicas[1], person))
    rows = await replicas[0].rows(
        "SELECT count(*) FROM timeline_entry WHERE profile_id NOT IN (SELECT id FROM profile)"
    )
    assert rows == [(0,)]
    rows = await replicas[0].rows(
        "SELECT count(*) FROM identifier i WHERE NOT EXISTS (SELECT FROM profile p WHERE p.id = i.profile_id)"
    )
    assert rows == [(0,)]


async def test_wrong_requests_are_refused(identity: Identity) -> None:
    stub = identity.stub
    unknown = uuid7_text()
    for call, code in (
        (erase(identity, "user_zzz"), grpc.StatusCode.NOT_FOUND),
        (erase(identity, "user_1", "x"), grpc.StatusCode.INVALID_ARGUMENT),
        (stub.ListErasedEvents(pb.ListErasedEventsRequest(erasure_id=unknown)), grpc.StatusCode.NOT_FOUND),
        (stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=unknown)), grpc.StatusCode.NOT_FOUND),
        (stub.PreviewErasure(pb.PreviewErasureRequest(internal_user_id="user_zzz")), grpc.StatusCode.NOT_FOUND),
        (stub.ExportProfile(pb.ExportProfileRequest(internal_user_id="user_zzz")), grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is code
