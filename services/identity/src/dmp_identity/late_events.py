"""Leaves out the events of a batch that come after their person was erased."""

from __future__ import annotations

from typing import Any

import psycopg

from dmp_identity.adapters.erasure_digests import erased_keys
from dmp_identity.adapters.erasure_events import add_late_events
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.identifier_parser import IdentifierParser


async def kept_events(
    connection: psycopg.AsyncConnection[Any], parser: IdentifierParser, batch: EventBatch, last_erasure_us: int
) -> list[int]:
    """The positions of the events that show an identifier, without those of people who were erased after the batch was
    accepted. The events left out are noted, to be cleaned in the log.

    An event is an erased person's if it shows a strong identifier of theirs, or none at all and a weak one of theirs
    that attributes. last_erasure_us: when a person was erased last, in microseconds since 1970.
    """
    showing = [position for position, identifiers in enumerate(batch.identifiers) if identifiers]
    if last_erasure_us <= batch.accepted_at_us:
        return showing
    observations = parser.observations(batch, showing)
    keys = {
        key
        for observation in observations
        for parsed in (*observation.strong, *observation.weak)
        for key in parsed.all_keys()
    }
    erased = await erased_keys(connection, list(keys), batch.accepted_at_us)
    late: dict[str, str] = {}
    kept = []
    for position, observation in zip(showing, observations, strict=True):
        shown = observation.strong or observation.weak
        erasure = next((erased[key] for parsed in shown for key in parsed.all_keys() if key in erased), None)
        if erasure is None:
            kept.append(position)
        else:
            late[observation.ref] = erasure
    await add_late_events(connection, late)
    return kept
