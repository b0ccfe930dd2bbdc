"""Conversions between the API's messages about erasures and the domain."""

from __future__ import annotations

import re
from typing import Final

from dmp.ingest.v1 import erasure_pb2, ingest_service_pb2
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_ingest.domain.erasure_steps import Erased, Erasure, Whom
from dmp_ingest.domain.errors import UserNotFoundError

_USER_ID: Final = re.compile("user_[0-9a-z]{1,64}").fullmatch


def whom_from_proto(request: ingest_service_pb2.EraseUserRequest) -> Whom:
    """Whom to erase. Raises UserNotFoundError for an id that cannot be one, InvalidArgument."""
    if request.internal_user_id:
        if request.identifier or request.value:
            description = "must not stand beside internal_user_id"
            raise InvalidArgument([Violation("identifier", description)])
        if _USER_ID(request.internal_user_id) is None:
            raise UserNotFoundError(internal_user_id=request.internal_user_id.replace("\0", "")[:255])
        return Whom(internal_user_id=request.internal_user_id)
    problems = [
        Violation(field, f"must have 1 to {longest} characters without NUL")
        for field, text, longest in (("identifier", request.identifier, 64), ("value", request.value, 1024))
        if not 1 <= len(text.strip()) <= len(text) <= longest or "\0" in text
    ]
    if problems:
        raise InvalidArgument(problems)
    return Whom(identifier=request.identifier, value=request.value.strip())


def preview_to_proto(erased: Erased) -> erasure_pb2.ErasureReceipt:
    """A receipt of what an erasure would erase."""
    receipt = _erased_to_proto(erased)
    receipt.dry_run = True
    return receipt


def erasure_to_proto(erasure: Erasure) -> erasure_pb2.ErasureReceipt:
    """An erasure as it is now."""
    receipt = _erased_to_proto(erasure.erased) if erasure.erased is not None else erasure_pb2.ErasureReceipt()
    receipt.erasure_id = erasure.erasure_id
    receipt.cleaned_events = erasure.cleaned_events
    receipt.requested_at.FromDatetime(erasure.requested_at)
    receipt.complete = erasure.complete
    receipt.state = _state(erasure)
    return receipt


def _state(erasure: Erasure) -> erasure_pb2.ErasureState.ValueType:
    if erasure.complete:
        return erasure_pb2.ERASURE_STATE_COMPLETE
    if erasure.erased is None:
        return erasure_pb2.ERASURE_STATE_REQUESTED
    return erasure_pb2.ERASURE_STATE_SETTLING if erasure.erased.finished else erasure_pb2.ERASURE_STATE_UNDER_WAY


def _erased_to_proto(erased: Erased) -> erasure_pb2.ErasureReceipt:
    return erasure_pb2.ErasureReceipt(
        internal_user_ids=erased.internal_user_ids,
        identifiers=erased.identifiers,
        contacts=erased.contacts,
        merges=erased.merges,
        timeline_entries=erased.timeline_entries,
    )
