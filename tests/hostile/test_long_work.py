"""Work that takes long costs nobody else anything, however much of it there is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bench.erasure_data import ManyEvents
from tests.conditions import wait_until
from tests.hostile.harness import System

ENTRIES = 40_000


def test_erasing_a_person_with_many_entries_keeps_nobody_waiting(system: System) -> None:
    people: list[tuple[str, ManyEvents]] = []

    @contextmanager
    def a_person_with_many_entries() -> Iterator[None]:
        mark = uuid.uuid4().hex
        identifiers = {"email": f"{mark}@x.com", "user_id": mark}
        event = {"event_type": "view", "source": "web", "timestamp": 1_700_000_000, "identifiers": identifiers}
        answer = httpx.post(f"{system.url}/events", json=event, timeout=30, trust_env=False).raise_for_status().json()
        person: str = answer["results"][0]["internal_user_id"]
        events = ManyEvents(system.stack, person, **identifiers, entries=ENTRIES)
        events.store()
        people.append((person, events))
        yield

    def erase() -> None:
        person, events = people[-1]
        with httpx.Client(base_url=system.url, timeout=30, trust_env=False) as api:
            receipt = api.delete(f"/users/{person}").raise_for_status().json()["receipt"]

            def state() -> Any:  # noqa: ANN401  # JSON
                return api.get(f"/erasures/{receipt['erasure_id']}").raise_for_status().json()["receipt"]["state"]

            wait_until(
                lambda: state() in {"ERASURE_STATE_SETTLING", "ERASURE_STATE_COMPLETE"},
                "everything erased",
                timeout_seconds=120,
            )
        # What is settling may have a last slice of the log to clean.
        wait_until(lambda: not any(events.left().values()), "the log is clean, too")

    system.assert_nobody_else_is_harmed_by(erase, opening=a_person_with_many_entries)
