"""What undoing a merge leaves: which profiles belong together, and what their contacts look like, as if the merge
had never been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from dmp_identity.domain.contacts import Compared, ContactRow, KnownValue, age


class ActiveMerge(msgspec.Struct, frozen=True):
    """A merge that is in force: when, and the pairs of profiles it connects."""

    id: str
    merged_at: datetime
    edges: tuple[tuple[int, int], ...]


class ContactState(msgspec.Struct, frozen=True):
    """How a contact row is linked, and when that changed last."""

    linked_id: int | None
    updated_at: datetime


def components(members: Iterable[int], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The members in groups that the edges connect; groups and their members in the members' order."""
    parents = {member: member for member in members}

    def find(member: int) -> int:
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    for a, b in edges:
        parents[find(a)] = find(b)
    groups: dict[int, list[int]] = {}
    for member in parents:
        groups.setdefault(find(member), []).append(member)
    return list(groups.values())


def split_rows(
    rows: Iterable[ContactRow], known: Iterable[KnownValue], groups: Sequence[Sequence[int]], compared: Compared
) -> list[ContactRow]:
    """The rows that have to change because they show a value of another group: each as it has to be, without that
    value. A row whose values all are another group's goes to the profile that has the first of them.

    known: which profile has which value. A value that nobody has stays where it is.
    """
    group_of = {profile: number for number, group in enumerate(groups) for profile in group}
    owners = {(value.type, compared(value.type, value.shown)): value.profile for value in known}
    changed = []
    for row in rows:
        places: dict[str, int] = {}
        for kind, shown in (("email", row.email), ("phone", row.phone)):
            if shown is not None:
                places[kind] = owners.get((kind, compared(kind, shown)), row.profile)
        own = group_of[row.profile]
        profile = row.profile
        if places and all(group_of[place] != own for place in places.values()):
            profile = next(iter(places.values()))
        kept = {kind for kind, place in places.items() if group_of[place] == group_of[profile]}
        if len(kept) < len(places) or profile != row.profile:
            email = row.email if "email" in kept else None
            phone = row.phone if "phone" in kept else None
            changed.append(msgspec.structs.replace(row, profile=profile, email=email, phone=phone))
    return changed


def contact_states(
    rows: Sequence[ContactRow], merges: Sequence[ActiveMerge], made_by: Mapping[int, str]
) -> dict[int, ContactState]:
    """The state of every row after these merges and no others, in their order of time.

    `made_by`: row -> the merge whose own request made it; it came after the people had become one.
    """
    clusters = {row.profile: [row.profile] for row in rows}
    clusters.update({profile: [profile] for merge in merges for edge in merge.edges for profile in edge})
    of_profile: dict[int, list[ContactRow]] = {}
    for row in rows:
        of_profile.setdefault(row.profile, []).append(row)
    touched: dict[int, datetime] = {}

    def present(cluster: list[int], merge: ActiveMerge) -> list[ContactRow]:
        return [
            row
            for profile in cluster
            for row in of_profile.get(profile, ())
            if row.created_at <= merge.merged_at and made_by.get(row.id) != merge.id
        ]

    for merge in sorted(merges, key=lambda merge: (merge.merged_at, merge.id)):
        for a, b in merge.edges:
            if clusters[a] is clusters[b]:
                continue
            first, second = (sorted(present(clusters[profile], merge), key=age) for profile in (a, b))
            if first and second:
                stays, moves = (first, second) if age(first[0]) < age(second[0]) else (second, first)
                for row in (stays[0], *moves):
                    touched[row.id] = max(merge.merged_at, touched.get(row.id, row.created_at))
            joined = clusters[a] + clusters[b]
            clusters.update(dict.fromkeys(joined, joined))
    states: dict[int, ContactState] = {}
    for cluster in {id(cluster): cluster for cluster in clusters.values()}.values():
        ordered = sorted((row for profile in cluster for row in of_profile.get(profile, ())), key=age)
        for position, row in enumerate(ordered):
            states[row.id] = ContactState(
                linked_id=ordered[0].id if position else None,
                updated_at=max(row.created_at, touched.get(row.id, row.created_at)),
            )
    return states
