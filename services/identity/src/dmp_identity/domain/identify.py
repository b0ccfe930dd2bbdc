"""What `/identify` does: a request is an observation of its values; the person's contacts are a view of the graph."""

from __future__ import annotations

import msgspec

from dmp_identity.domain.contacts import ContactAnswer, ContactBook, ContactValues
from dmp_identity.domain.parsed_identifier import Observation, ParsedIdentifier
from dmp_identity.domain.resolve_observations import ObservationResolver


class ContactRequest(msgspec.Struct, frozen=True):
    """A request's values as the policy reads them; at least one is there."""

    email: ParsedIdentifier | None
    phone: ParsedIdentifier | None


def record_request(
    resolver: ObservationResolver, book: ContactBook, observation: Observation, request: ContactRequest
) -> ContactAnswer:
    """Resolves the request's observation, adds a contact row if there is something new, and answers as things stand
    then.

    Values that were not followed (blocked, shared, somebody else's) take no part, unless the request has no other.
    """
    graph = resolver.graph
    merges_before = resolver.merge_count
    profile = resolver.resolve(observation)
    person = graph.person(profile)
    merge: int | None = None
    for position, edge in resolver.edges_since(merges_before):
        merge = position
        book.combine(edge.survivor, edge.merged)
    followed = [
        parsed
        for parsed in (request.email, request.phone)
        if parsed is not None
        and parsed.key not in graph.shared
        and parsed.key in graph.owners
        and graph.person(graph.owners[parsed.key]) == person
    ]
    if not followed:
        followed = [*observation.strong, *observation.refused][:1]
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
