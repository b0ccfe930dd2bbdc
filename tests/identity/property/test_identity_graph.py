"""The identity graph against a model of sets, over every operation, on a real database."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence

import grpc
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dmp.identity.v1 import erasure_pb2, merge_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.domain.attribute_event import Attributed, EventAttributor
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from tests.identity.batches import Event
from tests.identity.client import Identity
from tests.identity.invariants import check_invariants
from tests.identity.policies import policy_with_limits, policy_without_limits
from tests.identity.property.graph_machine import IdentityGraph
from tests.identity.property.model import Limits
from tests.identity.property.two_services import System


@pytest.fixture
def policy() -> IdentifierPolicy:
    """Random people grow large."""
    return policy_without_limits()


SMALL = Limits(
    per_person={"user_id": 2, "email": 3, "phone": 2},
    sharing={"user_id": 3, "email": 3, "phone": 2, "wallet_address": 3},
    large=2,
)
# Other trials each time, and so many, if the environment says how many.
TRIALS = int(os.environ.get("DMP_GRAPH_TRIALS", "0"))
# What each policy makes happen: in all trials, more often than this. Hypothesis takes constants of all modules that are
# imported into its choices, so which trials they are depends on what else runs: these are far below what is usual.
HAPPENED = {
    "none": (Limits(), {"merged": 25, "never merge": 0, "taken back": 0}),
    "small": (SMALL, {"shared": 10, "limit": 2, "limit of a merge": 10, "large": 5, "merged": 10}),
}


@pytest.mark.timeout(3600 if TRIALS else 300)
@pytest.mark.parametrize("limits", HAPPENED)
def test_the_graph_does_what_the_model_says(
    identity_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, limits: str
) -> None:
    outcomes = Counter[str]()

    def counted(
        attributor: EventAttributor, identifiers: Sequence[ParsedIdentifier], position: int
    ) -> Attributed | None:
        known = attribute(attributor, identifiers, position)
        outcomes["unknown" if known is None else "linked" if known[1] else "settled"] += 1
        if known is not None and not any(parsed.proves for parsed in identifiers):
            by_owner = any(attributor.assumptions.profiles_with.get(parsed.key) for parsed in identifiers)
            outcomes["attributed" if by_owner else "anonymous"] += 1
        return known

    attribute = EventAttributor.attribute
    monkeypatch.setattr(EventAttributor, "attribute", counted)
    allowed, happens = HAPPENED[limits]
    policy = policy_with_limits(per_person=allowed.per_person, sharing=allowed.sharing, large_cluster=allowed.large)
    IdentityGraph.system = System(identity_database_url, redis_url, policy)
    IdentityGraph.limits, IdentityGraph.happened = allowed, Counter()
    # Without shrinking: each step is real work on a real database, and a failure should be told within a minute.
    trials = settings(
        max_examples=TRIALS or 60,
        stateful_step_count=40 if TRIALS else 30,
        derandomize=not TRIALS,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    try:
        run_state_machine_as_test(IdentityGraph, settings=trials)
    finally:
        IdentityGraph.system.close()
    # Every way was tried.
    ways = ("unknown", "linked", "settled", "attributed", "anonymous")
    assert all(outcomes[way] > 5 for way in ways), outcomes
    assert all(IdentityGraph.happened[name] > least for name, least in happens.items()), IdentityGraph.happened


async def test_everything_at_once_leaves_a_sound_graph(replicas: list[Identity]) -> None:
    chance = random.Random(5)
    kinds = ["email", "phone", "user_id", "browser_id"]

    async def act(number: int) -> None:
        client = replicas[number % 2]
        for n in range(12):
            values = {kind: str(chance.randrange(2, 60)) for kind in chance.sample(kinds, 2)}
            kind = chance.random()
            try:
                if kind < 0.6:
                    await client.apply(Event(identifiers=values, event_id=f"{number}-{n}"))
                elif kind < 0.8:
                    await client.identify(values.get("email", "9"), values.get("phone", ""))
                elif kind < 0.88:
                    rows = await client.rows("SELECT id FROM profile ORDER BY random() LIMIT 2")
                    if len(rows) == 2:
                        await client.merge(public_id(rows[0][0]), public_id(rows[1][0]))
                elif kind < 0.96:
                    rows = await client.rows(
                        "SELECT id::text FROM merge WHERE undone_at_us IS NULL ORDER BY random() LIMIT 1"
                    )
                    for (merge_id,) in rows:
                        await client.stub.UndoMerge(merge_pb2.UndoMergeRequest(merge_id=merge_id, reason="a trial"))
                else:
                    rows = await client.rows("SELECT id FROM profile ORDER BY random() LIMIT 1")
                    for (profile,) in rows:
                        await client.stub.ErasePerson(
                            erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=public_id(profile))
                        )
            except grpc.aio.AioRpcError as error:
                if error.code() not in {grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND}:
                    raise

    await asyncio.gather(*(act(number) for number in range(16)))
    with psycopg.connect(replicas[0].database_url) as connection:
        check_invariants(lambda statement: connection.execute(statement.encode()).fetchall())
        (total,) = connection.execute("SELECT count(*) FROM timeline_entry").fetchall()[0]
        assert total > 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_clusters_do_not_depend_on_order_batching_or_parallelism(replicas: list[Identity], seed: int) -> None:
    chance = random.Random(seed)
    kinds = ["email", "phone", "user_id", "wallet_address"]
    events = [
        {kind: f"{chance.randrange(2, 400)}x" for kind in chance.sample(kinds, chance.choice([1, 2, 2, 3]))}
        for _ in range(1200)
    ]
    parents: dict[tuple[str, str], tuple[str, str]] = {}

    def find(key: tuple[str, str]) -> tuple[str, str]:
        parents.setdefault(key, key)
        while parents[key] != key:
            key = parents[key]
        return key

    for one in events:
        keys = list(one.items())
        for key in keys:
            parents[find(key)] = find(keys[0])
    expected: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for key in list(parents):
        expected.setdefault(find(key), set()).add(key)
    chance.shuffle(events)
    batches, start = [], 0
    while start < len(events):
        size = chance.choice([1, 3, 20, 100])
        batches.append(events[start : start + size])
        start += size
    work = iter(enumerate(batches))

    async def client() -> None:
        for number, some in work:
            await replicas[number % 2].apply(
                *(Event(identifiers=one, event_id=f"{number}-{n}") for n, one in enumerate(some))
            )

    await asyncio.gather(*(client() for _ in range(16)))
    rows = await replicas[0].rows(
        "SELECT p.root_id, i.type, i.value FROM identifier i JOIN profile p ON p.id = i.profile_id"
    )
    found: dict[int, set[tuple[str, str]]] = {}
    for root, kind, value in rows:
        found.setdefault(root, set()).add((kind, value))
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
    assert await replicas[0].rows("SELECT count(*) FROM timeline_entry") == [(1200,)]
    with psycopg.connect(replicas[0].database_url) as connection:
        check_invariants(lambda statement: connection.execute(statement.encode()).fetchall())
