"""Replicas that remember the graph, each of them: what they are taught, and what changes behind their back."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from dmp_identity.adapters.graph_snapshot import load_snapshot
from dmp_identity.domain.attribute_event import EventAttributor
from dmp_identity.domain.snapshot import Snapshot
from tests.identity.batches import Event, event
from tests.identity.client import Identity

TYPES = {
    "email": {"strength": "strong", "hub_degree": 2},
    "phone": {"strength": "strong", "hub_degree": 2},
    "browser_id": {"strength": "weak", "attribute": True, "adopt_anonymous": True},
    "device_id": {"strength": "weak", "attribute": True, "max_holders": 2},
    "ip_address": {"strength": "weak"},
}


def knows(identity: Identity, one: Event) -> bool:
    """True if the replica would attribute the event from its cache, and change nothing."""
    servicer = identity.servicer
    identifiers = [servicer.parser.parse(kind, value) for kind, value in one.identifiers.items()]
    shown = [parsed for parsed in identifiers if parsed is not None]
    answer = EventAttributor(servicer.cache).attribute(shown, 0)
    return answer is not None and not answer[1]


def shows(*pairs: tuple[str, str]) -> Event:
    """An event with several values of a type."""
    return Event(identifiers={}, more=list(pairs), event_id=event().event_id)


async def learn(identities: Sequence[Identity], *events: Event) -> list[str]:
    """Applies the identifiers of the events until all replicas know them; the people."""
    found: list[str] = []
    for identity in identities:
        for _ in range(5):
            found = await identity.apply(*(event(**one.identifiers) for one in events))
        assert all(knows(identity, one) for one in events)
    return found


def before_loading(monkeypatch: pytest.MonkeyPatch, change: Awaitable[object]) -> None:
    """Lets a change happen in the middle of the next batch: before what it cannot place is looked up."""
    changes = [change]

    async def load_after_the_change(*arguments: Any) -> Snapshot:  # noqa: ANN401
        while changes:
            await changes.pop()
        return await load_snapshot(*arguments)

    monkeypatch.setattr("dmp_identity.decide_plan.load_snapshot", load_after_the_change)
