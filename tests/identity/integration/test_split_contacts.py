"""After an undo nobody shows a value that is the other's, and erasing either leaves nothing of theirs."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import grpc
import pytest

from dmp.identity.v1 import erasure_pb2, merge_pb2
from dmp_chassis.uuid7 import uuid7_text
from tests.identity.batches import event
from tests.identity.client import Identity

EMAIL, PHONE = "son@x.com", "+49 302"


async def undo_last(identity: Identity, person: str) -> None:
    """Takes the person's last merge back."""
    merges = await identity.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=person))
    await identity.undo(merges.merges[-1].merge_id)


async def everything_about(identity: Identity, person: str) -> str:
    """What an export says, as text."""
    return str(await identity.stub.ExportProfile(erasure_pb2.ExportProfileRequest(internal_user_id=person)))


async def joined_by_a_request(identity: Identity) -> None:
    """An e-mail of one and a phone number of the other in one request."""
    await identity.identify(EMAIL, PHONE)


async def joined_by_an_event(identity: Identity) -> None:
    """An event shows both, then a request does."""
    await identity.apply(event(email=EMAIL, phone=PHONE))
    await identity.identify(EMAIL, PHONE)


async def joined_and_deleted_by_hand(identity: Identity) -> None:
    """The joined row was deleted softly."""
    await joined_by_an_event(identity)
    await identity.rows('UPDATE contact SET "deletedAt" = now() WHERE id = (SELECT max(id) FROM contact)')


Join = Callable[[Identity], Awaitable[None]]
JOINS: tuple[Join, ...] = (joined_by_a_request, joined_by_an_event, joined_and_deleted_by_hand)


@pytest.mark.parametrize("phone_first", [True, False])
@pytest.mark.parametrize("with_contacts", list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("join", JOINS)
async def test_nobody_shows_the_other_s_value_after_an_undo(
    identity: Identity, join: Join, with_contacts: tuple[bool, bool], phone_first: bool
) -> None:
    made = [event(phone=PHONE), event(email=EMAIL)]
    for one in made if phone_first else reversed(made):
        await identity.apply(one)
    if with_contacts[0]:
        await identity.identify(EMAIL)
    if with_contacts[1]:
        await identity.identify(phone=PHONE)
    await join(identity)
    await undo_last(identity, (await identity.match("email", EMAIL)).internal_user_id)
    son = (await identity.match("email", EMAIL)).internal_user_id
    father = (await identity.match("phone", PHONE)).internal_user_id
    assert PHONE not in await everything_about(identity, son)
    assert EMAIL not in await everything_about(identity, father)
    for answer in (await identity.identify(EMAIL), await identity.identify(EMAIL, PHONE)):
        assert list(answer.emails) + list(answer.phone_numbers) in ([EMAIL], [PHONE])
    assert list((await identity.identify(EMAIL)).phone_numbers) == []
    assert list((await identity.identify(phone=PHONE)).emails) == []


@pytest.mark.parametrize("erased", [EMAIL, PHONE])
@pytest.mark.parametrize("join", JOINS)
async def test_nothing_of_an_erased_person_is_left_with_the_other(identity: Identity, join: Join, erased: str) -> None:
    await identity.apply(event(email=EMAIL))
    await identity.identify(phone=PHONE)
    await join(identity)
    await undo_last(identity, (await identity.match("email", EMAIL)).internal_user_id)
    kind = "email" if erased == EMAIL else "phone"
    person = (await identity.match(kind, erased)).internal_user_id
    await identity.stub.ErasePerson(
        erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=person), timeout=30
    )
    found = await identity.rows("SELECT count(*) FROM contact c WHERE strpos(to_jsonb(c)::text, %s) > 0", (erased,))
    assert found == [(0,)]
    with pytest.raises(grpc.aio.AioRpcError):
        await identity.match(kind, erased)


async def test_rows_of_people_who_become_one_again_list_both_again(identity: Identity) -> None:
    await identity.apply(event(email=EMAIL))
    await identity.identify(phone=PHONE)
    await joined_by_an_event(identity)
    person = (await identity.match("email", EMAIL)).internal_user_id
    await undo_last(identity, person)
    ((never_merge_id,),) = await identity.rows("SELECT id::text FROM never_merge")
    await identity.stub.RemoveNeverMerge(
        merge_pb2.RemoveNeverMergeRequest(never_merge_id=never_merge_id, reason="they are one")
    )
    await identity.merge(person, (await identity.match("phone", PHONE)).internal_user_id)
    answer = await identity.identify(EMAIL)
    assert (list(answer.emails), list(answer.phone_numbers)) == ([EMAIL], [PHONE])
