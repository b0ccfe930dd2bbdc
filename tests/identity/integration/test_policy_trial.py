"""Trying a policy on the stored data: what it says, and that a hostile one costs nobody else anything."""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

import grpc
import psutil
import psycopg
import pytest
from google.api import httpbody_pb2

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from dmp_identity.domain.policy_text import MAX_BYTES
from dmp_identity.settings import load_policy
from tests.conditions import eventually
from tests.identity.batches import event
from tests.identity.client import Identity, running
from tests.identity.hostile_policies import HOSTILE
from tests.identity.policies import policy_with_small_limits

DEFAULT = (resources.files("dmp_identity") / "policy.toml").read_text()
MIB = 1 << 20


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The default with small limits."""
    return policy_with_small_limits()


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


async def refused(identity: Identity, text: str) -> grpc.aio.AioRpcError:
    """The error with which a policy is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await trial(identity, text)
    return caught.value


def with_pattern(pattern: str) -> str:
    """The default policy with another pattern for e-mail addresses."""
    replaced, count = re.subn(
        r"(?<=\[types\.email\]\n)((?:(?!\[|blocked_patterns).*\n)*)blocked_patterns = .*",
        lambda found: f'{found[1]}blocked_patterns = ["{pattern}"]',
        DEFAULT,
    )
    assert count == 1
    return replaced


async def test_a_pattern_that_the_engine_cannot_follow_is_refused(identity: Identity) -> None:
    for pattern in (r"(a)\\1", "((a{100}){100}){100}"):
        error = await refused(identity, with_pattern(pattern))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "types.email.blocked_patterns" in str(error.details())


async def test_any_other_pattern_is_quick(identity: Identity) -> None:
    await identity.apply(event(email="a" * 300 + "!"))
    for pattern in (r"(a+)+b", "(?:a|a)" * 29 + "c"):
        answer = await trial(identity, with_pattern(pattern))
        assert (answer.people_before, answer.people_after) == (1, 1)


async def test_a_pattern_is_matched_against_the_whole_value(identity: Identity) -> None:
    await identity.apply(event(email="reply@shop.com"), event(email="no-reply@shop.com"))
    answer = await trial(identity, with_pattern("no-?reply@.*"))
    assert [(one.identifier, one.rule) for one in answer.set_aside] == [("email:no-reply@shop.com", "blocked")]


async def test_a_trial_names_the_stored_values_that_it_would_set_aside(
    identity_database_url: str, redis_url: str
) -> None:
    before = policy_from_mapping({**tomllib.loads(DEFAULT), "placeholder_shapes": []})
    async with running(identity_database_url, redis_url, before) as identity:
        crowd, alone = await identity.apply(
            event("e1", user_id="{{visitor}}", email="a@b.com"), event("e2", user_id="%%CLIENT%%")
        )
        await identity.apply(event("e3", user_id="{{visitor}}", phone="123"))
        answer = await trial(identity, DEFAULT)
        found = {(one.internal_user_id, one.identifier, one.rule) for one in answer.set_aside}
        assert found == {
            (crowd, "user_id:{{visitor}}", "unfilled_macro"),
            (alone, "user_id:%%CLIENT%%", "unfilled_macro"),
        }
        assert answer.set_aside_count == 2
        assert (answer.people_before, answer.people_after, answer.split_count) == (2, 2, 1)


async def test_a_hostile_policy_is_refused_and_costs_nobody_else_anything(identity: Identity) -> None:
    await identity.identify("somebody@example.org")
    before = psutil.Process().memory_info().rss
    for name in ("a dotted key", "dotted keys within the bound", "many patterns"):
        text = HOSTILE[name]
        attack = asyncio.ensure_future(refused(identity, text))
        waits = []
        while not attack.done():
            began = time.perf_counter()
            await identity.identify("somebody@example.org")
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)  # how often somebody else asks while the policy is tried
        assert (await attack).code() is grpc.StatusCode.INVALID_ARGUMENT, name
        assert max(waits, default=0) < 0.5, name
        assert psutil.Process().memory_info().rss - before < 50 * MIB, name


async def test_a_policy_of_more_than_64_kib_is_refused(identity: Identity) -> None:
    error = await refused(identity, "#" * (MAX_BYTES + 1))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "65536" in str(error.details())


def trial_processes() -> list[psutil.Process]:
    """The processes in which policies are tried."""
    return [child for child in psutil.Process().children() if "dmp_identity.trial_process" in child.cmdline()]


@asynccontextmanager
async def held_evidence(identity: Identity) -> AsyncIterator[None]:
    """Nobody can read identifiers meanwhile: a trial waits."""
    async with await psycopg.AsyncConnection.connect(identity.database_url) as connection:
        await connection.execute("LOCK TABLE identifier IN ACCESS EXCLUSIVE MODE")
        yield


async def test_one_policy_is_tried_at_a_time_and_a_trial_ends_with_its_call(identity: Identity) -> None:
    async with held_evidence(identity):
        call = asyncio.ensure_future(trial(identity, DEFAULT))
        await eventually(trial_processes)
        error = await refused(identity, DEFAULT)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "being tried" in str(error.details())
        assert len(trial_processes()) == 1
        call.cancel()
        await eventually(lambda: not trial_processes())
    assert (await trial(identity, DEFAULT)).people_before == 0


async def test_a_trial_that_needs_more_than_it_may_have_is_ended(identity_database_url: str, redis_url: str) -> None:
    async with running(identity_database_url, redis_url, load_policy(), trial_seconds=1.0) as identity:
        async with held_evidence(identity):
            error = await refused(identity, DEFAULT)
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert not trial_processes()
    async with running(identity_database_url, redis_url, load_policy(), trial_memory_bytes=1 << 20) as identity:
        await identity.apply(*(event(wallet_address=f"w{n}") for n in range(5000)))
        error = await refused(identity, DEFAULT)
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error.details() == "trying the policy needed more memory or time than a trial may have"
        await identity.identify("somebody@example.org")
