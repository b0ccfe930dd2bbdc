"""Writes the JSON answers of `POST /events` and `POST /events:validate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from dmp_chassis.pauses import Pauses
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.event import RejectedEvent
from dmp_ingest.publish_events import Outcome, Published, StoredOutcome
from dmp_ingest.validate_events import Noted, Validated

_Item = TypeVar("_Item")

MESSAGES: Final = {
    Verdict.ACCEPTED: "accepted",
    Verdict.DUPLICATE: "duplicate ignored",
    Verdict.CONFLICT: "duplicate ignored: an event of this id with other content was stored before and stands",
}
"""What became of an event that passed validation, in words."""

UNFILLED_MACRO: Final = "is a macro that was not filled"
"""What a warning says of a campaign, creative or source."""


class _Result(msgspec.Struct, omit_defaults=True):
    event_id: str
    status: str
    duplicate: bool
    message: str
    conflict: bool | msgspec.UnsetType = msgspec.UNSET
    internal_user_id: str = ""
    errors: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET
    warnings: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct):
    accepted: int
    duplicates: int
    rejected: int
    applied: bool
    results: msgspec.Raw
    errors: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET


_MOST_SENTENCES: Final = 5
_RESULTS_AT_ONCE: Final = 50
_NO_RESULTS: Final = msgspec.Raw(b"[]")
_encode: Final = msgspec.json.Encoder().encode


async def write_answer(published: Published, *, single: bool, minimal: bool) -> bytes:
    """The answer for a request. Others have their turn while many results are written.

    single: the body was one event, whose errors also stand at the top. minimal: no line for plain successes.
    """
    outcomes: Sequence[Outcome] = published.outcomes
    if minimal:
        outcomes = [outcome for outcome in outcomes if not _is_plain(outcome)]
    answer = _Answer(
        accepted=published.accepted,
        duplicates=published.duplicates,
        rejected=published.rejected,
        applied=published.applied,
        results=await _written(outcomes, _result),
    )
    if single and published.rejected:
        answer.errors = _result(outcomes[0]).errors
    return _encode(answer)


def write_refusal(errors: Mapping[str, Sequence[str]]) -> bytes:
    """The answer for a body that is JSON but holds no events, by field."""
    return _encode(_Answer(accepted=0, duplicates=0, rejected=0, applied=True, results=_NO_RESULTS, errors=errors))


class _Note(msgspec.Struct, omit_defaults=True):
    position: int
    event_id: str
    message: str
    errors: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET
    warnings: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET


class _Validation(msgspec.Struct, omit_defaults=True):
    valid: int
    rejected: int
    results: msgspec.Raw
    errors: Mapping[str, Sequence[str]] | msgspec.UnsetType = msgspec.UNSET


async def write_validation(validated: Validated) -> bytes:
    """The answer of `POST /events:validate`. Others have their turn while many results are written."""
    results = await _written(validated.noted, _note)
    return _encode(_Validation(valid=validated.valid, rejected=validated.rejected, results=results))


def write_invalid_body(errors: Mapping[str, Sequence[str]]) -> bytes:
    """The answer of `POST /events:validate` for a body that is JSON but holds no events, by field."""
    return _encode(_Validation(valid=0, rejected=0, results=_NO_RESULTS, errors=errors))


async def _written(items: Sequence[_Item], write: Callable[[_Item], msgspec.Struct]) -> msgspec.Raw:
    """The array of what `write` makes of each of these."""
    if len(items) <= _RESULTS_AT_ONCE:
        return msgspec.Raw(_encode([write(item) for item in items]))
    pauses = Pauses()
    pieces = []
    for first in range(0, len(items), _RESULTS_AT_ONCE):
        await pauses.take_if_due()
        pieces.append(_encode([write(item) for item in items[first : first + _RESULTS_AT_ONCE]])[1:-1])
    return msgspec.Raw(b"[" + b",".join(pieces) + b"]")


def _note(noted: Noted) -> _Note:
    if noted.rejected is not None:
        message = message_of(noted.rejected)
        return _Note(noted.position, noted.event_id, message, errors=noted.rejected.errors)
    warnings = {field: [UNFILLED_MACRO] for field in noted.unfilled}
    return _Note(noted.position, noted.event_id, "valid, but odd", warnings=warnings)


def message_of(outcome: Outcome) -> str:
    """One outcome in words."""
    if isinstance(outcome, StoredOutcome):
        return MESSAGES[outcome.verdict]
    sentences = [f"{field} {problems[0]}" for field, problems in list(outcome.errors.items())[:_MOST_SENTENCES]]
    more = len(outcome.errors) - len(sentences)
    return "; ".join((*sentences, f"and {more} more") if more else sentences)


def _is_plain(outcome: Outcome) -> bool:
    return isinstance(outcome, StoredOutcome) and outcome.verdict is Verdict.ACCEPTED


def _result(outcome: Outcome) -> _Result:
    if isinstance(outcome, RejectedEvent):
        return _Result(outcome.event_id, "error", False, message_of(outcome), errors=outcome.errors)
    duplicate = outcome.verdict is not Verdict.ACCEPTED
    result = _Result(
        outcome.event_id, "success", duplicate, MESSAGES[outcome.verdict], internal_user_id=outcome.internal_user_id
    )
    if outcome.unfilled:
        result.warnings = {field: [UNFILLED_MACRO] for field in outcome.unfilled}
    if outcome.verdict is Verdict.CONFLICT:
        result.conflict = True
    return result
