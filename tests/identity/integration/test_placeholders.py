"""Values that name nobody: their events are stored, strangers stay strangers, and what was set aside is listed."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from dmp.identity.v1 import explanation_pb2
from dmp_identity.domain.identifier_policy import policy_from_mapping
from tests.identity.batches import event
from tests.identity.client import Identity, running, shown


async def review(identity: Identity, rule: str = "") -> list[tuple[str, str, str, int]]:
    """The review list: rule, type, value, how often."""
    answer = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(rule=rule))
    return sorted((r.rule, r.identifier, r.value, r.times) for r in answer.refusals)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("unfilled_macro", "{{visitor}}"),
        ("unfilled_macro", "%%VISITOR%%"),
        ("no_letter_or_digit", "-"),
        ("one_character", "00000000-0000-0000-0000-000000000000"),
        ("field_name", "userId"),
        ("email_of_nobody", "unknown@unknown.com"),
        ("blocked", "not_set"),
    ],
)
async def test_a_placeholder_does_not_make_strangers_one_person(identity: Identity, rule: str, value: str) -> None:
    a, b, alone, again = await identity.apply(
        event("e1", user_id=value, email="a@b.com"),
        event("e2", user_id=value, email="c@d.com"),
        event("e3", user_id=value),
        event("e4", user_id=value),
    )
    assert len({a, b, alone}) == 3
    assert alone == again
    assert [e.event_id for e in (await identity.profile(alone)).events] == ["e3", "e4"]
    assert [shown(await identity.profile(person), "user_ids") for person in (a, b, alone)] == [[], [], []]
    listed = await review(identity)
    assert {(row[0], row[1], row[2]) for row in listed} == {(rule, "user_id", value)}
    assert sum(row[3] for row in listed) == 4
    assert await review(identity, rule) == listed


async def test_a_placeholder_beside_a_known_browser_does_not_hide_it(identity: Identity) -> None:
    a, b = await identity.apply(
        event(email="a@b.com", browser_id="browser-7"), event(user_id="{{user_id}}", browser_id="browser-7")
    )
    assert a == b


async def test_what_was_a_person_before_the_rules_stays_and_nobody_joins_it(
    identity_database_url: str, redis_url: str
) -> None:
    mapping = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text())
    before = policy_from_mapping({**mapping, "placeholder_shapes": []})
    async with running(identity_database_url, redis_url, before) as identity:
        (crowd, other) = await identity.apply(
            event("e1", user_id="$VISITOR", email="a@b.com"), event("e2", email="c@d.com")
        )
    async with running(identity_database_url, redis_url, policy_from_mapping(mapping)) as identity:
        third, fourth, fifth = await identity.apply(
            event("e3", user_id="$VISITOR"),
            event("e4", user_id="$VISITOR", email="c@d.com"),
            event("e5", email="a@b.com"),
        )
        assert third not in {crowd, other}
        assert (fourth, fifth) == (other, crowd)
        assert (await identity.match("user_id", "$VISITOR")).internal_user_id == crowd
        assert [e.event_id for e in (await identity.profile(crowd)).events] == ["e1", "e5"]
        assert shown(await identity.profile(crowd), "user_ids") == ["$VISITOR"]
