"""Sums up rejected events for whoever must not see what was sent: by form, field and reason, in words of closed lists.

A form is told by the time field of an event, a field is one that an event may have, a reason is the kind of what is
wrong with it. No text of a caller is in it, not the names of unknown fields either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from dmp_ingest.domain.event import AcceptableEvent, ForeignEvent, RejectedEvent, SubmittedEvent, UnreadableEvent

CAMPAIGN: Final = "campaign"
ACTIVITY: Final = "activity"
IDENTIFIED: Final = "identified"
OTHER: Final = "other"
"""Of a form: an event with no time or with several, or one that could not be read. Of a field: no event has it."""
NAMED_FIELDS: Final = (
    "event", "event_id", "type", "event_type", "source", "occurred_at", "ts", "timestamp", "campaign_id",
    "creative_id", "user_id", "identifiers", "metadata", OTHER,
)  # fmt: skip
"""`event` stands for the event as a whole, `identifiers` for each of them."""
REASON_OF: Final = {
    "is required": "missing",
    "is missing": "missing",
    "at least one value is required": "missing",
    "is one time too many": "contradictory",
    "type and event_type are one field": "contradictory",
    "must be one of": "unknown_value",
    "is not a known identifier": "unknown_value",
    "must be an RFC 3339 time": "not_a_time",
    "must be a number of Unix seconds": "not_a_time",
    "must lie between the years": "not_a_time",
    "must be within": "far_from_now",
    "must not be more than": "far_from_now",
    "must be text": "wrong_type",
    "must be a number": "wrong_type",
    "must be an object": "wrong_type",
    "must be a JSON object": "wrong_type",
    "must be valid text": "not_text",
    "has a field whose name is not valid text": "not_text",
    "has a name that is not valid text": "not_text",
    "must have at most": "too_large",
    "must not be nested deeper": "too_deep",
    "is a field of CloudEvents": "other_format",
    "": OTHER,
}
"""How sentences about a field begin, and the reason that they give. The first that fits counts."""
REASONS: Final = tuple(dict.fromkeys(REASON_OF.values()))
_LONGEST_BEGINNING: Final = max(map(len, REASON_OF))
_MOST_FIELDS: Final = 3
"""Of one event so many fields are summed up, those that were named first."""

ReadEvent: TypeAlias = SubmittedEvent | ForeignEvent | UnreadableEvent | RejectedEvent


class RejectionKind(NamedTuple):
    """What rejected events have in common."""

    form: str
    """`CAMPAIGN`, `ACTIVITY`, `IDENTIFIED` or `OTHER`."""
    field: str
    """One of `NAMED_FIELDS`."""
    reason: str
    """One of `REASONS`."""


@dataclass(frozen=True, slots=True)
class Rejections:
    """Rejected events."""

    count: int = 0
    """How many they are."""
    kinds: Mapping[RejectionKind, int] = field(default_factory=dict)
    """How many of them are of each kind. An event with several wrong fields is of several kinds."""

    def commonest(self, most: int) -> list[tuple[RejectionKind, int]]:
        """Up to so many kinds, those of most events first."""
        return sorted(self.kinds.items(), key=lambda item: (-item[1], item[0]))[:most]


NO_REJECTIONS: Final = Rejections()


def form_of(event: ReadEvent) -> str:
    """The form of an event, by its time field; `OTHER` if it has none or several."""
    if isinstance(event, RejectedEvent):
        return OTHER
    submitted = event if isinstance(event, SubmittedEvent) else event.readable
    if submitted.occurred_at is not None:
        return CAMPAIGN if submitted.ts is None and submitted.timestamp is None else OTHER
    if submitted.ts is not None:
        return ACTIVITY if submitted.timestamp is None else OTHER
    return IDENTIFIED if submitted.timestamp is not None else OTHER


def named_field(path: str) -> str:
    """The one of `NAMED_FIELDS` that the path of a field belongs to: `identifiers` for `identifiers.email`."""
    name = path.partition(".")[0]
    return name if name in NAMED_FIELDS else OTHER


def reason_of(problem: str) -> str:
    """The reason that a sentence about a field gives. Nothing of the sentence is in it."""
    return _reason_by(problem[:_LONGEST_BEGINNING])


@lru_cache(maxsize=128)
def _reason_by(beginning: str) -> str:
    return next(reason for words, reason in REASON_OF.items() if beginning.startswith(words))


def rejections_of(read: Sequence[ReadEvent], judged: Sequence[AcceptableEvent | RejectedEvent]) -> Rejections:
    """Sums up the rejected ones among these events: how each was read, and what was decided about it, in order.

    Costs two microseconds for an event: many have the same problems, and each set of problems is looked at once.
    """
    alike = Counter(
        (form_of(event), tuple((path, said[0]) for path, said in islice(outcome.errors.items(), _MOST_FIELDS)))
        for event, outcome in zip(read, judged, strict=True)
        if isinstance(outcome, RejectedEvent)
    )
    kinds: Counter[RejectionKind] = Counter()
    for (form, problems), count in alike.items():
        for kind in {RejectionKind(form, named_field(path), reason_of(problem)) for path, problem in problems}:
            kinds[kind] += count
    return Rejections(alike.total(), kinds)


def sum_of(all_of_them: Sequence[Rejections]) -> Rejections:
    """All of them together."""
    if not all_of_them:
        return NO_REJECTIONS
    kinds: Counter[RejectionKind] = Counter()
    for rejections in all_of_them:
        kinds.update(rejections.kinds)
    return Rejections(sum(rejections.count for rejections in all_of_them), kinds)
