"""Leaves out the events of a batch that come after their person was erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from dmp_identity.adapters.erasure_digests import erased_keys
from dmp_identity.adapters.erasure_events import add_late_events
from dmp_identity.domain.parsed_identifier import Observation


async def leave_out_erased(
    connection: psycopg.AsyncConnection[Any], observations: Mapping[int, Observation], accepted_at_us: int
) -> list[int]:
    """The positions of the events of people who were not erased after the batch was accepted; the others are noted, to
    be cleaned in the log.

    An event is an erased person's if it shows a strong identifier of theirs, or none at all and a weak one of theirs
    that attributes.
    """
    keys = {
        key
        for observation in observations.values()
        for parsed in (*observation.strong, *observation.weak)
        for key in parsed.all_keys()
    }
    erased = await erased_keys(connection, list(keys), accepted_at_us)
    late: dict[str, str] = {}
    kept = []
    for position, observation in observations.items():
        shown = observation.strong or observation.weak
        erasure = next((erased[key] for parsed in shown for key in parsed.all_keys() if key in erased), None)
        if erasure is None:
            kept.append(position)
        else:
            late[observation.ref] = erasure
    await add_late_events(connection, late)
    return kept
