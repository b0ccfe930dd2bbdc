"""Ingest on a real cluster: each event counts once, whatever happens to the cluster under load."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter

import psycopg
from redis.crc import key_slot

from dmp_chassis.domain_events import DomainEvent, RedisStreamPublisher
from dmp_chassis.redis_client import open_redis
from dmp_ingest.adapters.claim_tags import TAGS_OF_A_CLUSTER, ClaimTags
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event, running_ingest
from tests.redis_cluster import RunningCluster

STREAM = b"dmp:{domain-events}"
CLAIM_SLOTS = [
    key_slot(part.names[0]) for part in ClaimTags(TAGS_OF_A_CLUSTER).split([bytes([n]) for n in range(256)], b"")
]
AT = "2026-11-28T12:00:00Z"


class Load:
    """Clients that send events, most of them more than once, and never retry."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._random = random.Random(14)
        self.ids: list[str] = []
        self.answered = 0
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self.stopped = False

    async def client(self) -> None:
        """Sends batches until told to stop: a half of each is new, the rest was sent before, perhaps just now."""
        while not self.stopped:
            new = [str(uuid.uuid4()) for _ in range(self._random.choice([1, 5, 40]))]
            self.ids += new
            old = self._random.choices(self.ids[-400:], k=len(new))
            await self.send([*new, *old])

    async def send(self, ids: list[str]) -> None:
        """Sends these once, in any order."""
        self._random.shuffle(ids)
        status, answer = await self._ingest.post([campaign_event(event_id, occurred_at=AT) for event_id in ids])
        if status != 202 or answer["rejected"] or answer["accepted"] + answer["duplicates"] != len(ids):
            self.wrong.append((status, answer))
        self.counts.update(accepted=answer.get("accepted", 0))
        self.answered += 1

    async def goes_on(self, batches: int = 12) -> None:
        """Returns when so many more were answered."""
        enough = self.answered + batches
        await eventually(lambda: self.answered >= enough, within_seconds=60)


async def test_each_event_counts_once_while_slots_move_and_nodes_go(
    redis_cluster: RunningCluster, ingest_database_url: str
) -> None:
    async with running_ingest(ingest_database_url, redis_cluster.url) as ingest:
        load = Load(ingest)
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(load.client())
            await load.goes_on()
            await _trouble(redis_cluster, load)
            load.stopped = True
        for start in range(0, len(load.ids), 500):  # all of it once more
            await load.send(load.ids[start : start + 500])
        assert load.wrong == []
        assert load.counts["accepted"] == len(load.ids)
        with psycopg.connect(ingest.database_url) as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (len(load.ids),)
        for consumer in (ingest.consumers.identity, ingest.consumers.stats):
            await eventually(lambda consumer=consumer: len(consumer.event_ids) >= len(load.ids))  # type: ignore[misc]
            assert sorted(consumer.event_ids) == sorted(load.ids)
        await eventually(lambda: _all_announced(redis_cluster.url, len(load.ids)))


async def _trouble(cluster: RunningCluster, load: Load) -> None:
    """All that can happen to a cluster, one after the other, each under load."""
    for slot in (CLAIM_SLOTS[0], CLAIM_SLOTS[33], key_slot(STREAM)):
        moving = cluster.moving(slot)
        await asyncio.to_thread(moving.__enter__)
        await load.goes_on()
        await asyncio.to_thread(moving.__exit__, None, None, None)
        await load.goes_on()
    of_stream = cluster.owner(key_slot(STREAM))
    victim = next(node for node in cluster.masters if node is not of_stream)
    replica = cluster.replica(victim)
    victim.child.pause()
    await load.goes_on()
    victim.child.resume()
    await load.goes_on()
    had = victim.says("DBSIZE")
    await asyncio.to_thread(cluster.kill, victim)
    await load.goes_on()
    assert replica.says("DBSIZE") < had  # it knows at most what was moved or copied as a whole
    await asyncio.to_thread(cluster.take_over, replica)
    await load.goes_on()
    await eventually(lambda: replica.calls("evalsha") > 0)
    await load.goes_on()


async def _all_announced(url: str, events: int) -> bool:
    """Whether the stream says of so many events that they were accepted, none twice."""
    client = open_redis(url, client_name="reader")
    try:
        read, _ = await RedisStreamPublisher(client).read(None, 100_000)
    finally:
        await client.aclose()
    once: dict[str, DomainEvent] = {event.id: event for event in read}
    told: int = sum(event.payload["count"] for event in once.values() if event.kind == "EventsAccepted")
    return told == events
