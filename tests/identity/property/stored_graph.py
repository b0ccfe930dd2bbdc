"""What is stored, in the words of the model, and that it is what the model has."""

from __future__ import annotations

from typing import Any

import psycopg

from dmp_identity.domain.profile_id import public_id
from tests.identity.invariants import check_invariants
from tests.identity.property.graph_model import Key
from tests.identity.property.model import Merge, Model, Profile

_KEPT = {"action", "alembic_version", "graph_version", "key_rules", "erasure_salt"}
# Where identifiers are named; erasing leaves none of the person's.
_NAMING = (
    ("identifier", "type", "value"),
    ("identifier", "via_type", "via_value"),
    ("identifier_pair", "type_a", "value_a"),
    ("identifier_pair", "type_b", "value_b"),
    ("merge_edge", "type_a", "value_a"),
    ("merge_edge", "type_b", "value_b"),
    ("anonymous_profile", "type", "value"),
    ("review", "type", "value"),
    ("former_identifier", "type", "value"),
)


class StoredGraph:
    """Reads the database, and knows which stored profile each of the model's is: both are made in the same order."""

    def __init__(self, database: psycopg.Connection[Any], model: Model) -> None:
        self._database = database
        self._model = model
        self._numbers: dict[int, int] = {}

    def clear(self) -> None:
        """Forgets everything."""
        for (table,) in self.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"):
            if table not in _KEPT:
                self.rows(f"DELETE FROM {table} RETURNING 1")  # noqa: S608  # no input in it

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        return self._database.execute(statement.encode()).fetchall()

    def number(self, profile: Profile) -> int:
        """The stored id of the model's profile."""
        return self._numbers[profile.number]

    def public_id(self, profile: Profile) -> str:
        """The public id of the model's profile."""
        return public_id(self.number(profile))

    def merge_id(self, merge: Merge) -> str:
        """The stored id of the model's merge, found by its edges."""
        edges = {frozenset((self.number(edge.a), self.number(edge.b))) for edge in merge.edges}
        stored: dict[str, set[frozenset[int]]] = {}
        for merge_id, a, b in self.rows(
            "SELECT m.id::text, e.profile_a, e.profile_b FROM merge m JOIN merge_edge e ON e.merge_id = m.id"
            " WHERE m.undone_at_us IS NULL"
        ):
            stored.setdefault(merge_id, set()).add(frozenset((a, b)))
        return next(merge_id for merge_id, found in stored.items() if found == edges)

    def compare(self) -> None:
        """Everything that is stored is what the model has, and nothing else."""
        model = self._model
        persons = check_invariants(self.rows)
        ids = sorted(persons)
        ordered = sorted(model.profiles, key=lambda profile: profile.number)
        assert len(ids) == len(ordered)
        self._numbers = {profile.number: number for profile, number in zip(ordered, ids, strict=True)}
        strong = self._sets("SELECT profile_id, type, value FROM identifier")
        weak = self._sets("SELECT profile_id, type, value FROM weak_link")
        events = self._sets("SELECT profile_id, event_id FROM timeline_entry")
        for profile in ordered:
            number = self.number(profile)
            assert persons[number] == self.number(model.oldest(model.person(profile)))
            assert strong.get(number, set()) == profile.strong
            assert weak.get(number, set()) == profile.weak
            assert {row[0] for row in events.get(number, set())} == profile.events
        kept = self.rows("SELECT profile_a, profile_b FROM never_merge WHERE removed_at_us IS NULL")
        apart = [sorted(map(self.number, pair)) for pair in model.apart]
        assert sorted(map(sorted, kept)) == sorted(apart)
        shared = {
            (row[0], row[1]) for row in self.rows("SELECT type, value FROM identifier WHERE shared_at_us IS NOT NULL")
        }
        assert shared == model.shared
        refused = {(row[0], (row[1], row[2]), row[3]) for row in self.rows("SELECT * FROM review")}
        assert {(rule, key, self.number(profile)) for rule, key, profile in model.set_aside} <= refused
        self._compare_contacts(persons)

    def _compare_contacts(self, persons: dict[int, int]) -> None:
        rows = self.rows('SELECT profile_id, email, "phoneNumber" FROM contact WHERE "deletedAt" IS NULL ORDER BY id')
        for person in self._model.people():
            oldest = self.number(self._model.oldest(person))
            found = [(row[1], row[2]) for row in rows if persons[row[0]] == oldest]
            assert found == [(row.email, row.phone) for row in self._model.contacts(person)]

    def assert_nothing_names(self, gone: set[Key]) -> None:
        """None of these identifiers is named anywhere any more."""
        for table, kind, value in _NAMING:
            named = set(self.rows(f"SELECT {kind}, {value} FROM {table}"))  # noqa: S608  # no input in it
            assert named.isdisjoint(gone), table

    def _sets(self, statement: str) -> dict[int, set[tuple[str, ...]]]:
        found: dict[int, set[tuple[str, ...]]] = {}
        for first, *rest in self.rows(statement):
            found.setdefault(first, set()).add(tuple(rest))
        return found
