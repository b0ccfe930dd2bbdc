"""Data for the benchmarks of statistics: batches as ingest publishes them, rollups of a month, a reference table."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import numpy as np
import psycopg

from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.uuid7 import uuid7_text

USERS = 1_000_000
_TYPES = (("impression", 1), ("impression", 1), ("impression", 1), ("click", 2), ("view", 0))
_SOURCES = ("web", "app", "tv")
_CREATIVES = 5


def batches(
    events: int, *, seed: int, campaigns: int, first_second: int, last_second: int, users: int = USERS
) -> Iterator[accepted_batch_pb2.AcceptedBatch]:
    """Endless batches of so many events, everything drawn with equal probability from what there is."""
    randomness = np.random.default_rng(seed)
    fixed = [
        "",
        *(kind for kind, _ in _TYPES),
        *_SOURCES,
        *(f"creative_{number}" for number in range(_CREATIVES)),
        *(f"campaign_{number:05d}" for number in range(campaigns)),
    ]
    first_source = 1 + len(_TYPES)
    first_creative = first_source + len(_SOURCES)
    first_campaign = first_creative + _CREATIVES
    counts_as = np.array([0, *(kind for _, kind in _TYPES)])
    event_ids = [f"{number:032x}" for number in range(events)]

    def places(first: int, count: int) -> list[int]:
        chosen: list[int] = (first + randomness.integers(0, count, events)).tolist()
        return chosen

    while True:
        types = places(1, len(_TYPES))
        known, numbers = np.unique(randomness.integers(0, users, events), return_inverse=True)
        batch = accepted_batch_pb2.AcceptedBatch(
            batch_id=uuid7_text(),
            accepted_at_us=int(time.time() * 1_000_000),
            texts=fixed,
            event_ids=event_ids,
            event_keys=randomness.bytes(16 * events),
            occurred_at_us=(randomness.integers(first_second, last_second + 1, events) * 1_000_000).tolist(),
            types=types,
            sources=places(first_source, len(_SOURCES)),
            campaigns=places(first_campaign, campaigns),
            creatives=places(first_creative, _CREATIVES),
            users=(numbers + len(fixed)).tolist(),
            counts_as=counts_as[types].tolist(),
        )
        batch.texts.extend(f"user-{number:07d}" for number in known.tolist())
        yield batch


def reference_body(users: int, ts: str) -> bytes:
    """The body of `PUT /reference/users` for so many users with two attributes."""
    plans, regions = ("free", "pro", "team"), ("eu", "us", "apac", "latam")
    table = {
        f"user-{number:07d}": {"plan": plans[number % 3], "region": regions[number % 4]} for number in range(users)
    }
    return msgspec.json.encode({"user_metadata": table, "ts": ts})


def fill_rollups(connection: psycopg.Connection, *, campaigns: int, days: int, last_minute: int) -> int:
    """Writes the minutes of so many campaigns and days, two types each, in the order in which time brings them.

    One campaign, `campaign_year`, has hours and days of a year. Returns how many rows there are.
    """
    connection.execute(
        """
        INSERT INTO rollup (campaign_id, grain, bucket, type, counts_as, count, digest_high, digest_low)
        SELECT 'month_' || lpad(campaign::text, 5, '0'), 1, minute, type, counts_as,
               1 + (minute * 7 + campaign) %% 90, minute, campaign
        FROM generate_series(%(first)s::int, %(last)s::int) AS minute,
             generate_series(0, %(campaigns)s::int - 1) AS campaign,
             (VALUES ('click', 2), ('impression', 1)) AS types (type, counts_as)
        """,
        {"first": last_minute - days * 1440 + 1, "last": last_minute, "campaigns": campaigns},
    )
    for grain in (60, 1440):
        connection.execute(
            """
            INSERT INTO rollup (campaign_id, grain, bucket, type, counts_as, count, digest_high, digest_low)
            SELECT 'campaign_year', %(grain)s, bucket, type, counts_as, 1 + bucket %% 1000, bucket, 0
            FROM generate_series(%(first)s::int, %(last)s::int, %(grain)s) AS bucket,
                 (VALUES ('click', 2), ('impression', 1)) AS types (type, counts_as)
            """,
            {"grain": grain, "first": (last_minute // 1440 - 370) * 1440, "last": last_minute},
        )
    connection.execute("VACUUM ANALYZE rollup")
    row = connection.execute("SELECT count(*) FROM rollup").fetchone()
    assert row is not None
    return int(row[0])
