"""What `/identify` does: a request is a sighting of its values together, and the person's contacts are a view of the
graph.
"""

from __future__ import annotations

import msgspec

from dmp_identity.domain.contacts import ContactAnswer, ContactBook, ContactValues
from dmp_identity.domain.reading import Reading, Sighting
from dmp_identity.domain.resolve_sightings import SightingResolver


class ContactRequest(msgspec.Struct, frozen=True):
    """A request's values as the policy reads them; at least one is there."""

    email: Reading | None
    phone: Reading | None


def record_request(
    resolver: SightingResolver, book: ContactBook, sighting: Sighting, request: ContactRequest
) -> ContactAnswer:
    """Resolves the request's sighting, adds a contact row if there is something new, and answers as things stand then.

    Values that were not followed (blocked, shared, somebody else's) take no part, unless the request has no other.
    """
    graph = resolver.graph
    merges_before = resolver.merge_count
    profile = resolver.resolve(sighting)
    person = graph.person(profile)
    merge: int | None = None
    for position, edge in resolver.edges_since(merges_before):
        merge = position
        book.combine(edge.survivor, edge.merged)
    followed = [
        reading
        for reading in (request.email, request.phone)
        if reading is not None
        and reading.key not in graph.shared
        and reading.key in graph.owners
        and graph.person(graph.owners[reading.key]) == person
    ]
    if not followed:
        followed = [*sighting.strong, *sighting.flawed][:1]
    email = request.email if request.email in followed else None
    phone = request.phone if request.phone in followed else None
    book.settle(person)
    book.record(
        person,
        profile,
        ContactValues(
            email=None if email is None else email.shown,
            phone=None if phone is None else phone.shown,
        ),
        merge,
    )
    return book.answer(person)
