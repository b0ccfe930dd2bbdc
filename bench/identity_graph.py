"""What the identity graph costs, on a durable PostgreSQL of its own: `python -m bench --parts identity`.

* records: 50,000 records with 3 to 6 strong identifiers each, as events in batches of 1000, then the same again
* steady: events of known people, each with an e-mail and a browser, then with the browser alone
* clusters: 64 clients, 12,000 `/identify` requests over 2,600 clusters with 500 bridges
* identify: `/identify` over 16 connections, half of the requests known already
* large: p99 of `/users` and `/debug/match` with 10 million timeline entries and a million profiles; merging two
  profiles with 100,000 events each

A figure stands only if the answers were right: clusters are checked one by one. CPU is that of the service and of
PostgreSQL, each for one record, event or request.
"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

from bench.figures import Figures
from bench.identity_system import IdentitySystem, running_identity
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp.ingest.v1 import accepted_batch_pb2
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.domain.profile_id import public_id

STRONG = ("user_id", "email", "phone", "wallet_address")
_BATCH = 1000
_FILL = (
    "INSERT INTO profile SELECT n, n, n, true FROM generate_series(1000000, {last}) n",
    """
    INSERT INTO identifier (type, value, profile_id, first_seen_at_us, ordinal, cause, ref, source)
    SELECT 'email', 'l' || n || '@x.com', n, n, 0, 'event', 'r' || n, 's' FROM generate_series(1000000, {last}) n
    """,
    """
    INSERT INTO timeline_entry
    SELECT n, 1700000000000000 + m::bigint * 1000000, 'l' || n || '-' || m, 'page_view', 's'
    FROM generate_series(1000000, {last}) n, generate_series(1, {per_profile}) m
    """,
    "INSERT INTO profile VALUES (999998, 999998, 1, true), (999999, 999999, 2, true)",
    """
    INSERT INTO timeline_entry
    SELECT p, 1700000000000000 + m::bigint * 1000000 + p, 'h' || p || '-' || m, 'click', 's'
    FROM unnest(ARRAY[999998, 999999]) p, generate_series(1, 100000) m
    """,
    "VACUUM ANALYZE",
)


def make_batch(events: Sequence[Sequence[tuple[str, str]]], first: int) -> pb.ApplyBatchRequest:
    """The events' identifiers as one batch; `first` numbers the events."""
    texts = {"": 0}
    message = accepted_batch_pb2.AcceptedBatch(batch_id=uuid7_text(), accepted_at_us=time.time_ns() // 1000)
    for number, identifiers in enumerate(events):
        message.event_ids.append(f"event-{first + number:09}")
        message.occurred_at_us.append(1_700_000_000_000_000 + (first + number) * 1000)
        message.types.append(texts.setdefault("page_view", len(texts)))
        message.sources.append(texts.setdefault("bench", len(texts)))
        for kind, value in identifiers:
            message.identifier_events.append(number)
            message.identifier_types.append(texts.setdefault(kind, len(texts)))
            message.identifier_values.append(texts.setdefault(value, len(texts)))
    message.texts.extend(texts)
    return pb.ApplyBatchRequest(batch=message)


def make_records(count: int) -> tuple[list[list[tuple[str, str]]], int]:
    """Records of 3 to 6 strong identifiers; a fifth of them shows somebody who was there before. Also the number of
    people.
    """
    chance = random.Random(1)
    people: list[list[tuple[str, str]]] = []
    records = []
    for number in range(count):
        wanted = chance.randint(3, 6)
        kinds = [STRONG[n % 4] for n in range(wanted)]
        record = [(kind, f"{kind[:2]}{number}n{n}@example.com") for n, kind in enumerate(kinds)]
        if people and chance.random() < 0.2:
            record[0] = chance.choice(people)[0]
        else:
            people.append(record)
        chance.shuffle(record)
        records.append(record)
    return records, len(people)


def apply_all(system: IdentitySystem, requests: Sequence[pb.ApplyBatchRequest], clients: int) -> float:
    """Sends all batches over so many connections; the seconds it took."""
    work, lock = iter(requests), threading.Lock()

    def client() -> None:
        stub = system.stub()
        while True:
            with lock:
                request = next(work, None)
            if request is None:
                return
            answer = stub.ApplyBatch(request, timeout=60)
            assert not answer.already_applied

    return in_parallel(client, clients)


def in_parallel(client: Callable[[], None], clients: int) -> float:
    """Runs so many clients; the seconds until the last has ended."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(client) for _ in range(clients)]:
            future.result()
    return time.perf_counter() - started


def rows(system: IdentitySystem, statement: str) -> list[tuple[object, ...]]:
    """The rows of a statement."""
    with psycopg.connect(system.database_url) as connection:
        return connection.execute(statement.encode()).fetchall()


def _run_records(figures: Figures, system: IdentitySystem, count: int) -> None:
    """New records, then the same events again as new ones."""
    records, people = make_records(count)
    batches = [make_batch(records[n : n + _BATCH], n) for n in range(0, count, _BATCH)]
    again = [make_batch(records[n : n + _BATCH], count + n) for n in range(0, count, _BATCH)]
    once_more = [make_batch(records[n : n + _BATCH], 2 * count + n) for n in range(0, count, _BATCH)]
    before = system.cpu_seconds()
    seconds = apply_all(system, batches, 2)
    note(figures, "new records", count, seconds, cpu_of(system, before), floor=10_000, target=20_000)
    found = rows(
        system, "SELECT count(DISTINCT p.root_id), count(*) FROM identifier i JOIN profile p ON p.id = i.profile_id"
    )
    assert found == [(people, sum(map(len, records)) - (count - people))], (found, people)
    for name, same in (("known records, first time", again), ("known records", once_more)):
        before = system.cpu_seconds()
        seconds = apply_all(system, same, 2)
        note(figures, name, count, seconds, cpu_of(system, before))
    assert rows(system, "SELECT count(*) FROM timeline_entry") == [(3 * count,)]


def _run_steady(figures: Figures, system: IdentitySystem, count: int) -> None:
    """Events of known people as they come: an e-mail and a browser, or the browser alone."""
    chance = random.Random(2)
    people = [[("email", f"s{n}@example.com"), ("browser_id", f"browser-{n}")] for n in range(5000)]
    numbers = itertools.count(10**8, 10**6)
    first = next(numbers)
    apply_all(system, [make_batch(people[n : n + _BATCH], first + n) for n in range(0, len(people), _BATCH)], 1)
    costs: dict[str, list[float]] = {"known e-mail and browser": [], "known browser alone": []}
    for shown, (name, found) in enumerate(costs.items()):
        for _ in range(3):
            first = next(numbers)
            batches = [
                make_batch([chance.choice(people)[shown:] for _ in range(_BATCH)], first + n)
                for n in range(0, count, _BATCH)
            ]
            before = system.cpu_seconds()
            seconds = apply_all(system, batches, 2)
            found.append(note(figures, name, count, seconds, cpu_of(system, before)))
    both, alone = map(statistics.median, costs.values())
    figures.note("identity, CPU per event of known people", "us", [both], target=15)
    figures.note("identity, CPU per event of known browsers alone", "us", [alone])


def _run_clusters(figures: Figures, system: IdentitySystem) -> None:
    """2,600 clusters of chained pairs, 500 bridges, 12,000 requests in random order from 64 clients."""
    chance = random.Random(3)
    requests = []
    for number in range(2600):
        emails = [f"c{number}e{n}@example.com" for n in range(3)]
        phones = [f"4{number:05}{n}" for n in range(2)]
        requests += [(emails[0], phones[0]), (emails[1], phones[0]), (emails[1], phones[1]), (emails[2], phones[1])]
    bridges = [(n, n + 1) for n in range(0, 1000, 2)]
    requests += [(f"c{a}e0@example.com", f"4{b:05}1") for a, b in bridges]
    requests += chance.sample(requests, 12_000 - len(requests))
    chance.shuffle(requests)
    work, lock = iter(requests), threading.Lock()

    def client() -> None:
        stub = system.stub()
        while True:
            with lock:
                request = next(work, None)
            if request is None:
                return
            stub.Identify(pb.IdentifyRequest(email=request[0], phone_number=request[1]), timeout=60)

    before = system.cpu_seconds()
    seconds = in_parallel(client, 64)
    note(figures, "/identify, 64 clients, 12,000 requests", len(requests), seconds, cpu_of(system, before))
    joined = {b: a for a, b in bridges}
    expected: dict[int, set[str]] = {}
    for number in range(2600):
        expected.setdefault(joined.get(number, number), set()).update(f"c{number}e{n}@example.com" for n in range(3))
    found: dict[object, set[str]] = {}
    contacts = rows(system, "SELECT coalesce(\"linkedId\", id), email FROM contact WHERE email LIKE 'c%e%@%'")
    for primary, email in contacts:
        found.setdefault(primary, set()).add(str(email))
    wrong = sorted(map(sorted, found.values())) != sorted(map(sorted, expected.values()))
    assert not wrong, "clusters differ"
    print(f"  {len(expected)} clusters, every one right")


def _run_identify(figures: Figures, system: IdentitySystem, seconds_to_run: float) -> None:
    """16 connections; every second request is known."""
    counter, stop = itertools.count(), time.perf_counter() + seconds_to_run
    done: list[float] = []

    def client() -> None:
        stub = system.stub()
        latencies = []
        while time.perf_counter() < stop:
            number = next(counter) // 2
            started = time.perf_counter()
            stub.Identify(pb.IdentifyRequest(email=f"i{number}@example.com", phone_number=f"8{number}"), timeout=10)
            latencies.append(time.perf_counter() - started)
        done.extend(latencies)

    before = system.cpu_seconds()
    seconds = in_parallel(client, 16)
    cpu = cpu_of(system, before)
    note(figures, "/identify, 16 connections", len(done), seconds, cpu, floor=1_000, target=1_400)
    figures.note("/identify, 16 connections", "ms", [1000 * one for one in done])


def _run_large(figures: Figures, system: IdentitySystem, profiles: int, entries: int) -> None:
    """Fills the tables directly, then reads one at a time, and merges two heavy profiles."""
    last, per_profile = 1_000_000 + profiles - 1, entries // profiles
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        for statement in _FILL:
            connection.execute(statement.format(last=last, per_profile=per_profile).encode())
    stub, chance = system.stub(), random.Random(4)
    numbers = [chance.randrange(1_000_000, 1_000_000 + profiles) for _ in range(2000)]
    calls: dict[str, Callable[[int], object]] = {
        "/users": lambda n: stub.GetProfile(pb.GetProfileRequest(internal_user_id=public_id(n))),
        "/debug/match": lambda n: stub.MatchIdentifier(
            pb.MatchIdentifierRequest(identifier="email", value=f"l{n}@x.com")
        ),
    }
    for name, call in calls.items():
        latencies = []
        for number in numbers:
            started = time.perf_counter()
            call(number)
            latencies.append(1000 * (time.perf_counter() - started))
        figures.note(f"{name}, {profiles:,} profiles, {entries:,} entries", "ms", latencies, target=20)
    started = time.perf_counter()
    merged = stub.MergeProfiles(pb.MergeProfilesRequest(internal_user_ids=[public_id(999998), public_id(999999)]))
    spent = 1000 * (time.perf_counter() - started)
    figures.note("merging two profiles with 100,000 events each", "ms", [spent], target=50)
    started = time.perf_counter()
    page = stub.GetProfile(pb.GetProfileRequest(internal_user_id=public_id(999999)))
    spent = 1000 * (time.perf_counter() - started)
    figures.note(f"their first page of {len(page.events):,} events", "ms", [spent])
    assert page.internal_user_id == merged.internal_user_id == public_id(999998)


def cpu_of(system: IdentitySystem, before: tuple[float, float]) -> tuple[float, float]:
    """CPU seconds since: the service's and PostgreSQL's."""
    now = system.cpu_seconds()
    return now[0] - before[0], now[1] - before[1]


def note(
    figures: Figures,
    name: str,
    count: int,
    seconds: float,
    cpu: tuple[float, float],
    *,
    floor: float | None = None,
    target: float | None = None,
) -> float:
    """Takes down a rate with the CPU of the service and of PostgreSQL for each; returns their sum in microseconds."""
    service, postgres = (one / count * 1e6 for one in cpu)
    more = {"service us": round(service, 1), "PostgreSQL us": round(postgres, 1)}
    figures.note(name, "/s", [count / seconds], floor=floor, target=target, more=more)
    return service + postgres


def measure_identity(figures: Figures, *, scale: float = 1.0) -> None:
    """Runs all cases on a system of their own. scale: a part of the records and of the stored data, 0.001 to 1.

    Raises AssertionError if an answer was wrong.
    """
    records = max(_BATCH, round(50 * scale) * _BATCH)
    with running_identity() as system:
        _run_records(figures, system, records)
        _run_steady(figures, system, records)
        _run_clusters(figures, system)
        _run_identify(figures, system, max(2.0, 10 * scale))
        profiles = max(1000, round(1_000_000 * scale))
        _run_large(figures, system, profiles, 10 * profiles)
