"""What the log accepts: known types, identifiers, clocks and limits. A deployment's choice, read from a file (see
`policy.toml`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COUNTS_AS: Final = {"impression": 1, "click": 2}
"""What statistics can count an event as, and the number that stands for it in an accepted batch; 0 is nothing."""


class PolicyError(ValueError):
    """The policy contradicts itself; the message names the entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """The rules that a deployment chooses. Times are in microseconds, sizes in bytes."""

    counts_as: dict[str, int]
    """For each known type what statistics count it as (see `COUNTS_AS`), 0 for nothing. Any other type is invalid."""
    identifier_names: dict[str, str]
    """Every accepted name of an identifier type, and the type that it stands for."""
    identifier_lengths: dict[str, int]
    """The largest number of characters of a value, by type of identifier."""
    text_only_identifiers: frozenset[str]
    """The types of identifiers whose value may not be a JSON number."""
    max_ahead_us: int
    """How far a campaign or identified event may lie ahead of the server's clock."""
    max_activity_skew_us: int
    """How far an activity event may lie from the server's clock, before or after."""
    max_events_per_request: int
    max_body_bytes: int
    max_metadata_bytes: int
    max_metadata_depth: int
    flag_unfilled_macros: bool
    """Whether answers warn of a campaign, creative or source that is a macro which nobody filled."""


def event_policy(  # one parameter for each entry of the file: a caller that leaves one out does not pass the types
    *,
    known_types: list[str],
    types_by_count: dict[str, list[str]],
    identifier_lengths: dict[str, int],
    identifier_aliases: dict[str, str],
    text_only_identifiers: list[str],
    max_ahead_seconds: int,
    max_activity_skew_seconds: int,
    max_events_per_request: int,
    max_body_bytes: int,
    max_metadata_bytes: int,
    max_metadata_depth: int,
    flag_unfilled_macros: bool,
) -> EventPolicy:
    """The policy that these choices make. Raises PolicyError if they contradict each other."""
    counts_as = dict.fromkeys(known_types, 0)
    for name, types in types_by_count.items():
        if name not in COUNTS_AS:
            raise PolicyError(f"event_types.counts_as.{name}: statistics count {' and '.join(COUNTS_AS)} only")
        for event_type in types:
            if counts_as.get(event_type) != 0:
                raise PolicyError(
                    f"event_types.counts_as.{name}: {event_type} is unknown or counts as something else already"
                )
            counts_as[event_type] = COUNTS_AS[name]
    for alias, target in identifier_aliases.items():
        if target not in identifier_lengths or alias in identifier_lengths:
            raise PolicyError(
                f"identifiers.aliases.{alias}: must be a new name for one of {', '.join(identifier_lengths)}"
            )
    if "user_id" not in identifier_lengths:
        raise PolicyError("identifiers.max_length: user_id must be there, an event's own user id is one")
    for name in text_only_identifiers:
        if name not in identifier_lengths:
            raise PolicyError(f"identifiers.text_only: {name} is not a known type")
    return EventPolicy(
        counts_as=counts_as,
        identifier_names={name: name for name in identifier_lengths} | identifier_aliases,
        identifier_lengths=identifier_lengths,
        text_only_identifiers=frozenset(text_only_identifiers),
        max_ahead_us=max_ahead_seconds * 1_000_000,
        max_activity_skew_us=max_activity_skew_seconds * 1_000_000,
        max_events_per_request=max_events_per_request,
        max_body_bytes=max_body_bytes,
        max_metadata_bytes=max_metadata_bytes,
        max_metadata_depth=max_metadata_depth,
        flag_unfilled_macros=flag_unfilled_macros,
    )
