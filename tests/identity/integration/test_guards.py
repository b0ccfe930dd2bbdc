"""What is refused, that no event is lost by it, and that it is listed; and trying a policy first."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2

from dmp.identity.v1 import explanation_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from tests.identity.batches import event
from tests.identity.client import Identity, shown

DEFAULT = (resources.files("dmp_identity") / "policy.toml").read_text()


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The default with small limits."""
    mapping: dict[str, Any] = tomllib.loads(DEFAULT)
    mapping["large_cluster_identifiers"] = 4
    mapping["types"]["email"].update(max_per_profile=3, hub_degree=100)
    mapping["types"]["phone"].update(hub_degree=3)
    mapping["types"]["user_id"].update(max_per_profile=2, period_days=1)
    return policy_from_mapping(mapping)


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


async def test_blocked_contacts_are_contacts_of_their_own(identity: Identity) -> None:
    first = await identity.identify("test@example.com")
    assert list((await identity.identify("test@example.com")).emails) == ["test@example.com"]
    other = await identity.identify("test@example.com", "7")
    assert other.primary_contact_id != first.primary_contact_id
    assert (list(other.emails), list(other.phone_numbers)) == ([], ["7"])
    assert await identity.rows("SELECT count(*) FROM contact") == [(2,)]


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


async def trial(identity: Identity, text: str) -> pb.TryPolicyResponse:
    """What a policy would change."""
    return await identity.stub.TryPolicy(pb.TryPolicyRequest(policy=httpbody_pb2.HttpBody(data=text.encode())))


async def test_a_policy_can_be_tried_first(identity: Identity) -> None:
    a, b, c, d = await identity.apply(
        event(email="a@b.com", browser_id="x"),
        event(email="c@d.com", browser_id="x"),
        event(email="e@f.com", phone="1"),
        event(email="g@h.com", phone="1"),
    )
    assert c == d
    same = await trial(identity, DEFAULT)
    assert (same.people_before, same.people_after, same.merge_count, same.split_count) == (3, 3, 0, 0)
    weaker = await trial(
        identity, DEFAULT.replace('[types.phone]\nstrength = "strong"', '[types.phone]\nstrength = "weak"')
    )
    assert (weaker.people_after, weaker.split_count) == (4, 1)
    assert list(weaker.splits[0].internal_user_ids) == [c]
    stronger = await trial(
        identity, DEFAULT.replace('[types.browser_id]\nstrength = "weak"', '[types.browser_id]\nstrength = "strong"')
    )
    assert (stronger.people_after, stronger.merge_count) == (2, 1)
    assert list(stronger.merges[0].internal_user_ids) == [a, b]
    assert (await identity.profile(b)).internal_user_id == b
    for text in ("{", "[types.x]\nstrength = 5\n", "types = 3"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await trial(identity, text)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_trial_shows_what_lower_limits_would_split(identity: Identity) -> None:
    (shop, *_) = await identity.apply(*(event(phone="1", wallet_address=f"w{n}") for n in range(3)))
    (person, *_) = await identity.apply(*(event(user_id=f"u{n}", email="a@x.com") for n in range(4)))
    await identity.apply(event(email="b@x.com", phone="2"))
    # The values that were set aside count: with the two that were learned there are four.
    assert (await trial(identity, DEFAULT.replace("hub_degree = 20", "hub_degree = 4"))).split_count == 0
    shared = await trial(identity, DEFAULT.replace("hub_degree = 20", "hub_degree = 2"))
    assert {split.internal_user_ids[0]: split.people_after for split in shared.splits} == {shop: 4, person: 3}
    limited = await trial(identity, DEFAULT.replace("max_per_profile = 20", "max_per_profile = 1"))
    assert {split.internal_user_ids[0]: split.people_after for split in limited.splits} == {shop: 3}
    assert (await identity.profile(shop)).internal_user_id == shop


async def test_a_trial_counts_the_people_of_today_as_they_are(identity: Identity) -> None:
    await identity.apply(event(email="a@b.com"), event(wallet_address="0xa1"), event(browser_id="x"))
    weaker = await trial(
        identity, DEFAULT.replace('wallet_address]\nstrength = "strong"', 'wallet_address]\nstrength = "weak"')
    )
    assert (weaker.people_before, weaker.people_after) == (2, 1)
    stronger = await trial(
        identity, DEFAULT.replace('browser_id]\nstrength = "weak"', 'browser_id]\nstrength = "strong"')
    )
    assert (stronger.people_before, stronger.people_after) == (2, 3)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|a)*b",
        r"(a?a?)+b",
        r"(\\w+\\s?)*!",
        r"((ab)*c*){2,}",
        r".*.*.*.*x",
        r"(?:(?:a*)b?)*",
        r"a{99999999999999}",
        "(",
    ],
)
async def test_a_pattern_that_could_take_for_ever_is_refused(identity: Identity, pattern: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="blocked_patterns") as caught:
        await trial(identity, DEFAULT.replace("(null|undefined|none|anonymous|no-?e?mail)@.*", pattern))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "pattern", [r"[a-z]+@[a-z]+\\.[a-z]+", r"(no-?reply|info)@.*", r"(\\+49)?0+", r"([0-9a-f]{2}:){5}00"]
)
async def test_a_pattern_that_is_quick_is_followed(identity: Identity, pattern: str) -> None:
    assert (
        await trial(identity, DEFAULT.replace("(null|undefined|none|anonymous|no-?e?mail)@.*", pattern))
    ).people_before == 0
