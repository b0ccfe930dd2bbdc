"""Asking about people and campaigns, blocking and on asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from dmp_client import MEMORY, AsyncDmpClient, DmpClient, NotFoundError, RefusedError, UnavailableError
from tests.clients.interposed import Interposed, Said, failing

Make = Callable[..., DmpClient]


def test_a_person_from_first_event_to_undo(make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    mail, phone = f"{campaign}@shop.example", "+49" + str(time.time_ns())[-9:]
    first = client.track("page_view", identifiers={"email": mail})
    second = client.track("page_view", identifiers={"phone": phone})
    assert client.flush(20)
    one, two = client.match("email", mail.upper()), client.match("phone", phone)
    assert one.internal_user_id != two.internal_user_id
    merged = client.merge([one.internal_user_id, two.internal_user_id], "seen at the desk")
    assert {entry.event_id for entry in client.timeline(merged.internal_user_id, page_size=1)} == {first, second}
    assert client.explain(f"email:{mail}", f"phone:{phone}").same_person
    assert client.history(merged.internal_user_id).merges[0].reason == "seen at the desk"
    undone = client.undo(merged.merge_id, "it was somebody else")
    assert set(undone.internal_user_ids) == {one.internal_user_id, two.internal_user_id}
    assert client.match("phone", phone).internal_user_id == two.internal_user_id
    contact = client.identify(email=mail)
    assert contact.emails == [mail]
    assert client.event(first).internal_user_id == one.internal_user_id
    assert client.erase(one.internal_user_id, dry_run=True).dry_run


def test_counts_of_a_campaign(make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    for kind in ("impression", "impression", "click"):
        client.track(kind, campaign_id=campaign, user_id="u_1")
    assert client.flush(20)
    now = datetime.now(UTC)
    stats = client.stats(campaign, now - timedelta(minutes=5), now)
    assert [(sum(p.impressions for p in stats.series), sum(p.clicks for p in stats.series))] == [(2, 1)]
    assert any(found.campaign_id == campaign for found in client.campaigns(now - timedelta(minutes=5), now))
    assert client.metrics(60).events >= 3
    assert client.system_health().ok


def test_an_error_names_its_fields_and_its_kind(make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    with pytest.raises(RefusedError) as refused:
        client.stats("c", "yesterday", "today")
    assert set(refused.value.violations) == {"from", "to"}
    with pytest.raises(NotFoundError) as missing:
        client.user("user_zzzzzz")
    assert missing.value.reason == "PROFILE_NOT_FOUND"


def test_a_question_is_asked_again_while_there_is_time(make_client: Make, between: Interposed) -> None:
    between.behaviour = failing(2, Said(status=503))
    assert make_client(between.url).system_health().ok
    assert len(between.seen) == 3


def test_questions_fail_at_once_while_nothing_answers(make_client: Make, between: Interposed) -> None:
    between.behaviour = lambda _: Said(status=503)
    client = make_client(between.url, timeout_seconds=0.5)
    with pytest.raises(UnavailableError):
        client.system_health()
    seen = len(between.seen)
    assert seen >= 5
    with pytest.raises(UnavailableError, match="left alone"):
        client.system_health()
    assert len(between.seen) == seen


async def test_the_same_on_asyncio(gateway_url: str, campaign: str) -> None:
    async with AsyncDmpClient(gateway_url, spool=MEMORY, source="test") as client:
        client.track("click", campaign_id=campaign, user_id=f"u_{campaign}")
        assert await client.flush(20)
        match = await client.match("user_id", f"u_{campaign}")
        events = [entry.event_type async for entry in client.timeline(match.internal_user_id)]
        assert events == ["click"]
        with pytest.raises(NotFoundError):
            await client.user("user_zzzzzz")
