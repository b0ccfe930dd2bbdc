"""Writes plans: new profiles and identifiers, merges, refusals. Everything goes in sets, no statement is per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, bulk_cursor, copy_rows, escaped
from dmp_identity.adapters.merge_store import move_to_roots, store_merges
from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier
from dmp_identity.domain.plan import NewLink, Plan, Refusal

_PROFILE: Final = b"""
INSERT INTO profile (id, root_id, created_at_us, identified)
SELECT n.id, n.root_id, n.created_at_us, n.identified <> 0
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) AS n (id, root_id, created_at_us, identified)
"""

_LINK: Final = b"""
INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal, shown, rules)
SELECT k.type, k.value, k.profile_id, %s, k.n, nullif(k.shown, k.value), k.rules
FROM unnest(%s::text[], %s::text[], %b::bigint[], %s::text[], %b::bigint[])
  WITH ORDINALITY AS k (type, value, profile_id, shown, rules, n)
ORDER BY k.type, k.value, k.profile_id
ON CONFLICT DO NOTHING
"""

_ANONYMOUS: Final = b"""
INSERT INTO anonymous_profile (type, value, profile_id)
SELECT k.type, k.value, k.profile_id FROM unnest(%s::text[], %s::text[], %b::bigint[]) AS k (type, value, profile_id)
ORDER BY k.type, k.value
ON CONFLICT (type, value) DO UPDATE SET profile_id = excluded.profile_id
"""

_SHARE: Final = b"""
UPDATE identifier i SET shared_at_us = %s
FROM unnest(%s::text[], %s::text[]) AS k (type, value)
WHERE i.type = k.type AND i.value = k.value AND i.shared_at_us IS NULL
"""

_PAIR: Final = b"""
INSERT INTO identifier_pair (type_a, value_a, type_b, value_b, cause, ref, source, at_us)
SELECT k.type_a, k.value_a, k.type_b, k.value_b, k.cause, k.ref, k.source, %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
  AS k (type_a, value_a, type_b, value_b, cause, ref, source)
ON CONFLICT DO NOTHING
"""

_REVIEW: Final = b"""
INSERT INTO review (rule, type, value, profile_id, other_profile_id, times, first_at_us, last_at_us, ref, source)
SELECT k.rule, k.type, k.value, k.profile_id, k.other, k.times, %s, %s, k.ref, k.source
FROM unnest(%s::text[], %s::text[], %s::text[], %b::bigint[], %b::bigint[], %b::bigint[], %s::text[], %s::text[])
  AS k (rule, type, value, profile_id, other, times, ref, source)
ORDER BY k.rule, k.type, k.value, k.profile_id, k.other
ON CONFLICT (rule, type, value, profile_id, other_profile_id) DO UPDATE SET
  times = review.times + excluded.times,
  first_at_us = least(review.first_at_us, excluded.first_at_us),
  last_at_us = greatest(review.last_at_us, excluded.last_at_us),
  ref = excluded.ref,
  source = excluded.source
