"""The last rejected events, by kind: what the announcements of ingest say about them, newest first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

OTHER: Final = "other"
REASONS: Final = (
    "missing", "contradictory", "unknown_value", "not_a_time", "far_from_now", "wrong_type", "not_text", "too_large",
    "too_deep", "other_format", OTHER,
)  # fmt: skip
"""Why an event may be rejected. One that is not listed, of a newer ingest, is shown as `OTHER`."""
MOST_SHOWN: Final = 20
_MOST_KINDS: Final = 1_000
_MOST_IDS: Final = 1_000
_SECONDS: Final = 60
_LARGEST_COUNT: Final = 2**31 - 1
_NAME: Final = re.compile(r"[a-z_]{1,32}").fullmatch


class RejectionKind(NamedTuple):
    """What rejected events have in common."""

    form: str
    """`campaign`, `activity`, `identified` or `other`."""
    field: str
    """The field that was wrong; `identifiers` for each identifier, `event` for the whole, else `other`."""
    reason: str
    """One of `REASONS`."""


@dataclass(frozen=True, slots=True)
class LastRejection:
    """When events of one kind were last rejected."""

    kind: RejectionKind
    at: float
    """The last time, in seconds since 1970."""
    events: int
    """How many were in the minute of that time."""


class LastRejections:
    """Remembers of each kind when it was last seen. Bounded, as kinds are few; the oldest go first, if they are not.

    An announcement that is read twice counts once, unless a thousand others lie between.
    """

    def __init__(self) -> None:
        self._last: dict[RejectionKind, LastRejection] = {}
        self._seen: dict[str, None] = {}

    def take_in(self, announcement: str, at: float, kinds: object) -> None:
        """Takes in an announcement with this id. kinds: what is in its payload; anything that is not as it should be
        is passed over.
        """
        if announcement in self._seen or not isinstance(kinds, list):
            return
        self._seen[announcement] = None
        if len(self._seen) > _MOST_IDS:
            del self._seen[next(iter(self._seen))]
        for each in kinds[:MOST_SHOWN]:
            if isinstance(each, dict) and isinstance(count := each.get("count"), int) and count > 0:
                self._add(_kind_of(each), at, count)

    def newest(self) -> list[LastRejection]:
        """Up to `MOST_SHOWN` kinds, the one that was seen last first."""
        return sorted(self._last.values(), key=lambda last: (-last.at, last.kind))[:MOST_SHOWN]

    def _add(self, kind: RejectionKind, at: float, count: int) -> None:
        known = self._last.pop(kind, None)
        if known is not None and at // _SECONDS == known.at // _SECONDS:
            count, at = count + known.events, max(at, known.at)
        elif known is not None and at < known.at:
            count, at = known.events, known.at
        elif len(self._last) >= _MOST_KINDS:
            del self._last[min(self._last.values(), key=lambda last: last.at).kind]
        self._last[kind] = LastRejection(kind, at, min(count, _LARGEST_COUNT))


def _kind_of(each: dict[str, Any]) -> RejectionKind:
    form, field, reason = (each.get(name) for name in RejectionKind._fields)
    return RejectionKind(_name(form), _name(field), reason if reason in REASONS else OTHER)


def _name(value: object) -> str:
    return value if isinstance(value, str) and _NAME(value) else OTHER
