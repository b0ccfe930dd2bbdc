"""`dmp tail` on a real Valkey: every domain event is shown or reported as gone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from dmp_cli.domain_events import STREAM, Cursor, EventStream
from tests.clients.terminal import Shell
from tests.clients.zygote import Zygote
from tests.conditions import wait_until
from tests.redis_cluster import RunningCluster
from tests.servers import running_valkey

NUMBERS = itertools.count(1)


@pytest.fixture
def valkey_client(redis_url: str) -> Iterator[redis.Redis]:
    """The session's Valkey, empty."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def desk(tmp_path: Path, zygote: Zygote) -> Shell:
    """`dmp` without a gateway: tail asks none."""
    return Shell(tmp_path, "http://127.0.0.1:1", zygote)


def publish(client: redis.Redis, count: int, kind: str = "EventsAccepted") -> list[str]:
    """Publishes events as the services do; returns their ids."""
    ids = [f"event-{next(NUMBERS)}" for _ in range(count)]
    for each in ids:
        fields: Any = {"id": each, "kind": kind, "occurred_at": "2026-11-28T08:00:00+00:00", "payload": '{"count":1}'}
        client.xadd(STREAM, fields)
    return ids


def shown(stdout: str) -> list[str]:
    """The ids of events in JSON lines."""
    return [event["id"] for event in map(json.loads, stdout.splitlines()) if "id" in event]


def test_it_goes_on_from_its_cursor(desk: Shell, valkey_client: redis.Redis, redis_url: str) -> None:
    tail = ("tail", "--stop", "--cursor", "place", "--redis", redis_url)
    assert desk.run(*tail).stdout == ""
    first = publish(valkey_client, 700)
    assert shown(desk.run(*tail, "--json").stdout) == first
    assert desk.run(*tail).stdout == ""
    publish(valkey_client, 1, kind="ProfilesMerged")
    publish(valkey_client, 1)
    merged = desk.run(*tail, "--kind", "ProfilesMerged").stdout
    assert merged == '2026-11-28T08:00:00+00:00  ProfilesMerged  {"count":1}\n'
    assert desk.run(*tail).stdout == ""
    assert desk.run("tail", "--stop", "--new", DMP_REDIS_URL=redis_url).stdout == ""
    assert len(desk.run("tail", "--stop", DMP_REDIS_URL=redis_url).stdout.splitlines()) == 702


def test_in_a_cluster_it_asks_the_node_that_has_the_stream(desk: Shell, redis_cluster: RunningCluster) -> None:
    tail = ("tail", "--stop", "--cursor", "place", "--json", "--redis", redis_cluster.url)
    assert desk.run(*tail).stdout == ""
    slot = key_slot(STREAM.encode())
    first = publish(redis_cluster.owner(slot).client, 3)
    assert shown(desk.run(*tail).stdout) == first
    with redis_cluster.moving(slot):
        pass
    second = publish(redis_cluster.owner(slot).client, 2)
    moved = desk.run(*tail)
    assert (shown(moved.stdout), moved.stderr) == (second, "")
    away = redis_cluster.owner(slot)
    replica = redis_cluster.replica(away)
    written = away.info("replication")["master_repl_offset"]
    wait_until(lambda: replica.info("replication")["slave_repl_offset"] >= written, "a replica that knows all")
    redis_cluster.kill(away)
    redis_cluster.take_over(replica)
    third = publish(replica.client, 2)
    assert shown(desk.run(*tail).stdout) == third


def test_it_says_how_much_is_missing(desk: Shell, valkey_client: redis.Redis, redis_url: str) -> None:
    tail = ("tail", "--stop", "--cursor", "place", "--redis", redis_url)
    publish(valkey_client, 10)
    valkey_client.xtrim(STREAM, maxlen=8, approximate=False)
    assert desk.run(*tail).stdout.count("\n") == 8, "what went before the first look is no gap"
    valkey_client.xtrim(STREAM, maxlen=0, approximate=False)
    assert desk.run(*tail).stderr == "", "what was read may go"
    ids = publish(valkey_client, 10)
    valkey_client.xtrim(STREAM, maxlen=4, approximate=False)
    gap = desk.run(*tail, "--json", expect=1)
    assert json.loads(gap.stdout.splitlines()[0]) == {"gap": {"lost": 6}}
    assert shown(gap.stdout) == ids[6:]
    assert "gap: 6 events" in gap.stderr
    valkey_client.flushall()
    ids = publish(valkey_client, 3)
    anew = desk.run(*tail, "--json", expect=1)
    assert "the stream was lost" in anew.stderr
    assert shown(anew.stdout) == ids
    assert desk.run(*tail).stdout == ""


def test_it_goes_on_after_a_disconnect(desk: Shell, tmp_path: Path) -> None:
    with (
        running_valkey("own", tmp_path, {}, persistent=True) as (server, _),
        redis.Redis.from_url(server.url) as client,
    ):
        ids = publish(client, 2)
        running = desk.start("tail", "--json", "--redis", server.url)
        assert running.stdout is not None
        assert running.stderr is not None
        lines = [running.stdout.readline().decode() for _ in range(2)]
        client.client_kill_filter(skipme=True)
        ids += publish(client, 1)
        lines.append(running.stdout.readline().decode())
    assert "trying again" in running.stderr.readline().decode()
    with running_valkey("own", tmp_path, {}, persistent=True) as (server, _):
        with redis.Redis.from_url(server.url) as client:
            ids += publish(client, 2)
        lines += [running.stdout.readline().decode() for _ in range(2)]
        running.terminate()
        assert running.wait(20) == 130
    assert shown("".join(lines)) == ids
    assert b"gap" not in running.stderr.read()
    running.stdout.close()
    running.stderr.close()


def test_what_it_cannot_do_it_says(desk: Shell, redis_url: str) -> None:
    assert "DMP_REDIS_URL" in desk.run("tail", expect=2).stderr
    away = desk.run("tail", "--redis", "redis://127.0.0.1:1", "--patience", "0", expect=5)
    assert "no connection to the stream" in away.stderr
    assert desk.run("tail", "--redis", "http://x", expect=2).stdout == ""
    (desk.home / "place").write_text("{}]")
    assert "holds no place" in desk.run("tail", "--cursor", "place", "--redis", redis_url, expect=2).stderr


_CHANGES = st.lists(st.tuples(st.sampled_from(["publish", "trim", "read"]), st.integers(0, 6)), max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_CHANGES)
def test_every_event_is_shown_or_counted_as_lost(valkey_client: redis.Redis, changes: list[tuple[str, int]]) -> None:
    valkey_client.flushall()
    stream = EventStream(valkey_client)
    cursor, published, seen, lost = Cursor(), list[str](), list[str](), 0
    for change, size in [*changes, ("read", 200)]:
        if change == "publish":
            published += publish(valkey_client, size)
        elif change == "trim":
            valkey_client.xtrim(STREAM, maxlen=size, approximate=False)
        else:
            piece = stream.read(cursor, max(size, 1))
            assert piece.gap is None or piece.gap.lost
            lost += piece.gap.lost or 0 if piece.gap else 0
            seen += [event.id for event in piece.events]
            cursor = piece.after
            assert published[: len(seen) + lost][-1:] == seen[-1:] or not piece.events
    assert len(seen) + lost == len(published)
    assert seen == [each for each in published if each in set(seen)]
