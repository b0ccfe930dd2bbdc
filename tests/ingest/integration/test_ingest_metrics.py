"""What ingest's metrics say is what happened."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import psycopg
import pytest
import redis

from dmp.ingest.v1 import ingest_service_pb2_grpc
from dmp_chassis import metrics as chassis_metrics
from dmp_ingest.app import SERVICE
from dmp_ingest.domain.event_key import event_key
from dmp_ingest.metrics import OF_INGEST
from dmp_ingest.settings import read_settings
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event
from tests.ingest.consumers import recording_consumers
from tests.scraping import Series, grown, scrape

EVENTS = "dmp_ingest_events_total"
SECRET = "somebody-private"


@dataclass(frozen=True, slots=True)
class Metered:
    """A running ingest and the port where its metrics are read."""

    ingest: Ingest
    port: int

    async def read(self) -> Series:
        """All series now."""
        return await scrape(self.port)


@pytest.fixture
async def metered(ingest_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    monkeypatch.setattr(chassis_metrics, "ASKED_EVERY_SECONDS", 0.0)
    async with recording_consumers() as consumers:
        settings = read_settings(
            {
                "DMP_INGEST_DATABASE_URL": ingest_database_url,
                "DMP_REDIS_URL": redis_url,
                "DMP_INGEST_LISTEN": "127.0.0.1:0",
                "DMP_IDENTITY_ADDRESS": consumers.identity_address,
                "DMP_STATS_ADDRESS": consumers.stats_address,
            }
        )
        async with (
            await SERVICE.start(settings, metrics_listen="127.0.0.1:0") as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
            ingest = Ingest(stub, channel, consumers, ingest_database_url, redis_url)
            yield Metered(ingest, server.metrics_port)


def events_of(series: Series) -> Series:
    return {name.removeprefix(f"{EVENTS} "): value for name, value in series.items() if name.startswith(EVENTS)}


async def test_events_are_counted_by_verdict_form_and_transport_and_rejects_by_field(metered: Metered) -> None:
    before = await metered.read()
    new = [campaign_event(f"e{n}") for n in range(3)]
    assert (await metered.ingest.post(new))[0] == 202
    other = {**new[0], "creative_id": "another"}
    bad = campaign_event("bad", type=SECRET, campaign_id="", identifiers={SECRET: "x"})
    activity = {"event_id": "a", "user_id": SECRET, "type": "click", "ts": new[0]["occurred_at"]}
    identified = {"type": "click", "source": "web", "timestamp": time.time(), "identifiers": {"email": f"{SECRET}@b.c"}}
    assert (await metered.ingest.post([new[1], other, bad, activity, identified]))[0] == 202
    change = grown(before, await metered.read())
    assert events_of(change) == {
        "form=campaign transport=json verdict=accepted": 3,
        "form=campaign transport=json verdict=duplicate": 1,
        "form=campaign transport=json verdict=conflict": 1,
        "form=campaign transport=json verdict=rejected": 1,
        "form=activity transport=json verdict=accepted": 1,
        "form=identified transport=json verdict=accepted": 1,
    }
    named = {name: value for name, value in change.items() if "rejected_fields" in name}
    assert named == {
        f"dmp_ingest_rejected_fields_total field={field}": 1 for field in ("type", "campaign_id", "identifiers")
    }
    assert change["dmp_ingest_group_events_count"] == 2
    assert change["dmp_ingest_group_events_sum"] == 7
    assert change["dmp_ingest_group_wait_seconds_count"] == 2
    assert change["dmp_ingest_commit_duration_seconds_count outcome=stored"] == 2
    assert sum(value for name, value in change.items() if "answered_events" in name) == 7
    method = "dmp.ingest.v1.IngestService/PublishEventsJson"
    assert change[f"rpc_server_call_duration_seconds_count rpc_method={method} rpc_status_code=OK"] == 2


async def test_no_label_has_a_value_that_a_caller_sent(metered: Metered) -> None:
    event = campaign_event(SECRET, type=SECRET, source=SECRET, campaign_id=SECRET, user_id=SECRET)
    await metered.ingest.post([event, {**event, "type": "click"}, {SECRET: SECRET}, SECRET])
    await metered.ingest.post(event, idempotency_key=SECRET, prefer=SECRET)
    assert [name for name in await metered.read() if SECRET in name] == []


async def test_ids_that_redis_knows_are_its_and_those_in_doubt_the_logs(metered: Metered) -> None:
    before = await metered.read()
    await metered.ingest.post([campaign_event("r1"), campaign_event("r2")])
    change = grown(before, await metered.read())
    assert change["dmp_ingest_claims_total decided_by=redis"] == 2
    assert "dmp_ingest_claims_total decided_by=log" not in change


async def test_ids_of_a_group_in_doubt_are_decided_by_the_log(metered: Metered) -> None:
    """Another group has the claim on one of them, and has not said what became of it."""
    assert (await metered.ingest.post(campaign_event("d0")))[0] == 202
    before = await metered.read()
    with redis.Redis.from_url(metered.ingest.redis_url) as client:
        (known,) = client.keys(b"*" + b"".join(b"\\%c" % byte for byte in event_key("d0")))
        client.set(known[:-16] + event_key("d1"), b"p" + b"another." + bytes(8))
    assert (await metered.ingest.post([campaign_event("d1"), campaign_event("d2")]))[0] == 202
    change = grown(before, await metered.read())
    assert change["dmp_ingest_claims_total decided_by=log"] == 2
    assert "dmp_ingest_claims_total decided_by=redis" not in change


async def test_a_commit_that_fails_is_counted_and_stores_nothing(metered: Metered) -> None:
    before = await metered.read()
    with psycopg.connect(metered.ingest.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE event RENAME TO event_away")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await metered.ingest.post(campaign_event("f1"))
        connection.execute("ALTER TABLE event_away RENAME TO event")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    failed = grown(before, await metered.read())
    assert failed["dmp_ingest_commit_duration_seconds_count outcome=failed"] == 1
    assert not [name for name in failed if "outcome=stored" in name or "group_events" in name or "claims" in name]
    assert (await metered.ingest.post(campaign_event("f1")))[0] == 202


async def test_a_consumer_that_is_away_is_seen_in_the_outbox_and_its_return_at_the_relay(metered: Metered) -> None:
    before = await metered.read()
    assert before["dmp_ingest_outbox_oldest_age_seconds consumer=stats"] == 0
    metered.ingest.consumers.stats.refusing = True
    await metered.ingest.post(campaign_event("late"))
    away = await metered.read()
    change = grown(before, away)
    assert change["dmp_ingest_answered_events_total applied=false"] == 1
    assert change["dmp_ingest_hand_over_duration_seconds_count outcome=left"] == 1
    assert away["dmp_ingest_outbox_batches consumer=stats"] == 1
    assert away["dmp_ingest_outbox_oldest_age_seconds consumer=stats"] > 0
    assert away["dmp_ingest_consumer_away consumer=stats"] == 1

    async def identity_has_it() -> bool:
        return (await metered.read())["dmp_ingest_outbox_batches consumer=identity"] == 0

    await eventually(identity_has_it)
    metered.ingest.consumers.stats.refusing = False

    async def delivered() -> bool:
        now = await metered.read()
        return now["dmp_ingest_outbox_batches consumer=stats"] == 0

    await eventually(delivered, within_seconds=20)
    after = grown(before, await metered.read())
    assert after["dmp_ingest_relay_attempts_total consumer=stats result=applied"] == 1
    assert "dmp_ingest_relay_attempts_total consumer=identity result=away" not in after


async def test_it_answers_while_ingest_is_under_load(metered: Metered) -> None:
    async def load() -> None:
        for _ in range(10):
            events = [campaign_event(str(uuid.uuid4())) for _ in range(500)]
            assert (await metered.ingest.post(json.dumps(events).encode()))[0] == 202

    before = await metered.read()
    loading = asyncio.gather(load(), load())
    answers = 0
    while not loading.done():
        assert EVENTS in " ".join(await metered.read())
        answers += 1
    await loading
    assert answers >= 3
    assert events_of(grown(before, await metered.read())) == {"form=campaign transport=json verdict=accepted": 10_000}


async def test_every_metric_of_ingest_is_shown_from_the_start(metered: Metered) -> None:
    shown = {name.partition(" ")[0] for name in await metered.read()}
    for metric in OF_INGEST:
        assert {metric.name, f"{metric.name}_count"} & shown, metric.name
