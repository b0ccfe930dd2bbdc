"""Reads what the graph knows about some identifiers: the snapshot that observations are resolved against."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor
from dmp_identity.adapters.graph_version import SERVER
from dmp_identity.adapters.profile_reads import find_profiles
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.parsed_identifier import Key, Observation
from dmp_identity.domain.snapshot import GraphVersion, Person, Snapshot

_DAY_US: Final = 86_400_000_000
_NO_VERSION: Final = GraphVersion(0, 0, 0)

_FOUND: Final = f"""
WITH found AS MATERIALIZED (
  SELECT 0 AS kind, k.n, i.profile_id, i.shared_at_us IS NOT NULL AS shared,
    hashtextextended(i.ref, 0) & 9223372036854775807 AS arrival
  FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k (type, value, n)
  JOIN identifier i ON i.type = k.type AND i.value = k.value
  UNION ALL
  SELECT 1, k.n, w.profile_id, false, 0
  FROM unnest(%s::text[], %s::text[], %b::bigint[]) WITH ORDINALITY AS k (type, value, bound, n)
  CROSS JOIN LATERAL (
    SELECT w.profile_id FROM weak_link w
    WHERE w.type = k.type AND w.value = k.value
    ORDER BY w.profile_id
    LIMIT k.bound + 1
  ) w
  UNION ALL
  SELECT 2, k.n, a.profile_id, false, 0
  FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k (type, value, n)
  JOIN anonymous_profile a ON a.type = k.type AND a.value = k.value
  UNION ALL
  SELECT 3, 0, k.id, false, 0 FROM unnest(%b::bigint[]) AS k (id)
)
SELECT f.kind, f.n, f.profile_id, f.shared, f.arrival, p.root_id, r.created_at_us, r.identified
FROM found f JOIN profile p ON p.id = f.profile_id JOIN profile r ON r.id = p.root_id
UNION ALL
SELECT 4, 0, 0, false, {SERVER}, people, evidence, false FROM graph_version
""".encode()  # noqa: S608  # no input in it

_MEMBERS: Final = """
WITH member AS MATERIALIZED (
  SELECT r.id, r.id AS root_id FROM unnest(%b::bigint[]) AS r (id)
  UNION ALL
  SELECT p.id, p.root_id FROM unnest(%b::bigint[]) AS r (id) JOIN profile p ON p.root_id = r.id AND p.root_id <> p.id
)
"""

_COUNTS: Final = f"""{_MEMBERS}
SELECT m.root_id, i.type, count(*), count(*) FILTER (WHERE i.first_seen_at_us >= k.since)
FROM member m JOIN identifier i ON i.profile_id = m.id
LEFT JOIN unnest(%s::text[], %b::bigint[]) AS k (type, since) ON k.type = i.type
GROUP BY m.root_id, i.type
""".encode()  # noqa: S608  # no input in it

_APART: Final = f"""{_MEMBERS}
SELECT a.root_id, b.root_id
FROM member a
JOIN never_merge n ON n.profile_a = a.id AND n.removed_at_us IS NULL
JOIN member b ON b.id = n.profile_b
""".encode()  # noqa: S608  # no input in it

# Of each identifier: what it brought, what brought it, what arrived at its profile in the same observation, and pairs.
_TOGETHER: Final = b"""
SELECT k.n, t.type, t.value
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS k (type, value, n)
CROSS JOIN LATERAL (
  SELECT i.type, i.value FROM identifier i WHERE i.via_type = k.type AND i.via_value = k.value
  UNION ALL
  SELECT s.type, s.value
  FROM identifier o JOIN identifier s ON s.profile_id = o.profile_id AND s.ref = o.ref
  WHERE o.type = k.type AND o.value = k.value AND (s.type, s.value) <> (o.type, o.value)
  UNION ALL
  SELECT o.via_type, o.via_value
  FROM identifier o WHERE o.type = k.type AND o.value = k.value AND o.via_type IS NOT NULL
  UNION ALL
  SELECT p.type_b, p.value_b FROM identifier_pair p WHERE p.type_a = k.type AND p.value_a = k.value
  UNION ALL
  SELECT p.type_a, p.value_a FROM identifier_pair p WHERE p.type_b = k.type AND p.value_b = k.value
) t
"""


class WantedKeys(msgspec.Struct, frozen=True):
    """The identifiers of some observations: strong ones, weak ones that may attribute, and those that may have an
    anonymous profile.
    """

    strong: list[Key]
    attributing: dict[Key, int]
    anonymous: list[Key]


def wanted_keys(observations: Sequence[Observation]) -> WantedKeys:
    """What to look up for the observations, each once. The attributing ones map to how many profiles matter."""
    strong: dict[Key, None] = {}
    attributing: dict[Key, int] = {}
    anonymous: dict[Key, None] = {}
    for observation in observations:
        for parsed in observation.strong:
            strong[parsed.key] = None
        for parsed in observation.weak:
            if parsed.type is not None and parsed.type.attributing:
                attributing[parsed.key] = parsed.type.max_holders
        # A strong value may turn out to be shared; then it, too, may need an anonymous profile.
        first = observation.weak or observation.refused
        if first:
            anonymous[first[0].key] = None
    return WantedKeys(strong=list(strong), attributing=attributing, anonymous=list(anonymous))


async def load_snapshot(
    connection: psycopg.AsyncConnection[Any], observations: Sequence[Observation], profiles: Sequence[int] = ()
) -> Snapshot:
    """Reads everything about the observations' identifiers, and about the people of some more profiles, in one
    statement, so that it is of one instant. What only guards need is left out: see `add_guard_facts`.
    """
    wanted = wanted_keys(observations)
    strong, holding, anonymous = wanted.strong, list(wanted.attributing), list(wanted.anonymous)
    cursor = bulk_cursor(connection)
    await cursor.execute(
        _FOUND,
        (
            *_columns(strong),
            *_columns(holding),
            Bigints([wanted.attributing[key] for key in holding]),
            *_columns(anonymous),
            Bigints(profiles),
        ),
    )
    version = _NO_VERSION
    owners: dict[Key, int] = {}
    arrivals: dict[Key, int] = {}
    shared: list[Key] = []
    profiles_with: dict[Key, list[int]] = {}
    anonymous_profiles: dict[Key, int] = {}
    persons: dict[int, int] = {}
    people: dict[int, Person] = {}
    for kind, n, profile, is_shared, arrival, root, created_at_us, identified in await cursor.fetchall():
        if kind == 0:
            owners[strong[n - 1]] = profile
            arrivals[strong[n - 1]] = arrival
            if is_shared:
                shared.append(strong[n - 1])
        elif kind == 1:
            profiles_with.setdefault(holding[n - 1], []).append(profile)
        elif kind == 2:
            if not identified:
                anonymous_profiles[anonymous[n - 1]] = profile
        elif kind == 4:
            version = GraphVersion(arrival, root, created_at_us)
            continue
        persons[profile] = root
        if root not in people:
            people[root] = Person(created_at_us=created_at_us, identified=identified)
            persons[root] = root
    snapshot = Snapshot(
        version=version,
        owners=owners,
        arrivals=arrivals,
        shared=frozenset(shared),
        persons=persons,
        people=people,
        profiles_with=profiles_with,
        anonymous=anonymous_profiles,
    )
    if shared:
        await _add_anonymous_of_shared(connection, snapshot, shared)
    return snapshot


async def add_guard_facts(
    connection: psycopg.AsyncConnection[Any],
    snapshot: Snapshot,
    policy: IdentifierPolicy,
    observations: Sequence[Observation],
    *,
    now_us: int,
) -> None:
    """Adds sizes, counts, never-merge pairs, and what was seen together, for the people and identifiers that the
    observations may change.
    """
    roots, keys = _touched(snapshot, observations)
    cursor = bulk_cursor(connection)
    if roots:
        given = Bigints(roots)
        types = [kind for kind in policy.types.values() if kind.strong]
        since = [now_us - kind.period_days * _DAY_US if kind.period_days else 0 for kind in types]
        await cursor.execute(_COUNTS, (given, given, Texts([kind.name for kind in types]), Bigints(since)))
        counts: dict[int, dict[str, int]] = {}
        sizes: dict[int, int] = {}
        for root, type_name, size, recent in await cursor.fetchall():
            counts.setdefault(root, {})[type_name] = recent
            sizes[root] = sizes.get(root, 0) + size
        snapshot.people = {
            root: msgspec.structs.replace(person, size=sizes.get(root, 0), counts=counts.get(root, {}))
            for root, person in snapshot.people.items()
        }
        if len(roots) > 1:
            snapshot.apart = await _pairs_apart(connection, roots)
    if keys:
        await cursor.execute(_TOGETHER, _columns(keys))
        together: dict[Key, set[Key]] = {}
        for n, type_name, value in await cursor.fetchall():
            together.setdefault(keys[n - 1], set()).add((type_name, value))
        snapshot.together = together


async def load_people(connection: psycopg.AsyncConnection[Any], profiles: Sequence[int]) -> Snapshot:
    """What merging the people of some profiles needs: these people, and who of them is kept apart. A profile that does
    not exist is not in it. The caller holds the merge lock.
    """
    found = await find_profiles(connection, profiles)
    people = {
        profile.root: Person(created_at_us=profile.root_created_at_us, identified=profile.root_identified)
        for profile in found.values()
    }
    return Snapshot(
        version=_NO_VERSION,
        persons={number: profile.root for number, profile in found.items()} | {root: root for root in people},
        people=people,
        apart=await _pairs_apart(connection, list(people)) if len(people) > 1 else (),
    )


async def _pairs_apart(connection: psycopg.AsyncConnection[Any], roots: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs among these people that somebody said are different."""
    given = Bigints(roots)
    cursor = bulk_cursor(connection)
    await cursor.execute(_APART, (given, given))
    return [(a, b) for a, b in await cursor.fetchall()]


