"""Attributes the events of a batch from the cache, as far as the database does not contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from dmp_identity.adapters.graph_check import changed_keys
from dmp_identity.decide_plan import AlreadyAttributed
from dmp_identity.domain.cached_attribution import CachedAttribution
from dmp_identity.domain.graph_cache import GraphCache
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.snapshot import GraphVersion


async def attribute_from_cache(
    connection: psycopg.AsyncConnection[Any],
    cache: GraphCache,
    version: GraphVersion,
    identifiers: Sequence[list[ParsedIdentifier]],
    kept: Sequence[int],
) -> AlreadyAttributed | None:
    """What the cache attributes of the events at the positions in `kept`; None if it attributes nothing.

    version: the graph's, which the cache follows. identifiers: of every event of the batch.

    Some answers assume which profiles have a weak identifier, and that these are anonymous. One statement asks the
    database whether that still holds; where it does not, the answer is withdrawn.
    """
    attribution = CachedAttribution(cache, identifiers, kept)
    if attribution.assumptions.events:
        attribution.withdraw(await changed_keys(connection, attribution.assumptions, version))
    if not attribution.attributed:
        return None
    return AlreadyAttributed(
        version=version,
        profiles={position: profile.id for position, profile in attribution.attributed.items()},
        persons=attribution.persons,
        links=attribution.links(),
        apart=attribution.assumptions.apart,
    )
