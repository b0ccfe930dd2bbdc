"""Counts what became of the events of a request, once for the request and not for each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from dmp_chassis.metrics import Metrics
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.event import RejectedEvent
from dmp_ingest.domain.rejections import ACTIVITY, CAMPAIGN, IDENTIFIED, OTHER, ReadEvent, form_of, named_field
from dmp_ingest.metrics import EVENTS, REJECTED_FIELDS
from dmp_ingest.publish_events import Outcome, Published, PublishEvents

_READ: Final = {
    CAMPAIGN: attrgetter("occurred_at"),
    ACTIVITY: attrgetter("ts"),
    IDENTIFIED: attrgetter("timestamp"),
}
_VERDICTS: Final = {Verdict.ACCEPTED: "accepted", Verdict.DUPLICATE: "duplicate", Verdict.CONFLICT: "conflict"}


def count_published(request: PublishEvents, published: Published, transport: str, *, metrics: Metrics) -> None:
    """Counts the events of an answered request.

    The usual request has events of one form, all accepted: a pass in C over its events. Any other is looked at event by
    event.
    """
    form = _only_form(request.events)
    if form is not None and published.accepted == len(request.events):
        metrics.add(EVENTS, published.accepted, "accepted", form, transport)
        return
    if form is None or published.rejected:
        forms = [form_of(event) for event in request.events]
    else:
        forms = [form] * len(request.events)
    for (verdict, of), count in Counter(zip(map(_verdict, published.outcomes), forms, strict=True)).items():
        metrics.add(EVENTS, count, verdict, of, transport)
    if published.rejected:
        for field, count in Counter(_rejected_fields(published.outcomes)).items():
            metrics.add(REJECTED_FIELDS, count, field)


def _only_form(events: Sequence[ReadEvent]) -> str | None:
    """The form of all events, None if they have several or one of them could not be read."""
    form = form_of(events[0]) if events else OTHER
    if len(events) == 1:
        return form
    read = _READ.get(form)
    if read is None:
        return None
    try:
        return form if None not in map(read, events) else None
    except AttributeError:
        return None


def _verdict(outcome: Outcome) -> str:
    return "rejected" if isinstance(outcome, RejectedEvent) else _VERDICTS[outcome.verdict]


def _rejected_fields(outcomes: Sequence[Outcome]) -> list[str]:
    """The fields that are named, `identifiers` for each identifier. Unknown ones are counted as `other`."""
    return [
        named_field(field) for outcome in outcomes if isinstance(outcome, RejectedEvent) for field in outcome.errors
    ]
