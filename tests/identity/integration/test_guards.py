"""What is refused, that no event is lost by it, and that it is listed."""

from __future__ import annotations

import grpc
import pytest

from dmp.identity.v1 import explanation_pb2
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import event
from tests.identity.client import Identity, shown
from tests.identity.policies import policy_with_small_limits


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The default with small limits."""
    return policy_with_small_limits()


async def refusals(
    identity: Identity, *, rule: str = "", internal_user_id: str = ""
) -> list[tuple[str, str, str, int]]:
    """The review list: rule, type, value, how often."""
    answer = await identity.stub.ListRefusals(
        explanation_pb2.ListRefusalsRequest(rule=rule, internal_user_id=internal_user_id)
    )
    return [(r.rule, r.identifier, r.value, r.times) for r in answer.refusals]


async def test_blocked_values_join_nobody_and_lose_no_event(identity: Identity) -> None:
    a, b, c, d = await identity.apply(
        event(email="NULL", phone="1"), event(email="null", phone="2"), event(email="null"), event(email=" null ")
    )
    assert len({a, b, c}) == 3
    assert c == d
    assert shown(await identity.profile(a), "emails") == []
    assert len((await identity.profile(c)).events) == 2
    assert sum(times for rule, *_, times in await refusals(identity) if rule == "blocked") == 4
    assert await refusals(identity, internal_user_id=c) == [("blocked", "email", "null", 2)]


async def test_values_that_are_too_long_or_of_no_type_lose_no_event(identity: Identity) -> None:
    a, b, c = await identity.apply(event(email="x" * 400), event(email="x" * 400), event(shoe_size="42"))
    assert a == b != c
    assert "" not in {a, c}
    assert {rule for rule, *_ in await refusals(identity)} == {"too_long", "unknown_type"}


async def test_a_person_gets_at_most_so_many_values_of_a_type(identity: Identity) -> None:
    people = await identity.apply(*(event(f"e{n}", user_id="u", email=f"{n}@x.com") for n in range(5)))
    assert len(set(people)) == 1
    profile = await identity.profile(people[0])
    assert shown(profile, "emails") == ["0@x.com", "1@x.com", "2@x.com"]
    assert len(profile.events) == 5
    assert sorted(await refusals(identity)) == [("limit", "email", f"{n}@x.com", 1) for n in (3, 4)]


async def test_an_event_of_two_people_that_a_limit_keeps_apart_goes_by_rank(identity: Identity) -> None:
    (older, *_) = await identity.apply(*(event(email=f"{n}@x.com", wallet_address="w") for n in range(2)))
    (younger, *_) = await identity.apply(*(event(email=f"{n}@y.com", phone="1") for n in range(2)))
    assert await identity.apply(event(wallet_address="w", phone="1", user_id="u", browser_id="b")) == [younger]
    assert (await identity.match("user_id", "u")).internal_user_id == younger
    assert shown(await identity.profile(younger), "browser_ids") == ["b"]
    assert await refusals(identity, internal_user_id=younger) == [("limit", "wallet_address", "w", 1)]
    assert (await identity.profile(older)).internal_user_id == older


async def test_a_value_that_comes_with_many_others_is_shared_and_stops_matching(identity: Identity) -> None:
    people = await identity.apply(*(event(phone="555", user_id=f"u{n}", wallet_address=f"w{n}") for n in range(1)))
    people += await identity.apply(*(event(phone="555", wallet_address=f"x{n}") for n in range(2)))
    assert len(set(people)) == 1
    # What came in the same event as the value itself counts, too; what came before does not count twice.
    assert set(await identity.apply(event(phone="555", wallet_address="x1"))) == set(people)
    (fourth,) = await identity.apply(event(phone="555", wallet_address="x3"))
    assert fourth != people[0]
    (fifth, alone, again) = await identity.apply(
        event(phone="555", wallet_address="x4"), event(phone="555"), event(phone="555")
    )
    assert len({people[0], fourth, fifth, alone}) == 4
    assert alone == again
    assert [(r[0], r[2]) for r in await refusals(identity, rule="shared")] == [("shared", "555")] * 3


async def test_two_large_people_are_not_merged_by_an_event(identity: Identity) -> None:
    (a, *_) = await identity.apply(*(event(email="a", wallet_address=f"a{n}") for n in range(5)))
    (b, *_) = await identity.apply(*(event(email="b", wallet_address=f"b{n}") for n in range(5)))
    assert await identity.apply(event(wallet_address="a1", email="b", user_id="u")) == [b]
    assert (await identity.profile(b)).internal_user_id == b
    assert shown(await identity.profile(b), "user_ids") == ["u"]
    answer = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(rule="large_clusters"))
    assert [(r.internal_user_id, r.other_user_id) for r in answer.refusals] == [(b, a)]
    assert (await identity.merge(a, b)).merge_id


async def test_a_blocked_contact_is_refused_alone_and_left_out_beside_another(identity: Identity) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="names nobody"):
        await identity.identify("test@example.com")
    other = await identity.identify("test@example.com", "7")
    assert (list(other.emails), list(other.phone_numbers)) == ([], ["7"])
    assert await identity.rows("SELECT count(*) FROM contact") == [(1,)]


async def test_the_review_list_comes_in_pages(identity: Identity) -> None:
    await identity.apply(*(event(email="null", phone=f"1{n}") for n in range(7)))
    seen, token = 0, ""
    while True:
        page = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(page_size=3, page_token=token))
        seen += len(page.refusals)
        token = page.next_page_token
        if not token:
            break
    assert seen == 7
    for wrong in ({"rule": "nonsense"}, {"page_token": "!"}, {"page_size": -1}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(**wrong))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_values_that_were_left_out_together_were_seen_together(identity: Identity) -> None:
    """Two people have as many e-mails and user ids as the policy allows; then their events show many more e-mails, each
    with the same user id, which is nobody's yet.
    """
    for person in "vw":
        await identity.apply(*(event(wallet_address=person, email=f"{person}{n}@x.com") for n in range(3)))
        await identity.apply(*(event(wallet_address=person, user_id=f"{person}{n}") for n in range(2)))
        await identity.apply(
            *(event(wallet_address=person, email=f"new{person}{n}@x.com", user_id="u") for n in range(10))
        )
    user, other = await identity.apply(event(user_id="u"), event(user_id="u", email="one-more@x.com"))
    assert user != other
    assert ("shared", "user_id", "u", 1) in await refusals(identity)
