"""Questions that come in pages, change people, or listen: blocking and on asyncio."""

from __future__ import annotations

import inspect
import itertools
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from dmp_client import (
    MEMORY,
    AsyncDmpClient,
    DmpClient,
    NotFoundError,
    RefusedError,
    UnavailableError,
    VerdictKind,
    answers,
)
from tests.clients.interposed import Interposed, Said, failing
from tests.conditions import wait_until

Make = Callable[..., DmpClient]


def test_both_clients_ask_the_same_questions() -> None:
    def questions(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") and name not in ("at_exit", "after_fork", "track", "health", "resume")
        }

    assert questions(DmpClient) == questions(AsyncDmpClient)


def test_every_path_of_the_document_has_a_question(between: Interposed, make_client: Make) -> None:
    client = make_client(between.url)
    asked: list[Callable[[], object]] = [
        lambda: client.user("user_1"),
        lambda: client.history("user_1"),
        lambda: client.graph("user_1"),
        lambda: client.detach("user_1", "email", "a@b.com", "wrong"),
        lambda: client.attach("user_1", "email", "a@b.com", "right"),
        lambda: client.let_merge("n1", "right"),
        lambda: client.undo("m1", "wrong"),
        lambda: client.erasure("e1"),
        lambda: client.reference_user("u"),
        lambda: client.event("e1"),
        lambda: list(client.shared()),
        lambda: client.undo_shared("email", "a@b.com", "shop"),
        lambda: client.try_policy("x = 1"),
        lambda: client.erase_identifier("email", "a@b.com"),
        lambda: list(client.actions()),
        lambda: client.repair("c", "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"),
    ]
    between.behaviour = lambda _: Said(status=404, body=b'{"error":{"status":"NOT_FOUND","message":"nothing here"}}')
    for question in asked:
        with pytest.raises(NotFoundError, match="nothing here"):
            question()


