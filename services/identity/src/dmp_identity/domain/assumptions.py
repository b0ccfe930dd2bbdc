"""What the cache assumed when it attributed events."""

from __future__ import annotations

from dmp_identity.domain.parsed_identifier import Key


class Assumptions:
    """What was assumed when events without a strong identifier were attributed; it is checked before it counts.

    profiles_with: weak identifier -> how many profiles have it.
    anonymous: identifiers, each with a person who is still anonymous: the owner of its profile, or one who has it.
    apart: people who do not become one, nor identified.
    events: for each of the identifiers, the positions of the events that depend on it.
    """

    __slots__ = ("anonymous", "apart", "events", "profiles_with")

    def __init__(self) -> None:
        self.profiles_with: dict[Key, int] = {}
        self.anonymous: set[tuple[Key, int]] = set()
        self.apart: set[int] = set()
        self.events: dict[Key, list[int]] = {}

    def note(self, key: Key, position: int) -> None:
        """Notes that an event depends on what is known of an identifier."""
        self.events.setdefault(key, []).append(position)
