"""The identity graph against a model of sets, over every operation, on a real database."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import grpc
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from dmp.identity.v1 import erasure_pb2, merge_pb2, separation_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.api.servicer import IdentityServicer
from dmp_identity.app import assemble
from dmp_identity.domain.attribute_event import Attributed, EventAttributor
from dmp_identity.domain.errors import NeverMergeError
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.profile_id import public_id
from dmp_identity.settings import load_policy
from tests.identity.batches import START_US, Event, batch
from tests.identity.client import Identity, people
from tests.identity.client import settings as service_settings
from tests.identity.invariants import check_invariants
from tests.identity.policies import policy_without_limits
from tests.identity.property.model import Merge, Model, Profile


@pytest.fixture
def policy() -> IdentifierPolicy:
    """Random people grow large."""
    return policy_without_limits()


CHOICES = st.integers(0, 2**32 - 1).map(random.Random)
STRONG_TYPES = ["user_id", "email", "phone", "wallet_address"]
Identifiers = dict[str, str]


def any_weak(choice: random.Random) -> Identifiers:
    """Weak identifiers, if any."""
    kinds = choice.sample(["browser_id", "ip_address"], choice.choice([0, 1, 1, 2]))
    return {kind: choice.choice("789") for kind in kinds}


def any_event(choice: random.Random) -> tuple[Identifiers, Identifiers]:
    """Strong and weak identifiers, at least one, of a few values, so that people meet."""
    strong = {
        kind: choice.choice("23456") for kind in choice.sample(STRONG_TYPES, choice.choice([0, 0, 1, 1, 2, 2, 3]))
    }
    weak = any_weak(choice) if choice.random() < 0.6 else {}
    return ({"email": "2"}, weak) if not strong and not weak else (strong, weak)


TABLES = (
    "profile, identifier, identifier_pair, weak_link, anonymous_profile, timeline_entry, merge, merge_edge,"
    " never_merge, contact, merge_contact, review, inbox, erasure, erasure_page, erased_identifier,"
    " domain_event_outbox"
)


class System:
    """Two services for all examples, in one loop, and a connection to their database."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.runner = asyncio.Runner()
        self.servicers = self.runner.run(self._start(database_url, redis_url))
        self.database = psycopg.connect(database_url, autocommit=True)

    async def _start(self, database_url: str, redis_url: str) -> list[IdentityServicer]:
        policy = load_policy()
        self._parts = [assemble(service_settings(database_url, redis_url, policy)) for _ in range(2)]
        servicers = [parts.servicer for parts in self._parts if isinstance(parts.servicer, IdentityServicer)]
        self._requests = [asyncio.ensure_future(servicer.identifier.run()) for servicer in servicers]
        return servicers

    def close(self) -> None:
        """Stops both services."""

        async def stop() -> None:
            for requests in self._requests:
                requests.cancel()
            await asyncio.wait(self._requests)
            for parts in self._parts:
                for close in parts.on_close:
                    await close()

        self.runner.run(stop())
        self.runner.close()
        self.database.close()


