"""What the cache assumed when it attributed events."""

from __future__ import annotations

from dmp_identity.domain.parsed_identifier import Key


class Assumptions:
    """What the cache assumed when it attributed events that show nothing strong. The database is asked whether it still
    holds before the answers count.

    profiles_with: weak identifier -> how many profiles have it. It is wrong if one more has it now.
    anonymous: pairs of an identifier and a person who has it. It is wrong if that person is identified now.
    apart: people who must not become one, nor identified, in the same transaction.
    events: identifier -> the positions of the events whose answers depend on it.
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
