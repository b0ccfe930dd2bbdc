"""Taking an identifier from a person, and taking back all that a shared value joined."""

from __future__ import annotations

import grpc
import psycopg
import pytest

from dmp.identity.v1 import erasure_pb2, explanation_pb2, separation_pb2
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import event
from tests.identity.client import Identity, shown
from tests.identity.invariants import check_invariants
from tests.identity.policies import packaged_policy


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The packaged one with small limits."""
    return packaged_policy(strong={"max_per_profile": 5, "hub_degree": 5})


async def detach(identity: Identity, person: str, kind: str, value: str) -> separation_pb2.DetachIdentifierResponse:
    """Takes an identifier from a person."""
    return await identity.stub.DetachIdentifier(
        separation_pb2.DetachIdentifierRequest(
            internal_user_id=person, identifier=kind, value=value, reason="typed wrongly"
        )
    )


async def attach(identity: Identity, person: str, kind: str, value: str) -> separation_pb2.AttachIdentifierResponse:
    """Gives it back."""
    return await identity.stub.AttachIdentifier(
        separation_pb2.AttachIdentifierRequest(
            internal_user_id=person, identifier=kind, value=value, reason="it was right"
        )
    )


async def undo_shared(identity: Identity, kind: str, value: str) -> separation_pb2.UndoSharedValueResponse:
    """Takes back what a value joined."""
    return await identity.stub.UndoSharedValue(
        separation_pb2.UndoSharedValueRequest(identifier=kind, value=value, reason="a switchboard")
    )


def sound(identity: Identity) -> None:
    """The stored graph is."""
    with psycopg.connect(identity.database_url) as connection:
        check_invariants(lambda statement: connection.execute(statement.encode()).fetchall())


async def test_a_wrong_email_is_taken_from_a_person_and_given_back(replicas: list[Identity]) -> None:
    first, second = replicas
    (person, *_) = await first.apply(
        event("e1", user_id="u", browser_id="b"),
        event("e2", user_id="u", email="wrong@x.com"),
        event("e3", user_id="u"),
    )
    await first.identify("wrong@x.com", "1")
    # Both replicas remember where it was.
    for one in replicas * 2:
        assert await one.apply(event(email="wrong@x.com")) == [person]
    answer = await detach(first, person, "email", " Wrong@X.com ")
    other = answer.detached_user_id
    assert (answer.internal_user_id, list(answer.never_merge.internal_user_ids)) == (person, [person, other])
    profile = await second.profile(person)
    assert (shown(profile, "emails"), shown(profile, "user_ids"), shown(profile, "phones")) == ([], ["u"], ["1"])
    assert len(profile.events) == 7
    assert (await second.match("email", "wrong@x.com")).internal_user_id == other
    assert list((await first.identify("", "1")).emails) == []
    export = await second.stub.ExportProfile(erasure_pb2.ExportProfileRequest(internal_user_id=person))
    assert "wrong@x.com" not in str(export.identifiers)
    graph = await first.stub.GetGraph(explanation_pb2.GetGraphRequest(internal_user_id=person))
    assert "email:wrong@x.com" not in {node.id for node in graph.nodes}
    explained = await first.stub.ExplainLink(
        explanation_pb2.ExplainLinkRequest(**{"from": "email:wrong@x.com", "to": "user_id:u"})
    )
    assert not explained.same_person
    assert [objection.rule for objection in explained.objections] == ["never_merge"]
    # What comes goes to the new one, in every replica, and together with the person's to the first in the policy.
    for one in (second, first, second):
        assert await one.apply(event(email="wrong@x.com"), event(user_id="u", email="wrong@x.com")) == [other, person]
    sound(first)
    for wrong in (detach(first, person, "email", "wrong@x.com"), detach(first, person, "email", "nobody@x.com")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await wrong
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    back = await attach(second, person, "email", "wrong@x.com")
    assert back.internal_user_id == person
    assert back.merge_id
    assert not (await attach(first, person, "email", "wrong@x.com")).merge_id
    for one in replicas:
        assert await one.apply(event(email="wrong@x.com"), event(user_id="u", email="wrong@x.com")) == [person, person]
        assert (await one.profile(other)).internal_user_id == person
    assert list((await first.identify("", "1")).emails) == ["wrong@x.com"]
    sound(first)


async def test_an_adoption_is_taken_back(identity: Identity) -> None:
    (visitor,) = await identity.apply(event("visit", browser_id="b"))
    assert await identity.apply(event("login", email="a@x.com", browser_id="b")) == [visitor]
    other = (await detach(identity, visitor, "email", "a@x.com")).detached_user_id
    profile = await identity.profile(visitor)
    assert [one.event_id for one in profile.events] == ["login", "visit"]
    assert shown(profile, "emails") == []
    # Nobody who is known has the browser any more, so it is the visitor's again, and the next e-mail's to adopt.
    assert await identity.apply(event(browser_id="b"), event(email="a@x.com")) == [visitor, other]
    assert await identity.apply(event(email="b@x.com", browser_id="b")) == [visitor]
    sound(identity)


async def test_what_the_identifier_brought_is_still_explained(identity: Identity) -> None:
    (person, *_) = await identity.apply(
        event(user_id="u"), event(user_id="u", email="a@x.com"), event(email="a@x.com", phone="1")
    )
    await detach(identity, person, "email", "a@x.com")
    explained = await identity.stub.ExplainLink(
        explanation_pb2.ExplainLinkRequest(**{"from": "phone:1", "to": "user_id:u"})
    )
    assert explained.same_person
    assert [step.rule for step in explained.chain] == ["same_profile"]


@pytest.mark.parametrize("fields", [{"identifier": "browser_id"}, {"value": ""}, {"value": "\0"}, {"reason": ""}])
async def test_wrong_requests_name_their_field(identity: Identity, fields: dict[str, str]) -> None:
    (person,) = await identity.apply(event(email="a@x.com"))
    given = {"internal_user_id": person, "identifier": "email", "value": "a@x.com", "reason": "x"} | fields
    for call in (
        identity.stub.DetachIdentifier(separation_pb2.DetachIdentifierRequest(**given)),
        identity.stub.AttachIdentifier(separation_pb2.AttachIdentifierRequest(**given)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert next(iter(fields)) in str(caught.value.details())


@pytest.mark.parametrize("known", [True, False])
async def test_what_a_shared_value_joined_is_one_entry_and_one_undo(replicas: list[Identity], known: bool) -> None:
    identity, other = replicas
    emails = [f"{n}@x.com" for n in range(8)]
    if known:
        await identity.apply(*(event(email=email) for email in emails))
    crowd = (await identity.apply(*(event(email=email) for email in emails[:1])))[0]
    await identity.apply(
        *(event(email=email, phone="+49301", wallet_address=f"w-{email}", browser_id=email) for email in emails)
    )
    await identity.identify(emails[1], "")
    assert len(shown(await other.profile(crowd), "emails")) == 5
    listed = (await other.stub.ListSharedValues(separation_pb2.ListSharedValuesRequest())).values
    assert [(v.identifier, v.value, v.internal_user_id) for v in listed] == [("phone", "+49301", crowd)]
    assert (listed[0].merges, listed[0].attached) == ((4, 0) if known else (0, 8))
    answer = await undo_shared(other, "phone", "+49 301")
    assert len(answer.merge_ids) == (4 if known else 0)
    assert len(answer.internal_user_ids) == 5
    people = [(await one.match("email", email)).internal_user_id for one in replicas for email in emails]
    assert len(set(people)) == 8
    # What came together stays together.
    assert [(await identity.match("wallet_address", f"w-{email}")).internal_user_id for email in emails] == people[:8]
    assert [(await one.apply(event(email=email)))[0] for one in replicas for email in emails] == people
    assert list((await identity.identify(emails[1], "")).emails) == [emails[1]]
    after = (await identity.stub.ListSharedValues(separation_pb2.ListSharedValuesRequest())).values
    assert [(v.merges, v.attached) for v in after] == [(0, 0)]
    # It joins nobody any more, and a second undo finds nothing.
    assert await identity.apply(*(event(email=email, phone="+49301") for email in emails)) == people[:8]
    again = await undo_shared(identity, "phone", "+49301")
    assert (list(again.merge_ids), again.detached) == ([], 0)
    sound(identity)


async def test_a_value_can_be_taken_for_shared_before_it_is(identity: Identity) -> None:
    await identity.apply(event(email="a@x.com"), event(email="b@x.com"))
    a, b = await identity.apply(event(email="a@x.com", phone="1"), event(email="b@x.com", phone="1"))
    assert a == b
    await undo_shared(identity, "phone", "1")
    a, b, phone = await identity.apply(
        event(email="a@x.com", phone="1"), event(email="b@x.com", phone="1"), event(phone="1")
    )
    assert len({a, b, phone}) == 3
    # Other evidence still joins them.
    await identity.apply(event(email="a@x.com", wallet_address="w"))
    a, b = await identity.apply(event(email="b@x.com", wallet_address="w"), event(email="a@x.com"))
    assert a == b
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await undo_shared(identity, "phone", "2")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_shared_values_come_in_pages(identity: Identity) -> None:
    await identity.apply(*(event(email=f"{n}-{m}@x.com", phone=f"55{n}") for n in range(5) for m in range(6)))
    values, token = [], ""
    while True:
        page = await identity.stub.ListSharedValues(
            separation_pb2.ListSharedValuesRequest(page_size=2, page_token=token)
        )
        values += [one.value for one in page.values]
        token = page.next_page_token
        if not token:
            break
    assert sorted(values) == [f"55{n}" for n in range(5)]
    for wrong in ({"page_size": -1}, {"page_token": "!"}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.stub.ListSharedValues(separation_pb2.ListSharedValuesRequest(**wrong))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_value_that_was_detached_is_taken_back_where_it_joined(replicas: list[Identity]) -> None:
    identity, other = replicas
    a, b = await identity.apply(event(email="a@x.com", phone="1"), event(email="b@x.com"))
    await identity.apply(event(email="b@x.com", phone="1"))
    assert (await other.profile(b)).internal_user_id == a
    alone = (await detach(identity, a, "phone", "1")).detached_user_id
    answer = await undo_shared(other, "phone", "1")
    assert (len(answer.merge_ids), sorted(answer.internal_user_ids)) == (1, sorted([a, b, alone]))
    assert await other.apply(event(email="a@x.com"), event(email="b@x.com")) == [a, b]
    sound(identity)


async def test_what_was_detached_still_counts_for_what_it_was_seen_with(identity: Identity) -> None:
    emails = [f"{n}@x.com" for n in range(5)]
    (person, *_) = await identity.apply(event(phone="1"), *(event(email=email, phone="1") for email in emails))
    await detach(identity, person, "email", emails[0])
    # It was the first of five: with one more the phone has come with six.
    (sixth,) = await identity.apply(event(email="5@x.com", phone="1"))
    assert sixth != person
    values = (await identity.stub.ListSharedValues(separation_pb2.ListSharedValuesRequest())).values
    assert [(one.value, one.attached) for one in values] == [("1", 4)]
    sound(identity)


async def test_what_is_moved_with_what_brought_it_is_still_counted_for_that(identity: Identity) -> None:
    await identity.apply(
        event(phone="1"), event(phone="1", email="a@x.com"), event(email="a@x.com", wallet_address="w")
    )
    await identity.apply(event(phone="1", email="b@x.com"), event(email="b@x.com", wallet_address="v"))
    await undo_shared(identity, "phone", "1")
    await undo_shared(identity, "email", "b@x.com")
    values = (await identity.stub.ListSharedValues(separation_pb2.ListSharedValuesRequest())).values
    assert {one.value: one.attached for one in values} == {"1": 1, "b@x.com": 1}
