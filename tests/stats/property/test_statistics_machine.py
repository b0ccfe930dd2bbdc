"""Rollups, window and reference table against a plain recount.

With duplicates, in any order, with restarts, on two replicas, and with folding at any moment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.database import Database
from dmp_chassis.instants import format_instant
from dmp_stats.adapters.delta_store import DeltaCache
from dmp_stats.expire import expire
from dmp_stats.fold_deltas import fold_deltas
from tests.stats.service import COUNTS_AS, Event, Replica, StatsCluster, batch_of

START = 1_774_742_400  # 2026-03-29T00:00:00Z: the clock of Berlin loses an hour at 01:00
TYPES = ("impression", "click", "view")
USERS = tuple(f"u{number}" for number in range(6))
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
TABLES = "inbox, rollup_delta, rollup, rollup_detail, window_batch, reference_generation, reference_chunk"

_Result = TypeVar("_Result")

drafts = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        st.sampled_from(["", "c1", "c2"]),
        st.sampled_from(["web", "app"]),
        st.sampled_from(["", "cr1"]),
        st.sampled_from(["", *USERS]),
        # Seconds from now: around both ends of the window, in the future, and anywhere within two days.
        st.one_of(
            st.integers(-5, 5), st.integers(-1_805, -1_795), st.integers(-310, 200), st.integers(-90_000, 90_000)
        ),
    ),
    min_size=0,
    max_size=12,
)


class Statistics(RuleBasedStateMachine):
    """Two replicas do whatever they may be asked, and must always answer as the recount of all accepted events does."""

    database_url = ""
    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.cluster = StatsCluster(self.database_url, self.redis_url)
        self.cluster.clock.now = START
        self.replicas: list[Replica] = []
        self.batches: list[accepted_batch_pb2.AcceptedBatch] = []
        self.events: list[Event] = []
        self.users: dict[str, Mapping[str, str]] = {}
        self.generation = 0

    @property
    def now(self) -> int:
        assert self.cluster.clock.now is not None
        return int(self.cluster.clock.now)

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLES}")
        # Folding happens only when a rule says so.
        self.replicas = [self.run(self.cluster.start(fold_interval_seconds=3_600.0)) for _ in range(2)]

    @rule(draft=drafts, replica=st.integers(0, 1), twice_at_once=st.booleans())
    def apply_a_batch(
        self, draft: list[tuple[str, str, str, str, str, int]], replica: int, twice_at_once: bool
    ) -> None:
        events = [
            Event(
                event_id=f"{len(self.events) + number}",
                at=self.now + offset + 0.25,
                type=kind,
                campaign=campaign,
                source=source,
                creative=creative,
                user=user,
            )
            for number, (kind, campaign, source, creative, user, offset) in enumerate(draft)
        ]
        batch = batch_of(events)
        targets = self.replicas if twice_at_once else [self.replicas[replica]]

        async def apply() -> list[bool]:
            return await asyncio.gather(*(target.apply(batch) for target in targets))

        assert sum(self.run(apply())) == 1
        self.events += events
        self.batches.append(batch)

    @rule(which=st.integers(0, 1_000), replica=st.integers(0, 1))
    def apply_an_old_batch_again(self, which: int, replica: int) -> None:
        if self.batches:
            assert not self.run(self.replicas[replica].apply(self.batches[which % len(self.batches)]))

    @rule(limit=st.sampled_from([1, 3, 256]))
    def fold_some(self, limit: int) -> None:
        async def fold() -> None:
            database = Database.connect(self.database_url, pool_size=1, application_name="test")
            await fold_deltas(database, DeltaCache(), limit=limit)
            await database.close()

        self.run(fold())

    @rule()
    def remove_what_has_left_the_window(self) -> None:
        async def remove() -> None:
            database = Database.connect(self.database_url, pool_size=1, application_name="test")
            await expire(database, now=self.now, window_seconds=1800, retention_days={})
            await database.close()

        self.run(remove())

    @rule(seconds=st.sampled_from([1, 7, 61, 299, 1_000, 5_000]))
    def let_time_pass(self, seconds: int) -> None:
        self.cluster.clock.now = self.now + seconds

    @rule(replica=st.integers(0, 1))
    def restart_a_replica(self, replica: int) -> None:
        async def restart() -> Replica:
            old = self.replicas[replica]
            await old.channel.close()
            await old.server.close(end_seconds=0.2)
            return await self.cluster.start(fold_interval_seconds=3_600.0)

        self.replicas[replica] = self.run(restart())

    @rule(
        users=st.dictionaries(
            st.sampled_from(USERS),
            st.dictionaries(st.sampled_from(["plan", "region", "tier"]), st.sampled_from(["a", "b"])),
        ),
        replica=st.integers(0, 1),
    )
    def replace_the_reference_table(self, users: dict[str, Mapping[str, str]], replica: int) -> None:
        generation = self.run(self.replicas[replica].put_reference(users, "2026-01-01T00:00:00Z"))
        assert generation == self.generation + 1
        self.users, self.generation = users, generation

    @rule(
        campaign=st.sampled_from(["c1", "c2"]),
        granularity=st.sampled_from(["minute", "hour", "day"]),
        zone=st.sampled_from(ZONES),
        group_by=st.sampled_from(["", "type", "source", "creative_id"]),
        source=st.sampled_from(["", "web"]),
        start=st.integers(-100_000, 0),
        length=st.integers(0, 190_000),
        replica=st.integers(0, 1),
    )
    def ask_for_a_series(
        self,
        campaign: str,
        granularity: str,
        zone: str,
        group_by: str,
        source: str,
        start: int,
        length: int,
        replica: int,
    ) -> None:
        first, last = (datetime.fromtimestamp(self.now + start + extra, UTC) for extra in (0, length))
        answer = self.run(
            self.replicas[replica].stats(
                campaign,
                format_instant(first),
                format_instant(last),
                granularity=granularity,
                tz=zone,
                group_by=group_by,
                source=[source] if source else [],
            )
        )
        found = {
            (point["ts"], point.get("group", "")): (point["impressions"], point["clicks"], point["events"])
            for point in answer["series"]
        }
        assert len(found) == len(answer["series"])
        assert found == self.recount(campaign, granularity, ZoneInfo(zone), group_by, source, first, last)

    @rule(window=st.sampled_from([1, 60, 300, 1_799, 1_800]), replica=st.integers(0, 1))
    def ask_for_metrics(self, window: int, replica: int) -> None:
        answer = self.run(self.replicas[replica].metrics(window, group_by=["tier"]))
        inside = [e.user for e in self.events if e.user and self.now - window + 1 <= int(e.at // 1) <= self.now]
        expected: dict[str, Any] = {
            "window_sec": window,
            "events_per_sec": len(inside) / window,
            "events": len(inside),
            "unique_users": len({user for user in inside if user in self.users}),
            "unknown_users": len({user for user in inside if user not in self.users}),
            "unknown": sum(user not in self.users for user in inside),
            "generation": self.generation,
        }
        for name in ("plan", "region", "tier"):
            counts = Counter({own[name]: 0 for own in self.users.values() if name in own})
            counts.update(self.users[user][name] for user in inside if name in self.users.get(user, {}))
            expected[f"by_{name}"] = dict(counts)
        assert answer == expected

    @invariant()
    def both_replicas_say_the_same(self) -> None:
        if self.replicas:
            one, two = (self.run(replica.metrics(1_800)) for replica in self.replicas)
            assert one == two

    def recount(
        self,
        campaign: str,
        granularity: str,
        zone: ZoneInfo,
        group_by: str,
        source: str,
        first: datetime,
        last: datetime,
    ) -> dict[tuple[str, str], tuple[int, int, int]]:
        edges = (bucket_start(first, granularity, zone), bucket_start(last, granularity, zone))
        counts: dict[tuple[str, str], tuple[int, int, int]] = {}
        for event in self.events:
            start = bucket_start(datetime.fromtimestamp(event.at, UTC), granularity, zone)
            if event.campaign == campaign and edges[0] <= start <= edges[1] and source in ("", event.source):
                group = {"type": event.type, "source": event.source, "creative_id": event.creative}.get(group_by, "")
                kind = COUNTS_AS.get(event.type, 0)
                old = counts.get((format_instant(start), group), (0, 0, 0))
                counts[format_instant(start), group] = (old[0] + (kind == 1), old[1] + (kind == 2), old[2] + 1)
        return counts

    def teardown(self) -> None:
        self.run(self.cluster.__aexit__(None, None, None))
        self.runner.close()


def bucket_start(instant: datetime, granularity: str, zone: ZoneInfo) -> datetime:
    """Where the bucket of an instant begins: found by walking back for as long as the local label is the same."""
    minute = instant.replace(second=0, microsecond=0)
    if granularity == "minute":
        return minute

    def label(at: datetime) -> object:
        local = at.astimezone(zone)
        return local.date() if granularity == "day" else (local.date(), local.hour, local.utcoffset())

    step = timedelta(hours=1)
    while step >= timedelta(minutes=1):
        while label(minute - step) == label(minute):
            minute -= step
        step /= 2 if step > timedelta(minutes=15) else 15
    return minute


@pytest.mark.timeout(240)
def test_statistics_are_a_plain_recount(stats_database_url: str, redis_url: str) -> None:
    class Machine(Statistics):
        database_url = stats_database_url

    Machine.redis_url = redis_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