class IdentityGraph(RuleBasedStateMachine):
    """Does everything to two services and to the model, and compares all that both know after each step.

    Each call goes to either service, so what one of them remembers is often changed by the other.
    """

    system: ClassVar[System]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.chance = random.Random(0)
        self.seen: list[tuple[Identifiers, Identifiers]] = []
        self.numbers = itertools.count(1)
        self.database = self.system.database
        for table in TABLES.replace(" ", "").split(","):
            self.database.execute(f"DELETE FROM {table}".encode())  # noqa: S608

    def call(self, method: str, request: Any) -> Any:  # noqa: ANN401
        """Calls an RPC's method."""

        async def run() -> Any:  # noqa: ANN401
            return await getattr(self.chance.choice(self.system.servicers), method)(request, None)

        return self.system.runner.run(run())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        return self.database.execute(statement.encode()).fetchall()

    @initialize(seed=st.integers(0, 2**32 - 1))
    def nothing(self, seed: int) -> None:
        """An empty graph."""
        self.chance = random.Random(seed)
        self.compare()

    @rule(choice=CHOICES)
    def apply(self, choice: random.Random) -> None:
        """A batch of events; the answer names the people as they are after the batch."""
        self.apply_events([any_event(choice) for _ in range(choice.randint(1, 4))])

    def apply_events(self, events: list[tuple[Identifiers, Identifiers]]) -> None:
        """Applies the events, twice, as one batch."""
        at = next(self.numbers)
        self.seen.extend(events)
        made = [
            Event(identifiers={**strong, **weak}, event_id=f"e{at}-{n}", at_us=START_US + n)
            for n, (strong, weak) in enumerate(events)
        ]
        message = batch(made, accepted_at_us=START_US + at)
        answer = people(self.call("ApplyBatch", pb.ApplyBatchRequest(batch=message)))
        targets = [
            self.model.see(one.event_id, list(strong.items()), sorted(weak.items()), START_US + at)[0]
            for one, (strong, weak) in zip(made, events, strict=True)
        ]
        for first, second in itertools.combinations(range(len(events)), 2):
            together = self.model.person(targets[first]) == self.model.person(targets[second])
            assert (answer[first] == answer[second]) == together
        assert self.call("ApplyBatch", pb.ApplyBatchRequest(batch=message)).already_applied
        self.compare()

    @rule(choice=CHOICES)
    def apply_one(self, choice: random.Random) -> None:
        """A batch of one event."""
        self.apply_events([any_event(choice)])

    @precondition(lambda self: bool(self.seen))
    @rule(choice=CHOICES)
    def see_again(self, choice: random.Random) -> None:
        """Events like some of before: mostly they change nothing, once they have been seen. Then the same from other
        browsers, and now and then one of somebody else among them.
        """
        again = choice.choices(self.seen[-12:], k=choice.randint(1, 4))
        self.apply_events(again)
        moved = [(strong, any_weak(choice) if strong else weak) for strong, weak in again]
        self.apply_events([*moved, *again, *choice.choice([[], [], [any_event(choice)]])])

    @rule(choice=CHOICES)
    def browse(self, choice: random.Random) -> None:
        """The same browsers again and again, with now and then a login among them."""
        for _ in range(4):
            events: list[tuple[Identifiers, Identifiers]] = [
                ({}, any_weak(choice) or {"browser_id": "7"}) for _ in range(choice.randint(1, 4))
            ]
            if choice.random() < 0.3:
                events.insert(choice.randint(0, len(events)), any_event(choice))
            self.apply_events(events)

    @rule(choice=CHOICES)
    def identify(self, choice: random.Random) -> None:
        """A contact request."""
        values = [None, *"23456"]
        email, phone = choice.choice(values), choice.choice(values)
        if email is None and phone is None:
            email = "2"
        answer = self.call("Identify", pb.IdentifyRequest(email=email or "", phone_number=phone or ""))
        rows = self.model.identify(email, phone, 2**60)
        person = next(person for person in self.model.people() if rows[0] in self.model.contacts(person))
        for listed, kind, first in (
            (list(answer.emails), "email", rows[0].email),
            (list(answer.phone_numbers), "phone", rows[0].phone),
        ):
            assert sorted(listed) == sorted(self.model.listed(person, kind))
            assert first is None or listed[0] == first
        assert len(answer.secondary_contact_ids) == len(rows) - 1
        self.compare()

    @precondition(lambda self: len(self.model.profiles) > 1)
    @rule(choice=CHOICES)
    def merge(self, choice: random.Random) -> None:
        """Two profiles are merged by hand."""
        first, second = choice.sample(self.model.profiles, 2)
        expected = self.model.merge_by_hand(first, second)
        request = pb.MergeProfilesRequest(internal_user_ids=[self.id_of(first), self.id_of(second)])
        if expected == "apart":
            with pytest.raises(NeverMergeError):
                self.call("MergeProfiles", request)
            return
        answer = self.call("MergeProfiles", request)
        assert bool(answer.merge_id) == isinstance(expected, Merge)
        self.compare()

    @precondition(lambda self: any(merge.in_force for merge in self.model.merges))
    @rule(choice=CHOICES)
    def undo(self, choice: random.Random) -> None:
        """Any merge in force is undone."""
        merge = choice.choice([merge for merge in self.model.merges if merge.in_force])
        merge_id = self.merge_id_of(merge)
        self.model.undo(merge)
        self.call("UndoMerge", merge_pb2.UndoMergeRequest(merge_id=merge_id, reason="a trial"))
        self.compare()

    @precondition(lambda self: len(self.model.people()) > 1)
    @rule(choice=CHOICES)
    def keep_apart(self, choice: random.Random) -> None:
        """Two people are kept apart."""
        known = sorted(self.model.people(), key=lambda person: self.model.oldest(person).number)
        first, second = (self.model.oldest(person) for person in choice.sample(known, 2))
        self.model.apart.append((first, second))
        ids = [self.id_of(first), self.id_of(second)]
        self.call("CreateNeverMerge", merge_pb2.CreateNeverMergeRequest(internal_user_ids=ids, reason="a trial"))
        self.compare()

    @precondition(lambda self: any(profile.strong for profile in self.model.profiles))
    @rule(choice=CHOICES)
    def detach(self, choice: random.Random) -> None:
        """An identifier is taken from its person and, now and then, given to somebody."""
        owner = choice.choice([profile for profile in self.model.profiles if profile.strong])
        key = choice.choice(sorted(owner.strong))
        given = {"identifier": key[0], "value": key[1], "reason": "a trial"}
        if choice.random() < 0.6:
            request = separation_pb2.DetachIdentifierRequest(internal_user_id=self.id_of(owner), **given)
            self.call("DetachIdentifier", request)
            self.model.detach(key, 2**60)
        else:
            profile = choice.choice(self.model.profiles)
            person = self.id_of(profile)
            self.model.attach(profile, key)
            self.call("AttachIdentifier", separation_pb2.AttachIdentifierRequest(internal_user_id=person, **given))
        self.compare()

    @precondition(lambda self: bool(self.model.apart))
    @rule(choice=CHOICES)
    def let_together(self, choice: random.Random) -> None:
        """What keeps two people apart is removed."""
        kept = self.rows(
            "SELECT id::text, profile_a, profile_b FROM never_merge WHERE removed_at_us IS NULL ORDER BY id"
        )
        assert len(kept) == len(self.model.apart)
        never_merge_id, a, b = choice.choice(kept)
        position = next(
            n for n, pair in enumerate(self.model.apart) if {self.number_of(pair[0]), self.number_of(pair[1])} == {a, b}
        )
        del self.model.apart[position]
        request = merge_pb2.RemoveNeverMergeRequest(never_merge_id=never_merge_id, reason="a trial")
        self.call("RemoveNeverMerge", request)
        self.compare()

    @precondition(lambda self: len(self.model.profiles) > 4)
    @rule(choice=CHOICES)
    def erase(self, choice: random.Random) -> None:
        """A person is erased."""
        profile = choice.choice(self.model.profiles)
        request = erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=self.id_of(profile))
        self.model.erase(self.model.person(profile))
        self.call("ErasePerson", request)
        # Batches of this trial are "accepted" long before the erasure; what comes from now on is new all the same.
        self.database.execute("UPDATE erasure SET erased_at_us = 0")
        self.compare()

    # -- comparing

    def number_of(self, profile: Profile) -> int:
        """The stored id of the model's profile: both are made in the same order."""
        return self.stored[profile.number]

    def id_of(self, profile: Profile) -> str:
        """The public id of the model's profile."""
        return public_id(self.number_of(profile))

    def merge_id_of(self, merge: Merge) -> str:
        """The stored id of the model's merge, found by its edges."""
        edges = {frozenset((self.number_of(a), self.number_of(b))) for a, b in merge.edges}
        stored: dict[str, set[frozenset[int]]] = {}
        for merge_id, a, b in self.rows(
            "SELECT m.id::text, e.profile_a, e.profile_b FROM merge m JOIN merge_edge e ON e.merge_id = m.id"
            " WHERE m.undone_at_us IS NULL"
        ):
            stored.setdefault(merge_id, set()).add(frozenset((a, b)))
        return next(merge_id for merge_id, found in stored.items() if found == edges)

    def compare(self) -> None:
        """Everything that is stored is what the model has, and nothing else."""
        persons = check_invariants(self.rows)
        ids = sorted(persons)
        ordered = sorted(self.model.profiles, key=lambda profile: profile.number)
        assert len(ids) == len(ordered)
        self.stored = {profile.number: number for profile, number in zip(ordered, ids, strict=True)}
        strong = self.sets("SELECT profile_id, type, value FROM identifier")
        weak = self.sets("SELECT profile_id, type, value FROM weak_link")
        events = self.sets("SELECT profile_id, event_id FROM timeline_entry")
        for profile in ordered:
            number = self.number_of(profile)
            assert persons[number] == self.number_of(self.model.oldest(self.model.person(profile)))
            assert strong.get(number, set()) == profile.strong
            assert weak.get(number, set()) == profile.weak
            assert {row[0] for row in events.get(number, set())} == profile.events
        contacts = self.rows(
            'SELECT profile_id, email, "phoneNumber" FROM contact WHERE "deletedAt" IS NULL ORDER BY id'
        )
        kept = self.rows("SELECT profile_a, profile_b FROM never_merge WHERE removed_at_us IS NULL")
        apart = [sorted(map(self.number_of, pair)) for pair in self.model.apart]
        assert sorted(map(sorted, kept)) == sorted(apart)
        for person in self.model.people():
            oldest = self.number_of(self.model.oldest(person))
            found = [(row[1], row[2]) for row in contacts if persons[row[0]] == oldest]
            assert found == [(row.email, row.phone) for row in self.model.contacts(person)]

    def sets(self, statement: str) -> dict[int, set[tuple[str, ...]]]:
        """Rows grouped by their first column."""
        found: dict[int, set[tuple[str, ...]]] = {}
        for first, *rest in self.rows(statement):
            found.setdefault(first, set()).add(tuple(rest))
        return found


@pytest.mark.timeout(300)
def test_the_graph_does_what_the_model_says(
    identity_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
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
    IdentityGraph.system = System(identity_database_url, redis_url)
    # Without shrinking: each step is real work on a real database, and a failure should be told within a minute.
    limits = settings(
        max_examples=30,
        stateful_step_count=30,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    try:
        run_state_machine_as_test(IdentityGraph, settings=limits)
    finally:
        IdentityGraph.system.close()
    # Every way was tried.
    ways = ("unknown", "linked", "settled", "attributed", "anonymous")
    assert all(outcomes[way] > 5 for way in ways), outcomes


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