"""


async def allocate_profiles(connection: psycopg.AsyncConnection[Any], count: int) -> list[int]:
    """New profile ids, ascending."""
    if not count:
        return []
    cursor = await connection.execute("SELECT nextval('profile_ids') FROM generate_series(1, %s)", (count,))
    return sorted(row[0] for row in await cursor.fetchall())


async def write_links(
    connection: psycopg.AsyncConnection[Any], places: Sequence[tuple[ParsedIdentifier, int]], *, now_us: int
) -> None:
    """Weak identifiers of profiles, all at once and in one order; those that are there already stay as they are."""
    if places:
        await bulk_cursor(connection).execute(
            _LINK,
            (
                now_us,
                *_columns([parsed.key for parsed, _ in places]),
                Bigints([profile for _, profile in places]),
                Texts([parsed.shown for parsed, _ in places]),
                Bigints([parsed.rules for parsed, _ in places]),
            ),
        )


class PlanWriter:
    """Writes one plan.

    ids: the stored ids of the plan's new profiles -1, -2, … in this order, as `allocate_profiles` gave them.
    """

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], plan: Plan, ids: Sequence[int], *, now_us: int
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._ids = ids
        self._now_us = now_us

    def real(self, profile: int) -> int:
        """The id under which a profile of the plan is stored."""
        return profile if profile >= 0 else self._ids[-1 - profile]

    async def write_graph(self, merge_ids: Sequence[str]) -> None:
        """Everything but links, pairs and refusals. `merge_ids`: one for each merge of the plan."""
        plan, real = self._plan, self.real
        cursor = bulk_cursor(self._connection)
        if plan.profiles:
            await cursor.execute(
                _PROFILE,
                (
                    Bigints([real(profile.id) for profile in plan.profiles]),
                    Bigints([real(plan.persons[profile.id]) for profile in plan.profiles]),
                    Bigints([profile.created_at_us for profile in plan.profiles]),
                    Bigints([profile.identified for profile in plan.profiles]),
                ),
            )
        await copy_rows(
            cursor,
            "identifier (type, value, profile_id, first_seen_at_us, ordinal, shown, cause, ref, source,"
            " via_type, via_value, rules)",
            self._identifier_rows(),
        )
        if plan.absorbed:
            await move_to_roots(self._connection, {old: real(new) for old, new in plan.absorbed.items()})
        if plan.identified:
            await cursor.execute(
                b"UPDATE profile SET identified = true WHERE id = ANY(%b)", (Bigints(sorted(plan.identified)),)
            )
        if plan.anonymous:
            keys = list(plan.anonymous)
            await cursor.execute(_ANONYMOUS, (*_columns(keys), Bigints([real(plan.anonymous[key]) for key in keys])))
        if plan.shared:
            await cursor.execute(_SHARE, (self._now_us, *_columns(plan.shared)))
        if plan.merges:
            merges = dict(zip(merge_ids, plan.merges, strict=True))
            await store_merges(self._connection, merges, real, now_us=self._now_us)

    async def write_links(self, weak: Iterable[NewLink], already_attributed: Iterable[NewLink]) -> None:
        """The plan's links, its unchecked links as far as they are given, and links to profiles that exist."""
        places = [(link.parsed, self.real(link.profile)) for link in (*self._plan.links, *weak)]
        places += [(link.parsed, link.profile) for link in already_attributed]
        await write_links(self._connection, places, now_us=self._now_us)

    async def write_pairs(self, pairs: Mapping[tuple[Key, Key], Observation]) -> None:
        """Identifiers that were seen together; of those that are there already the first observation stays."""
        if pairs:
            ordered = sorted(pairs)
            observations = [pairs[pair] for pair in ordered]
            await bulk_cursor(self._connection).execute(
                _PAIR,
                (
                    self._now_us,
                    *_columns([pair[0] for pair in ordered]),
                    *_columns([pair[1] for pair in ordered]),
                    Texts([observation.cause for observation in observations]),
                    Texts([observation.ref for observation in observations]),
                    Texts([observation.source for observation in observations]),
                ),
            )

    async def write_refusals(self) -> None:
        """Counts the refusals, each kind of evidence once."""
        grouped: dict[tuple[str, Key, int, int], list[Refusal]] = {}
        for refusal in self._plan.refusals:
            place = (refusal.rule.value, refusal.key, self.real(refusal.profile), self.real(refusal.other))
            grouped.setdefault(place, []).append(refusal)
        if not grouped:
            return
        last = [refusals[-1] for refusals in grouped.values()]
        await bulk_cursor(self._connection).execute(
            _REVIEW,
            (
                self._now_us,
                self._now_us,
                Texts([place[0] for place in grouped]),
                *_columns([place[1] for place in grouped]),
                Bigints([place[2] for place in grouped]),
                Bigints([place[3] for place in grouped]),
                Bigints([len(refusals) for refusals in grouped.values()]),
                Texts([refusal.ref for refusal in last]),
                Texts([refusal.source for refusal in last]),
            ),
        )

    def _identifier_rows(self) -> list[str]:
        now_us, real = self._now_us, self.real
        rows = []
        for ordinal, new in enumerate(self._plan.identifiers):
            key, via, observation = new.parsed.key, new.via, new.observation
            shown = "\\N" if new.parsed.shown == key[1] else escaped(new.parsed.shown)
            origin = "\\N\t\\N" if via is None else f"{via[0]}\t{escaped(via[1])}"
            rows.append(
                f"{key[0]}\t{escaped(key[1])}\t{real(new.profile)}\t{now_us}\t{ordinal}\t{shown}\t"
                f"{observation.cause}\t{escaped(observation.ref)}\t{escaped(observation.source)}\t{origin}\t"
                f"{new.parsed.rules}"
            )
        return rows


def _columns(keys: Sequence[Key]) -> tuple[Texts, Texts]:
    return Texts([key[0] for key in keys]), Texts([key[1] for key in keys])


def real_persons(plan: Plan, writer: PlanWriter, persons: Mapping[int, int]) -> dict[int, int]:
    """Profile -> person after the plan, with the ids under which both are stored."""
    after = {profile: plan.absorbed.get(root, root) for profile, root in persons.items()} | plan.persons
    return {writer.real(profile): writer.real(root) for profile, root in after.items()}
