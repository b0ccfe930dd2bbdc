"""Undoing merges: everything goes where it would be without the merge, and stays there."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest

from dmp.identity.v1 import merge_pb2
from tests.identity.batches import event
from tests.identity.client import Identity, shown


async def contacts(identity: Identity) -> list[tuple[Any, ...]]:
    """All contact rows in force."""
    return await identity.rows('SELECT * FROM contact WHERE "deletedAt" IS NULL ORDER BY id')


async def merge_ids(identity: Identity, person: str) -> list[str]:
    """The person's merges, oldest first."""
    answer = await identity.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=person))
    return [merge.merge_id for merge in answer.merges]


async def undo(identity: Identity, merge_id: str) -> merge_pb2.UndoMergeResponse:
    """Undoes a merge."""
    return await identity.stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id=merge_id, reason="two different people"))


async def test_a_merge_by_hand_is_undone_without_a_trace_in_the_data(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com", browser_id="x"), event(email="c@d.com", ip_address="1.1.1.1"))
    await identity.identify("a@b.com", "1")
    await identity.identify("c@d.com", "2")
    await identity.identify("e@f.com", "2")
    before = [await identity.profile(a), await identity.profile(b)]
    contacts_before = await contacts(identity)
    merged = await identity.merge(a, b, reason="a guess")
    assert (await identity.profile(b)).internal_user_id == a
    assert await contacts(identity) != contacts_before
    answer = await undo(identity, merged.merge_id)
    assert list(answer.internal_user_ids) == [a, b]
    assert [await identity.profile(a), await identity.profile(b)] == before
    assert await contacts(identity) == contacts_before
    assert (await undo(identity, merged.merge_id)).already_undone


async def test_what_was_learned_since_stays_where_it_arrived(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com"), event(email="c@d.com"))
    merged = await identity.merge(a, b)
    await identity.apply(event(email="c@d.com", phone="+1"), event(email="a@b.com", wallet_address="0x1"))
    await undo(identity, merged.merge_id)
    assert shown(await identity.profile(b), "phones") == ["+1"]
    assert shown(await identity.profile(a), "wallet_addresses") == ["0x1"]
    assert len((await identity.profile(b)).events) == 2


async def test_evidence_against_a_never_merge_is_shown_and_not_followed(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com"), event(email="c@d.com"))
    merged = await identity.merge(a, b)
    answer = await undo(identity, merged.merge_id)
    await identity.apply(event(email="a@b.com", phone="1"))
    assert await identity.apply(event("bridge", email="c@d.com", phone="1", user_id="new")) == [b]
    assert (await identity.profile(b)).internal_user_id == b
    assert await identity.rows("SELECT rule, times, ref FROM review") == [("never_merge", 1, "bridge")]
    assert (await identity.match("user_id", "new")).internal_user_id == b
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity.merge(a, b)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    await identity.stub.RemoveNeverMerge(
        merge_pb2.RemoveNeverMergeRequest(never_merge_id=answer.never_merges[0].never_merge_id, reason="they are one")
    )
    await identity.apply(event(email="c@d.com", phone="1"))
    assert (await identity.profile(b)).internal_user_id == a


async def test_an_event_of_two_people_who_are_kept_apart_goes_to_the_first_type_in_the_policy(
    identity: Identity,
) -> None:
    (mother,) = await identity.apply(event(phone="+49301"))
    (son,) = await identity.apply(event(email="son@x.com"))
    assert await identity.apply(event("both", email="son@x.com", phone="+49301")) == [mother]
    await undo(identity, (await merge_ids(identity, mother))[0])
    # Already the event that merged them stays where its e-mail is.
    assert "both" in [one.event_id for one in (await identity.profile(son)).events]
    again = event(email="son@x.com", phone="+49301", user_id="7", browser_id="b", wallet_address="0x7")
    assert await identity.apply(again, event(phone="+49301"), event(user_id="7")) == [son, mother, son]
    known = await identity.profile(son)
    assert [shown(known, name) for name in ("user_ids", "browser_ids", "wallet_addresses")] == [["7"], ["b"], ["0x7"]]
    assert shown(known, "phones") == []
    refused = await identity.rows("SELECT rule, type, profile_id, other_profile_id, times FROM review")
    assert refused == [("never_merge", "phone", int(son.removeprefix("user_"), 36), int(mother[5:], 36), 1)]


async def test_people_who_are_kept_apart_get_contacts_of_their_own(identity: Identity) -> None:
    await identity.identify("a@b.com", "1")
    await identity.identify("c@d.com", "2")
    a = (await identity.match("email", "a@b.com")).internal_user_id
    b = (await identity.match("email", "c@d.com")).internal_user_id
    await identity.stub.CreateNeverMerge(
        merge_pb2.CreateNeverMergeRequest(internal_user_ids=[a, b], reason="father and son")
    )
    before = await contacts(identity)
    answer = await identity.identify("a@b.com", "2")
    assert (list(answer.emails), list(answer.phone_numbers)) == (["a@b.com"], ["1"])
    assert await contacts(identity) == before


async def test_any_of_several_stacked_merges_can_be_undone(identity: Identity) -> None:
    a, b, c, d = await identity.apply(*(event(email=f"{n}@x.com") for n in "abcd"))
    first = (await identity.merge(a, b)).merge_id
    await identity.apply(event("e-bc", email="b@x.com", phone="7"), event("e-c", email="c@x.com", user_id="u"))
    (_,) = await identity.apply(event("bridge", phone="7", user_id="u"))
    second = (await merge_ids(identity, c))[-1]
    third = (await identity.merge(c, d)).merge_id
    assert set((await identity.profile(a)).merged_ids) == {b, c, d}
    await undo(identity, first)
    assert (await identity.profile(a)).internal_user_id == a
    assert list((await identity.profile(a)).merged_ids) == []
    assert list((await identity.profile(d)).merged_ids) == [c, d]
    await undo(identity, third)
    assert list((await identity.profile(c)).merged_ids) == [c]
    await undo(identity, second)
    assert [(await identity.profile(n)).internal_user_id for n in (a, b, c, d)] == [a, b, c, d]
    history = await identity.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=c))
    assert [(m.cause, m.ref, m.undone) for m in history.merges] == [("event", "bridge", True), ("manual", "", True)]
    assert list(history.merges[0].edges[0].evidence) == ["phone:7", "user_id:u"]


async def test_a_request_that_merged_takes_its_row_back(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com"), event(phone="1"))
    await identity.identify("a@b.com", "1")
    assert len(await contacts(identity)) == 1
    await undo(identity, (await merge_ids(identity, a))[0])
    assert await contacts(identity) == []
    assert (await identity.profile(b)).internal_user_id == b


async def test_undoing_in_any_order_leaves_the_contacts_as_without_the_merge(identity: Identity) -> None:
    chance = random.Random(3)
    for trial in range(6):
        emails = [f"t{trial}n{n}@x.com" for n in range(5)]
        for email in emails:
            await identity.identify(email, f"7{trial}{email[3]}")
        people = [(await identity.match("email", email)).internal_user_id for email in emails]
        rows = {row[2]: row for row in await contacts(identity)}
        merges = []
        for _ in range(8):
            a, b = chance.sample(people, 2)
            merged = await identity.merge(a, b)
            if merged.merge_id:
                merges.append(merged.merge_id)
        chance.shuffle(merges)
        for merge_id in merges:
            await undo(identity, merge_id)
        after = {row[2]: row for row in await contacts(identity)}
        assert {email: after[email] for email in emails} == {email: rows[email] for email in emails}


async def test_wrong_requests_are_refused(identity: Identity) -> None:
    (a,) = await identity.apply(event(email="a@b.com"))
    stub = identity.stub
    for call, code in (
        (stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id="x", reason="r")), grpc.StatusCode.NOT_FOUND),
        (stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id="x")), grpc.StatusCode.INVALID_ARGUMENT),
        (stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id="user_zz")), grpc.StatusCode.NOT_FOUND),
        (
            stub.CreateNeverMerge(merge_pb2.CreateNeverMergeRequest(internal_user_ids=[a, a], reason="r")),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            stub.RemoveNeverMerge(merge_pb2.RemoveNeverMergeRequest(never_merge_id="x", reason="r")),
            grpc.StatusCode.NOT_FOUND,
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is code
