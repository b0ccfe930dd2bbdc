"""Compares what clients were promised with what the three databases hold, event by event and minute by minute."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import httpx
import psycopg

from dmp_stack.stack import Stack
from tests.chaos.clients import CAMPAIGNS, Ledger
from tests.conditions import wait_until

_SETTLED_SECONDS = 120.0
_ANY_WAITING: LiteralString = "SELECT count(*) FROM outbox WHERE batch_id <= %(last)s"
_LAST_BATCH = UUID(int=2**128 - 1)


@dataclass(slots=True)
class Reckoning:
    """What is wrong; all empty if every promise was kept. Counts by (campaign, minute, type)."""

    lost: set[str] = field(default_factory=set)
    invented: set[str] = field(default_factory=set)
    miscounted: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    missing_entries: set[str] = field(default_factory=set)
    repeated_entries: set[str] = field(default_factory=set)
    stored: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.invented or self.miscounted or self.missing_entries or self.repeated_entries)


def backlog(stack: Stack, *, before: datetime | None = None) -> int:
    """How many batches identity or stats still lack; `before`: of those that were committed by then.

    A batch's id begins with the milliseconds at which it was made. *Source:* RFC 9562, section 5.7.
    """
    last = _LAST_BATCH if before is None else UUID(int=(int(before.timestamp() * 1000) << 80) - 1)
    with psycopg.connect(stack.database_url("ingest")) as connection:
        row = connection.execute(_ANY_WAITING, {"last": last}).fetchone()
    return int(row[0]) if row is not None else 0


def seconds_to_catch_up(stack: Stack, *, before: datetime | None = None) -> float:
    """Returns once both consumers have everything, or everything committed before a moment: after how many seconds."""
    began = time.monotonic()
    wait_until(lambda: backlog(stack, before=before) == 0, "everything handed over", timeout_seconds=_SETTLED_SECONDS)
    return time.monotonic() - began


def reckon(stack: Stack, ledger: Ledger) -> Reckoning:
    """Waits until everything is delivered, then compares log, rollups and timelines with the ledger and one another."""
    stack.wait_healthy(_SETTLED_SECONDS)
    seconds_to_catch_up(stack)
    stored: dict[str, tuple[str, datetime, str, bool]] = {
        row[0]: (row[1], row[2], row[3], row[4])
        for row in _rows(
            stack, "ingest", "SELECT event_id, campaign_id, occurred_at, type, identifiers IS NOT NULL FROM event"
        )
    }
    entries = Counter(row[0] for row in _rows(stack, "identity", "SELECT event_id FROM timeline_entry"))
    named = {event_id for event_id, event in stored.items() if event[3]}
    logged = Counter(
        (campaign, moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00Z"), kind)
        for campaign, moment, kind, _ in stored.values()
    )
    counted = _rollups(stack)
    return Reckoning(
        lost=ledger.promised - stored.keys(),
        invented=stored.keys() - ledger.sent.keys(),
        miscounted={
            cell: (logged[cell], counted[cell])
            for cell in logged.keys() | counted.keys()
            if logged[cell] != counted[cell]
        },
        missing_entries=named - entries.keys(),
        repeated_entries={event_id for event_id, count in entries.items() if count > 1 or event_id not in named},
        stored=len(stored),
    )


def _rollups(stack: Stack) -> Counter[tuple[str, str, str]]:
    """What `GET /stats` shows, by campaign, minute and type."""
    now = datetime.now(UTC)
    counted: Counter[tuple[str, str, str]] = Counter()
    for campaign in CAMPAIGNS:
        answer = httpx.get(
            f"{stack.http_url}/stats",
            params={
                "campaign_id": campaign,
                "from": (now - timedelta(hours=6)).isoformat(),
                "to": (now + timedelta(minutes=5)).isoformat(),
                "group_by": "type",
            },
            timeout=30,
        ).raise_for_status()
        for point in answer.json()["series"]:
            counted[campaign, point["ts"], point["group"]] += point["events"]
    return counted


def _rows(stack: Stack, context: str, query: LiteralString) -> Iterator[tuple[Any, ...]]:
    with psycopg.connect(stack.database_url(context)) as connection:
        yield from connection.execute(query)
