"""Databases that are restored to an earlier moment, by the steps of docs/operations.md: no event is lost, none counts
twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from dmp_stack.programs import repository_root
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.servers import running_valkey

Events = list[dict[str, Any]]

OPERATIONS = repository_root() / "docs" / "operations.md"
AT = "2026-02-10T21:10:00Z"
RANGE = {"from": AT, "to": "2026-02-10T21:20:00Z"}
LATER = "2026-02-11T21:10:00Z"
"""Of events whose timelines another moment has spoilt."""


def documented(beginning: str) -> str:
    """The one command of docs/operations.md that begins so, without its remark."""
    (line,) = [line for line in OPERATIONS.read_text().splitlines() if line.startswith(beginning)]
    return line.partition("  #")[0].strip()


def run(command: str, *, directory: Path, **environment: str) -> str:
    """Runs a documented command where a clone would be, and returns what it prints."""
    command = command.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_events(count: int, campaign: str, at: str = AT) -> Events:
    return [
        {
            "event_id": str(uuid.uuid4()),
            "type": "click",
            "campaign_id": campaign,
            "source": "web",
            "occurred_at": at,
            "user_id": f"{campaign} {number % 3}",
        }
        for number in range(count)
    ]


def post(api: httpx.Client, events: Events) -> dict[str, Any]:
    answer = api.post("/events", json=events)
    assert answer.status_code == 202, answer.text
    result: dict[str, Any] = answer.json()
    return result


def logged(stack: Stack) -> int:
    with psycopg.connect(stack.database_url("ingest")) as connection:
        row = connection.execute("SELECT count(*) FROM event").fetchone()
    assert row is not None
    return int(row[0])


def clicks(api: httpx.Client, campaign: str) -> int:
    span = {"from": AT, "to": LATER, "granularity": "minute"}
    answer = api.get("/stats", params={"campaign_id": campaign, **span})
    return sum(point["clicks"] for point in answer.raise_for_status().json()["series"])


def is_clean(api: httpx.Client) -> bool:
    """Whether counts and timelines are what the log has."""
    answer = api.get("/audit", params=RANGE).raise_for_status().json()
    assert not answer["next_page_token"]
    return bool(answer["clean"])


@contextmanager
def client_of(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.http_url, timeout=30.0, trust_env=False) as client:
        yield client


class Sender:
    """Sends batches one after another while the block runs; every one of them is answered 202."""

    def __init__(self, url: str) -> None:
        self.answered: list[Events] = []
        self._url = url
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def wait_for(self, more: int) -> None:
        """Returns once so many more batches are answered."""
        wanted = len(self.answered) + more
        wait_until(lambda: len(self.answered) >= wanted, "load", timeout_seconds=60)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(60)

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30.0, trust_env=False) as api:
            while not self._enough.is_set():
                events = new_events(10, "restored")
                post(api, events)
                self.answered.append(events)


@pytest.fixture
def clone() -> Iterator[Path]:
    """Where a system has its data and its backups; every user of the machine may pass through it."""
    path = Path(tempfile.mkdtemp(prefix="dmp-e2e-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_after_a_restore_each_event_that_is_sent_again_counts_once_whatever_redis_remembers(
    new_stack: Callable[..., Stack], clone: Path, server_directory: Path, server_environment: dict[str, str]
) -> None:
    with running_valkey("outliving-valkey", server_directory, server_environment) as (valkey, _):
        settings: dict[str, Any] = {"data_directory": clone / ".data", "redis_url": valkey.url}
        with new_stack(**settings) as stack, Sender(stack.http_url) as sender:
            sender.wait_for(20)
            run(documented(".venv/bin/python -m dmp_stack backup"), directory=clone)
            sender.wait_for(20)
        sent = [event for events in sender.answered for event in events]
        run(documented("mv .data/postgres"), directory=clone)
        run(documented("cp -a backups"), directory=clone)
        with redis.Redis.from_url(valkey.url) as client:
            assert len(client.keys("dmp:{claim}:*")) >= len(sent)
        with new_stack(**settings) as stack, client_of(stack) as api:
            kept = logged(stack)
            assert 200 <= kept <= len(sent) - 200
            answers = [post(api, sent[start : start + 500]) for start in range(0, len(sent), 500)]
            assert sum(answer["accepted"] for answer in answers) == len(sent) - kept
            assert sum(answer["duplicates"] for answer in answers) == kept
            assert [post(api, sent[-500:])[name] for name in ("accepted", "duplicates")] == [0, min(500, len(sent))]
            wait_until(lambda: is_clean(api), "clean")
            assert clicks(api, "restored") == logged(stack) == len(sent)


@pytest.fixture(scope="module")
def restoring(own_stack: Stack) -> Callable[..., None]:
    """Keeps copies of the databases of services as they are now; called again with the copies, restores them."""

    def act(contexts: tuple[str, ...], *, keep: bool) -> None:
        for context in contexts:
            own_stack.child(context).stop(20)
        for context in contexts:
            database, copy = f"dmp_{context}", f"dmp_{context}_copy"
            source, target = (database, copy) if keep else (copy, database)
            own_stack.postgres.drop_database(target)
            own_stack.postgres.create_database(target, template=source, owner=database)
        for context in contexts:
            own_stack.child(context).start()
        own_stack.wait_healthy()

    return act


def test_services_that_were_restored_to_an_earlier_moment_get_again_what_they_lack(
    own_stack: Stack, own_api: httpx.Client, restoring: Callable[..., None], tmp_path: Path
) -> None:
    campaign = f"camp-{uuid.uuid4()}"
    before, after = new_events(30, campaign), new_events(30, campaign)
    assert post(own_api, before)["applied"]
    restoring(("identity", "stats"), keep=True)
    assert post(own_api, after)["applied"]
    restoring(("identity", "stats"), keep=False)
    assert (clicks(own_api, campaign), is_clean(own_api)) == (30, False)
    command = documented(".venv/bin/python -m dmp_ingest hand-over")
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    command = f"{command.partition(' --from')[0]} --from {moment}"
    for _ in range(2):
        told = run(command, directory=tmp_path, DMP_INGEST_DATABASE_URL=own_stack.database_url("ingest"))
        assert json.loads(told)["events"] >= 60
        wait_until(lambda: is_clean(own_api), "clean")
        assert clicks(own_api, campaign) == 60
    assert [post(own_api, before + after)[name] for name in ("accepted", "duplicates")] == [0, 60]
    assert (clicks(own_api, campaign), is_clean(own_api)) == (60, True)


def test_a_log_that_was_restored_to_an_earlier_moment_than_the_others_is_repaired(
    own_stack: Stack, own_api: httpx.Client, restoring: Callable[..., None]
) -> None:
    campaign = f"camp-{uuid.uuid4()}"
    before, after, never_again = (new_events(30, campaign, LATER) for _ in range(3))
    post(own_api, before)
    restoring(("ingest",), keep=True)
    post(own_api, after + never_again)
    restoring(("ingest",), keep=False)
    answer = post(own_api, before + after)
    assert (answer["accepted"], answer["duplicates"]) == (30, 30)
    wait_until(lambda: clicks(own_api, campaign) == 120, "counted by a service that knows more than the log")
    query = {"campaign_id": campaign, "from": LATER, "to": LATER}
    repaired = own_api.post("/audit/repair", json=query)
    assert repaired.raise_for_status().json()["minutes"] == [LATER]
    assert clicks(own_api, campaign) == 60
    audited = own_api.get("/audit", params=query).raise_for_status().json()
    assert audited["clean"]
