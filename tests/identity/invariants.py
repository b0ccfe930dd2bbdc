"""What must be true of the stored graph at any time, whoever did what in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmp_identity.domain.undo_merge import components

Rows = Callable[[str], list[tuple[Any, ...]]]


def check_invariants(rows: Rows) -> dict[int, int]:
    """Checks profiles, merges, never-merges, contacts and references; returns profile -> person."""
    profiles = {row[0]: row[1:] for row in rows("SELECT id, root_id, created_at_us, identified FROM profile")}
    edges = rows(
        "SELECT e.profile_a, e.profile_b FROM merge_edge e JOIN merge m ON m.id = e.merge_id"
        " WHERE m.undone_at_us IS NULL"
    )
    identified = {row[0] for row in rows("SELECT DISTINCT profile_id FROM identifier")}
    persons: dict[int, int] = {}
    for group in components(sorted(profiles), [(a, b) for a, b in edges]):
        oldest = min(group, key=lambda profile: (profiles[profile][1], profile))
        for profile in group:
            assert profiles[profile][0] == oldest, f"{profile} answers with {profiles[profile][0]}, not {oldest}"
            persons[profile] = oldest
        assert profiles[oldest][2] == any(profile in identified for profile in group), f"identified of {oldest}"
    for a, b in rows("SELECT profile_a, profile_b FROM never_merge WHERE removed_at_us IS NULL"):
        assert persons[a] != persons[b], f"{a} and {b} were to be kept apart"
    _check_contacts(rows, persons)
    for table in ("identifier", "weak_link", "anonymous_profile", "timeline_entry", "contact"):
        orphans = rows(
            f"SELECT count(*) FROM {table} WHERE profile_id NOT IN (SELECT id FROM profile)"  # noqa: S608
        )
        assert orphans == [(0,)], table
    return persons


def _check_contacts(rows: Rows, persons: dict[int, int]) -> None:
    by_person: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows(
        'SELECT profile_id, "createdAt", id, "linkedId" FROM contact WHERE "deletedAt" IS NULL ORDER BY "createdAt", id'
    ):
        by_person.setdefault(persons[row[0]], []).append(row)
    for of_person in by_person.values():
        primary = of_person[0][2]
        assert [row[3] for row in of_person] == [None] + [primary] * (len(of_person) - 1)