def test_pages_of_a_list_are_read_one_after_the_other(make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    mark = secrets.token_hex(6)
    for number in range(120):
        client.track("page_view", identifiers={"email": "test@example.com", "browser_id": f"{mark}-{number}"})
    assert client.flush(20)
    wait_until(lambda: any(r.rule == "blocked" for r in client.review(rule="blocked")), "refusals are listed")
    first = next(iter(client.review(rule="blocked")))
    assert (first.identifier, first.value) == ("email", "test@example.com")


def test_what_was_decided_is_read_page_after_page(make_client: Make, gateway_url: str) -> None:
    client, since = make_client(gateway_url), datetime.now(UTC)
    email = f"{secrets.token_hex(6)}@x.example"
    client.track("page_view", identifiers={"email": email})
    assert client.flush(20)
    person = client.match("email", email).internal_user_id
    for number in range(101):
        client.merge([person], f"{number}")
    acts = list(client.actions(from_=since, kind="merge_profiles", actor="-"))
    assert [act.reason for act in acts if act.internal_user_ids == [person]] == [f"{n}" for n in reversed(range(101))]
    assert acts[0].acted_at >= since


def test_possible_matches_and_detaching(make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    mark = secrets.token_hex(6)
    for name in ("one", "two"):
        client.track("page_view", identifiers={"email": f"{name}@{mark}.example", "browser_id": f"b-{mark}"})
    client.track("page_view", identifiers={"email": f"one@{mark}.example", "user_id": f"u-{mark}"})
    assert client.flush(20)
    one, two = (client.match("email", f"{name}@{mark}.example").internal_user_id for name in ("one", "two"))
    assert [found.internal_user_id for found in client.possible_matches(one)] == [two]
    detached = client.detach(one, "user_id", f"u-{mark}", "typed wrongly")
    assert client.match("user_id", f"u-{mark}").internal_user_id == detached.detached_user_id != one
    assert detached.never_merge is not None
    assert detached.never_merge.reason == "typed wrongly"
    assert client.attach(one, "user_id", f"u-{mark}", "it was right").internal_user_id == one
    assert client.match("user_id", f"u-{mark}").internal_user_id == one
    apart = client.keep_apart([one, two], "two people")
    assert not client.let_merge(apart.never_merge_id, "after all").already_removed
    assert client.let_merge(apart.never_merge_id, "after all").already_removed
    assert {node.kind for node in client.graph(one).nodes} >= {"profile", "identifier"}


def test_erasing_by_an_identifier(make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    mail = f"gone@{secrets.token_hex(6)}.example"
    client.track("page_view", identifiers={"email": mail})
    assert client.flush(20)
    preview = client.erase_identifier("email", mail, dry_run=True)
    assert preview.dry_run
    assert preview.identifiers == 1
    receipt = client.erase_identifier("email", mail.upper())
    assert not receipt.dry_run
    with pytest.raises(NotFoundError):
        client.match("email", mail)
    wait_until(lambda: client.erasure(receipt.erasure_id).timeline_entries == 1, "the timeline is erased")


def test_counts_of_chosen_events_and_where_one_is_counted(make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    tracked = [
        client.track(kind, campaign_id=campaign, source=source)
        for source, kind in itertools.product(("web", "app"), ("impression", "click", "purchase"))
    ]
    assert client.flush(20)
    now = datetime.now(UTC)
    begin, end = now - timedelta(minutes=5), now + timedelta(minutes=1)
    wait_until(lambda: sum(p.events for p in client.stats(campaign, begin, end).series) == 6, "all are counted")
    clicks = client.stats(campaign, begin, end, types=["click", "purchase"], sources=["app"], group_by="type")
    assert sorted((point.group, point.events) for point in clicks.series) == [("click", 1), ("purchase", 1)]
    counted = client.event(tracked[-1]).counted_in
    assert counted is not None
    assert (counted.campaign_id, counted.type) == (campaign, "purchase")
    audit = client.audit(begin, now, campaign_id=campaign)
    assert (audit.clean, audit.events) == (True, 6)
    assert client.repair(campaign, begin, now).minutes == []


def test_all_pages_of_an_audit_count(make_client: Make, between: Interposed) -> None:
    pages = iter(
        [
            b'{"clean":true,"events":2,"cells":1,"next_page_token":"7"}',
            (
                b'{"clean":false,"events":3,"cells":2,"unsettled":1,"timeline_differences":[{"logged":1}],'
                b'"differences":[{"campaign_id":"c","type":"click","logged":2}],"next_page_token":""}'
            ),
        ]
    )
    between.behaviour = lambda _: Said(status=200, body=next(pages), headers={"content-type": "application/json"})
    audit = make_client(between.url).audit("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    assert (audit.clean, audit.events, audit.cells, audit.unsettled) == (False, 5, 3, 1)
    assert (len(audit.differences), len(audit.timeline_differences)) == (1, 1)
    assert "page_token=7" in between.seen[1].path


def test_the_reference_table_is_replaced_changed_and_read(make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    written = client.put_reference({"u_1": {"plan": "pro"}, "u_2": {"plan": "free", "region": "eu"}})
    changed = client.patch_reference({"u_1": None, "u_2": {"plan": "pro", "region": None}})
    assert changed.generation == written.generation + 1
    assert client.reference().users == 1
    assert client.reference_user("u_2").attributes == {"plan": "pro"}
    with pytest.raises(NotFoundError):
        client.reference_user("u_1")


def test_the_live_feed_goes_on_when_it_breaks(make_client: Make, between: Interposed) -> None:
    client = make_client(between.url)
    assert len(list(client.live(top=3, seconds=2))) == 2
    between.behaviour = failing(2, Said(status=503))
    assert next(client.live(seconds=1)).ts.tzinfo is not None
    one = b'data: {"ts":"2026-02-10T21:11:59Z","users":4,"top_campaigns":[{"campaign_id":"c","events":2}]}\n\n'
    cut_off = iter([one + b'data: {"ts":"2026-02', b": nothing\n\n" + one])
    between.behaviour = lambda _: Said(status=200, body=next(cut_off), headers={"content-type": "text/event-stream"})
    heard = list(client.live(seconds=2))
    assert [snapshot.users for snapshot in heard] == [4, 4]
    assert heard[0].top_campaigns == [answers.Campaign(campaign_id="c", events=2)]


def test_a_feed_that_never_comes_is_given_up(make_client: Make, between: Interposed) -> None:
    between.behaviour = lambda _: Said(status=503)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        next(make_client(between.url).live(patience=0.5))
    assert time.monotonic() - began < 5
    between.behaviour = lambda _: Said(status=400, body=b'{"error":{"status":"INVALID_ARGUMENT","message":"top"}}')
    with pytest.raises(RefusedError):
        next(make_client(between.url).live())


def test_events_that_the_caller_keeps(make_client: Make, between: Interposed, campaign: str) -> None:
    client = make_client(between.url)
    ids = [secrets.token_hex(8) for _ in range(300)]
    bodies = [
        json.dumps(
            {
                "event_id": event_id,
                "type": "click" if number else "nonsense",
                "campaign_id": campaign,
                "source": "log",
                "occurred_at": "2026-02-10T21:10:00Z",
            }
        ).encode()
        for number, event_id in enumerate(ids)
    ]
    judgement = client.judge(bodies)
    assert (judgement.valid, judgement.rejected) == (299, 1)
    assert [(found.position, set(found.errors)) for found in judgement.results] == [(0, {"type"})]
    between.behaviour = failing(1, Said(status=503, headers={"retry-after": "0"}))
    first = client.publish(bodies)
    assert [verdict.kind for verdict in first] == [VerdictKind.REJECTED] + [VerdictKind.ACCEPTED] * 299
    sent = [seen.body for seen in between.seen if seen.path == "/events"]
    assert sent[0] == sent[1]
    assert [verdict.event_id for verdict in first] == ids
    again = client.publish(bodies)
    assert [verdict.kind for verdict in again] == [VerdictKind.REJECTED] + [VerdictKind.DUPLICATE] * 299
    assert [verdict.kind for verdict in client.publish(bodies[:1])] == [VerdictKind.REJECTED]


async def test_listening_on_asyncio(between: Interposed) -> None:
    between.behaviour = failing(1, Said(status=503))
    async with AsyncDmpClient(between.url, spool=MEMORY) as client:
        heard = [snapshot async for snapshot in client.live(seconds=2)]
        assert len(heard) == 2
        assert [found async for found in client.shared()] == []
        between.behaviour = lambda _: Said(status=503)
        with pytest.raises(UnavailableError):
            await anext(client.live(patience=0.3))
