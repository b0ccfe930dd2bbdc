"""Questions about events and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec

from dmp_client import answers
from dmp_client.errors import UnavailableError
from dmp_client.http import Request
from dmp_client.questions.asked import Moment, Page, Question, moment_text, page_of, post, reader, segment


def event(event_id: str) -> Question[answers.EventFate]:
    """`GET /events/{id}`."""
    return Question(Request(method="GET", path=f"/events/{segment(event_id)}"), reader(answers.EventFate))


class StatsOptions(TypedDict, total=False):
    """The fields of StatsQuery that have a default."""

    granularity: str
    tz: str | None
    group_by: str | None
    fill_zero: bool
    types: Sequence[str]
    sources: Sequence[str]
    creative_ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """What `GET /stats` is asked.

    granularity: minute, hour or day. tz: an IANA zone for hours and days. group_by: creative_id, source or type.
    fill_zero: also list buckets without events. types, sources, creative_ids: count only these.
    """

    campaign_id: str
    from_: Moment
    to: Moment
    granularity: str = "minute"
    tz: str | None = None
    group_by: str | None = None
    fill_zero: bool = False
    types: Sequence[str] = ()
    sources: Sequence[str] = ()
    creative_ids: Sequence[str] = ()


def stats(asked: StatsQuery, page_token: str | None) -> Question[answers.Stats]:
    """`GET /stats`."""
    query: dict[str, Any] = {
        "campaign_id": asked.campaign_id,
        "from": moment_text(asked.from_),
        "to": moment_text(asked.to),
        "granularity": asked.granularity,
        "tz": asked.tz,
        "group_by": asked.group_by,
        "fill": "zero" if asked.fill_zero else None,
        "type": list(asked.types),
        "source": list(asked.sources),
        "creative_id": list(asked.creative_ids),
        "page_token": page_token,
    }
    return Question(Request(method="GET", path="/stats", query=query), reader(answers.Stats))


def together(pages: Sequence[answers.Stats]) -> answers.Stats:
    """The pages of one answer as one."""
    return msgspec.structs.replace(pages[-1], series=[point for page in pages for point in page.series])


def campaigns(from_: Moment, to: Moment, page_token: str | None) -> Question[Page[answers.Campaign]]:
    """`GET /campaigns`: a page of campaigns, and the next page's token."""
    query = {"from": moment_text(from_), "to": moment_text(to), "page_token": page_token}
    return Question(Request(method="GET", path="/campaigns", query=query), page_of("campaigns", answers.Campaign))


def metrics(window: int, group_by: str | Sequence[str] | None) -> Question[answers.Metrics]:
    """`GET /metrics`."""
    return Question(
        Request(method="GET", path="/metrics", query={"window": window, "group_by": group_by}), _read_metrics
    )


def live(top: int, seconds: int) -> Question[answers.LiveSnapshot]:
    """`GET /live`; what is read is the data of one server-sent event."""
    query = {"top": top, "seconds": seconds}
    request = Request(method="GET", path="/live", query=query, accept="text/event-stream")
    return Question(request, reader(answers.LiveSnapshot))


def put_reference(users: Mapping[str, Mapping[str, Any]], ts: Moment) -> Question[answers.ReferenceWritten]:
    """`PUT /reference/users`: replaces the whole table."""
    return _write_reference("PUT", users, ts)


def patch_reference(users: Mapping[str, Mapping[str, Any] | None], ts: Moment) -> Question[answers.ReferenceWritten]:
    """`PATCH /reference/users`: changes the users that are named."""
    return _write_reference("PATCH", users, ts)


def reference() -> Question[answers.ReferenceState]:
    """`GET /reference`."""
    return Question(Request(method="GET", path="/reference"), reader(answers.ReferenceState))


def reference_user(user_id: str) -> Question[answers.ReferenceUser]:
    """`GET /reference/users/{id}`."""
    return Question(Request(method="GET", path=f"/reference/users/{segment(user_id)}"), reader(answers.ReferenceUser))


def audit(campaign_id: str | None, from_: Moment, to: Moment, page_token: str | None) -> Question[answers.Audit]:
    """`GET /audit`."""
    query = {"campaign_id": campaign_id, "from": moment_text(from_), "to": moment_text(to), "page_token": page_token}
    return Question(Request(method="GET", path="/audit", query=query), reader(answers.Audit))


def whole_audit(pages: Sequence[answers.Audit]) -> answers.Audit:
    """The pages of one audit as one: clean if each of them is."""
    return answers.Audit(
        clean=all(page.clean for page in pages),
        events=sum(page.events for page in pages),
        cells=sum(page.cells for page in pages),
        differences=[difference for page in pages for difference in page.differences],
        unsettled=sum(page.unsettled for page in pages),
        identified_events=sum(page.identified_events for page in pages),
        timeline_entries=sum(page.timeline_entries for page in pages),
        timeline_differences=[difference for page in pages for difference in page.timeline_differences],
    )


def repair(campaign_id: str, from_: Moment, to: Moment, page_token: str | None) -> Question[answers.Repaired]:
    """`POST /audit/repair`."""
    body = {"campaign_id": campaign_id, "from": moment_text(from_), "to": moment_text(to)}
    if page_token is not None:
        body["page_token"] = page_token
    return Question(post("/audit/repair", body), reader(answers.Repaired))


def actions(
    from_: Moment | None, to: Moment | None, kind: str | None, actor: str | None, page_token: str | None
) -> Question[Page[answers.Action]]:
    """`GET /admin/actions`: a page of what was decided, and the next page's token."""
    query = {
        "from": None if from_ is None else moment_text(from_),
        "to": None if to is None else moment_text(to),
        "kind": kind,
        "actor": actor,
        "page_token": page_token,
    }
    return Question(Request(method="GET", path="/admin/actions", query=query), page_of("actions", answers.Action))


def system_health() -> Question[answers.SystemHealth]:
    """`GET /healthz`."""
    return Question(Request(method="GET", path="/healthz"), reader(answers.SystemHealth))


def _write_reference(
    method: str, users: Mapping[str, Mapping[str, Any] | None], ts: Moment
) -> Question[answers.ReferenceWritten]:
    body = msgspec.json.encode({"user_metadata": users, "ts": moment_text(ts)})
    return Question(Request(method=method, path="/reference/users", body=body), reader(answers.ReferenceWritten))


def _read_metrics(body: bytes) -> answers.Metrics:
    whole = reader(dict[str, Any])(body)
    groups = {
        name.removeprefix("by_"): counts
        for name, counts in whole.items()
        if name.startswith("by_") and isinstance(counts, dict)
    }
    try:
        return msgspec.convert({**whole, "by": groups}, answers.Metrics)
    except msgspec.ValidationError:
        raise UnavailableError("the answer is not one of DMP: is something else at this address?") from None