def _touched(snapshot: Snapshot, observations: Sequence[Observation]) -> tuple[list[int], list[Key]]:
    """The people and the identifiers of which the guards need facts: limits, people kept apart, values seen together.

    These are the people and the known identifiers of observations that bring something new or name several people;
    identifiers that several observations bring; and the people who have, or may get, a weak identifier that assists.
    """
    roots: dict[int, None] = {}
    keys: dict[Key, None] = {}
    unknown: set[Key] = set()
    for observation in observations:
        known = [parsed.key for parsed in observation.strong if parsed.key in snapshot.owners]
        if len(known) < len(observation.strong):
            new = {parsed.key for parsed in observation.strong if parsed.key not in snapshot.owners}
            # It becomes known here, and may be joined with others later in the same batch.
            keys.update(dict.fromkeys(new & unknown))
            unknown |= new
        people = {snapshot.persons[snapshot.owners[key]] for key in known}
        if len(known) < len(observation.strong) or len(people) > 1:
            roots.update(dict.fromkeys(people))
            keys.update(dict.fromkeys(known))
        if any(parsed.type is not None and parsed.type.assist for parsed in observation.weak):
            # Its person gets the identifier that assists here, and may be assisted by it later in the same batch.
            roots.update(dict.fromkeys(people))
            for parsed in observation.weak:
                roots.update(dict.fromkeys(snapshot.persons[p] for p in snapshot.profiles_with.get(parsed.key, ())))
    return list(roots), list(keys)


async def _add_anonymous_of_shared(
    connection: psycopg.AsyncConnection[Any], snapshot: Snapshot, shared: Collection[Key]
) -> None:
    """Adds the anonymous profiles of strong identifiers that match nobody any more."""
    keys = list(shared)
    cursor = bulk_cursor(connection)
    await cursor.execute(_FOUND, (*_columns([]), *_columns([]), Bigints([]), *_columns(keys), Bigints([])))
    found: Mapping[Key, int] = snapshot.anonymous
    added: dict[Key, int] = dict(found)
    persons, people = dict(snapshot.persons), dict(snapshot.people)
    for kind, n, profile, _, _, root, created_at_us, identified in await cursor.fetchall():
        if kind != 2:
            continue
        persons[profile] = persons[root] = root
        people.setdefault(root, Person(created_at_us=created_at_us, identified=identified))
        if not identified:
            added[keys[n - 1]] = profile
    snapshot.anonymous, snapshot.persons, snapshot.people = added, persons, people


def _columns(keys: Sequence[Key]) -> tuple[Texts, Texts]:
    return Texts([key[0] for key in keys]), Texts([key[1] for key in keys])
