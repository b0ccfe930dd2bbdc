"""Every call as a request and a way to read its answer, for the client that blocks and the one that does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from dmp_client import answers
from dmp_client.errors import UnavailableError
from dmp_client.http import Request

_Answer = TypeVar("_Answer")
Moment = datetime | str
"""A point in time: an aware datetime, or RFC 3339 text."""


class Question(NamedTuple, Generic[_Answer]):
    """A request, and how its answer is read. `read` raises UnavailableError for what is no answer of DMP."""

    request: Request
    read: Callable[[bytes], _Answer]


class Page(NamedTuple, Generic[_Answer]):
    """One page of a list. next_page_token: empty if it is the last one."""

    items: list[_Answer]
    next_page_token: str


def user(
    internal_user_id: str, *, page_size: int | None = None, page_token: str | None = None
) -> Question[answers.User]:
    """`GET /users/{id}`."""
    query = {"page_size": page_size, "page_token": page_token}
    return Question(
        Request(method="GET", path=f"/users/{_segment(internal_user_id)}", query=query), _reader(answers.User)
    )


def match(identifier: str, value: str) -> Question[answers.Match]:
    """`GET /debug/match`."""
    request = Request(method="GET", path="/debug/match", query={"identifier": identifier, "value": value})
    return Question(request, _reader(answers.Match))


def explain(from_: str, to: str) -> Question[answers.Explanation]:
    """`GET /debug/explain`: each side is an id or `type:value`."""
    request = Request(method="GET", path="/debug/explain", query={"from": from_, "to": to})
    return Question(request, _reader(answers.Explanation))


def identify(email: str | None, phone_number: str | int | None) -> Question[answers.Contact]:
    """`POST /identify`. Repeating it adds no second row."""
    body: dict[str, Any] = {}
    if email is not None:
        body["email"] = email
    if phone_number is not None:
        body["phoneNumber"] = str(phone_number)
    return Question(_post("/identify", body), _reader(answers.Contact))


def merge(internal_user_ids: Sequence[str], reason: str) -> Question[answers.Merged]:
    """`POST /merge`. Repeating it does nothing more."""
    return Question(
        _post("/merge", {"internal_user_ids": list(internal_user_ids), "reason": reason}), _reader(answers.Merged)
    )


def undo(merge_id: str, reason: str) -> Question[answers.Undone]:
    """`POST /merges/{id}:undo`. Repeating it answers that it was done."""
    return Question(_post(f"/merges/{_segment(merge_id)}:undo", {"reason": reason}), _reader(answers.Undone))


def keep_apart(internal_user_ids: Sequence[str], reason: str) -> Question[answers.NeverMerge]:
    """`POST /never-merges`."""
    body = {"internal_user_ids": list(internal_user_ids), "reason": reason}
    return Question(_post("/never-merges", body), _part("never_merge", answers.NeverMerge))


def history(internal_user_id: str) -> Question[answers.History]:
    """`GET /users/{id}/merges`."""
    return Question(Request(method="GET", path=f"/users/{_segment(internal_user_id)}/merges"), _reader(answers.History))


def review(rule: str | None, internal_user_id: str | None, page_token: str | None) -> Question[Page[answers.Refusal]]:
    """`GET /debug/review`: a page of refusals, and the next page's token."""
    query = {"rule": rule, "internal_user_id": internal_user_id, "page_token": page_token}
    return Question(Request(method="GET", path="/debug/review", query=query), _page("refusals", answers.Refusal))


def erase(internal_user_id: str, *, dry_run: bool) -> Question[answers.Erasure]:
    """`DELETE /users/{id}`."""
    request = Request(method="DELETE", path=f"/users/{_segment(internal_user_id)}", query={"dry_run": dry_run or None})
    return Question(request, _part("receipt", answers.Erasure))


def erasure(erasure_id: str) -> Question[answers.Erasure]:
    """`GET /erasures/{id}`."""
    return Question(Request(method="GET", path=f"/erasures/{_segment(erasure_id)}"), _part("receipt", answers.Erasure))


def event(event_id: str) -> Question[answers.EventFate]:
    """`GET /events/{id}`."""
    return Question(Request(method="GET", path=f"/events/{_segment(event_id)}"), _reader(answers.EventFate))


