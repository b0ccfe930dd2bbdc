"""What the server said about each event."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

_LOGGER: Final = logging.getLogger("dmp_client")


class VerdictKind(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    """It is durable, and counted once."""
    DUPLICATE = "duplicate"
    """It had arrived before, and was counted then. Nothing is lost."""
    CONFLICT = "conflict"
    """Another event has this id; the first one stands, this one is not counted."""
    REJECTED = "rejected"
    """The server cannot take it; `errors` says why. It will not be sent again."""
    EXPIRED = "expired"
    """It waited longer than the spool's age limit and was never answered. It is gone."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One event's answer.

    kind: what became of it.
    event_id: which event.
    errors: for a rejected event, its fields and what is wrong with each.
    """

    kind: VerdictKind
    event_id: str
    errors: Mapping[str, Sequence[str]] = {}


class _Result(msgspec.Struct):
    event_id: str = ""
    status: str = ""
    duplicate: bool = False
    conflict: bool = False
    message: str = ""
    errors: dict[str, list[str]] = {}


class _Answer(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: int
    results: list[_Result] = []


_DECODER = msgspec.json.Decoder(_Answer)


def read_verdicts(body: bytes, event_ids: Sequence[str]) -> list[Verdict] | None:
    """The verdicts on the events of one request, in their order; None if the body is no answer to them.

    The answer lists each event, or only errors, duplicates and conflicts (`Prefer: return=minimal`). Counts that do
    not add up are no answer: something else, such as a login page, may have been in between.
    """
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
    if answer.accepted + answer.duplicates + answer.rejected != len(event_ids):
        return None
    named: dict[str, list[Verdict]] = {}
    for result in answer.results:
        named.setdefault(result.event_id, []).append(_verdict(result))
    if len(set(event_ids)) < len(event_ids):
        # An id that stands twice in one request has its plain success, which is not listed, before its duplicate.
        for event_id, count in Counter(event_ids).items():
            listed = named.get(event_id, [])
            plain = Verdict(kind=VerdictKind.ACCEPTED, event_id=event_id)
            named[event_id] = [plain] * (count - len(listed)) + listed
    return [
        named[event_id].pop(0) if named.get(event_id) else Verdict(kind=VerdictKind.ACCEPTED, event_id=event_id)
        for event_id in event_ids
    ]


def read_all_verdicts(body: bytes, count: int) -> list[Verdict] | None:
    """The verdicts of an answer that lists each event, in their order; None if the body is no answer to so many."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
    if not answer.accepted + answer.duplicates + answer.rejected == len(answer.results) == count:
        return None
    return [_verdict(result) for result in answer.results]


def tell(on_verdict: Callable[[Verdict], None], verdicts: Sequence[Verdict]) -> int:
    """Tells the caller's code; how often it failed, which must not stop the delivery."""
    failed = 0
    for verdict in verdicts:
        try:
            on_verdict(verdict)
        except Exception:  # whatever it is, it is the caller's
            failed += 1
            _LOGGER.exception("the verdict callback failed")
    return failed


def _verdict(result: _Result) -> Verdict:
    if result.status == "error":
        errors = result.errors or {"event": [result.message]}
        return Verdict(kind=VerdictKind.REJECTED, event_id=result.event_id, errors=errors)
    kind = VerdictKind.ACCEPTED
    if result.conflict:
        kind = VerdictKind.CONFLICT
    elif result.duplicate:
        kind = VerdictKind.DUPLICATE
    return Verdict(kind=kind, event_id=result.event_id)