def stats(
    campaign_id: str,
    from_: Moment,
    to: Moment,
    *,
    granularity: str = "minute",
    tz: str | None = None,
    group_by: str | None = None,
    fill_zero: bool = False,
    page_size: int | None = None,
    page_token: str | None = None,
) -> Question[answers.Stats]:
    """`GET /stats`."""
    query = {
        "campaign_id": campaign_id,
        "from": moment_text(from_),
        "to": moment_text(to),
        "granularity": granularity,
        "tz": tz,
        "group_by": group_by,
        "fill": "zero" if fill_zero else None,
        "page_size": page_size,
        "page_token": page_token,
    }
    return Question(Request(method="GET", path="/stats", query=query), _reader(answers.Stats))


def campaigns(from_: Moment, to: Moment, page_token: str | None) -> Question[Page[answers.Campaign]]:
    """`GET /campaigns`: a page of campaigns, and the next page's token."""
    query = {"from": moment_text(from_), "to": moment_text(to), "page_token": page_token}
    return Question(Request(method="GET", path="/campaigns", query=query), _page("campaigns", answers.Campaign))


def metrics(window: int, group_by: str | None) -> Question[answers.Metrics]:
    """`GET /metrics`."""
    return Question(
        Request(method="GET", path="/metrics", query={"window": window, "group_by": group_by}), _read_metrics
    )


def put_reference(users: Mapping[str, Mapping[str, Any]], ts: Moment) -> Question[answers.ReferenceWritten]:
    """`PUT /reference/users`: replaces the whole table."""
    body = msgspec.json.encode({"user_metadata": users, "ts": moment_text(ts)})
    return Question(Request(method="PUT", path="/reference/users", body=body), _reader(answers.ReferenceWritten))


def reference() -> Question[answers.ReferenceState]:
    """`GET /reference`."""
    return Question(Request(method="GET", path="/reference"), _reader(answers.ReferenceState))


def audit(campaign_id: str | None, from_: Moment, to: Moment) -> Question[answers.Audit]:
    """`GET /audit`."""
    query = {"campaign_id": campaign_id, "from": moment_text(from_), "to": moment_text(to)}
    return Question(Request(method="GET", path="/audit", query=query), _reader(answers.Audit))


def system_health() -> Question[answers.SystemHealth]:
    """`GET /healthz`."""
    return Question(Request(method="GET", path="/healthz"), _reader(answers.SystemHealth))


def moment_text(moment: Moment) -> str:
    """A time as the server reads it. Raises ValueError for a datetime without a time zone."""
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("the time has no time zone: use datetime.now(timezone.utc)")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _segment(text: str) -> str:
    return quote(text, safe="")


def _post(path: str, body: Mapping[str, Any]) -> Request:
    return Request(method="POST", path=path, body=msgspec.json.encode(body))


def _reader(kind: type[_Answer]) -> Callable[[bytes], _Answer]:
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> _Answer:
        try:
            return decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
            raise UnavailableError("the answer is not one of DMP: is something else at this address?") from None

    return read


def _part(name: str, kind: type[_Answer]) -> Callable[[bytes], _Answer]:
    read = _reader(dict[str, msgspec.Raw])
    read_part = _reader(kind)
    return lambda body: read_part(bytes(read(body).get(name, b"")))


def _page(name: str, kind: type[_Answer]) -> Callable[[bytes], Page[_Answer]]:
    read = _reader(dict[str, msgspec.Raw])
    read_items: Callable[[bytes], list[_Answer]] = _reader(list[kind])  # type: ignore[valid-type]
    read_token = _reader(str)

    def page(body: bytes) -> Page[_Answer]:
        parts = read(body)
        return Page(read_items(bytes(parts.get(name, b"[]"))), read_token(bytes(parts.get("next_page_token", b'""'))))

    return page


def _read_metrics(body: bytes) -> answers.Metrics:
    whole = _reader(dict[str, Any])(body)
    groups = {
        name.removeprefix("by_"): counts
        for name, counts in whole.items()
        if name.startswith("by_") and isinstance(counts, dict)
    }
    try:
        return msgspec.convert({**whole, "by": groups}, answers.Metrics)
    except msgspec.ValidationError:
        raise UnavailableError("the answer is not one of DMP: is something else at this address?") from None
