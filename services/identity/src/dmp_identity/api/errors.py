"""What a caller sees of each error: status, reason and public sentence. The one place that knows."""

from __future__ import annotations

from typing import Final

import grpc

from dmp_chassis.errors import DependencyUnavailable, ErrorSpec, ErrorTable
from dmp_identity.domain.errors import (
    ErasureNotFoundError,
    MalformedBodyError,
    MergeNotFoundError,
    NeverMergeError,
    NeverMergeNotFoundError,
    NoMatchError,
    OverloadedError,
    ProfileNotFoundError,
    TrialLimitError,
    TrialRunningError,
)

DOMAIN: Final = "identity.dmp"

ERRORS: Final[ErrorTable] = {
    MalformedBodyError: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="MALFORMED_BODY",
        message="the body must be a JSON object with email, phoneNumber or both",
    ),
    ProfileNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="PROFILE_NOT_FOUND",
        message="no profile has this id",
        metadata=lambda error: {"internal_user_id": error.internal_user_id[:100]},
    ),
    NoMatchError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="NO_MATCH",
        message=lambda error: (
            "no profile has this identifier; if a space in it was a +, write it as %2B"
            if error.plus_lost
            else "no profile has this identifier"
        ),
        metadata=lambda error: {"identifier": error.identifier},
    ),
    NeverMergeError: ErrorSpec(
        code=grpc.StatusCode.ABORTED,
        reason="NEVER_MERGE",
        message="somebody said that these are different people; take that back first",
        metadata=lambda error: {"internal_user_ids": ",".join(error.internal_user_ids)},
    ),
    MergeNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="MERGE_NOT_FOUND",
        message="there is no merge of this id",
        metadata=lambda error: {"merge_id": error.merge_id[:100]},
    ),
    NeverMergeNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="NEVER_MERGE_NOT_FOUND",
        message="nothing of this id keeps people apart",
        metadata=lambda error: {"never_merge_id": error.never_merge_id[:100]},
    ),
    ErasureNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="ERASURE_NOT_FOUND",
        message="there is no erasure of this id",
        metadata=lambda error: {"erasure_id": error.erasure_id[:100]},
    ),
    OverloadedError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        message="too many requests are waiting, please try again",
        retry_after_seconds=1.0,
    ),
    TrialRunningError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="TRIAL_RUNNING",
        message="a policy is being tried already, please try again",
        retry_after_seconds=5.0,
    ),
    TrialLimitError: ErrorSpec(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason="TRIAL_LIMIT",
        message="trying the policy needed more memory or time than a trial may have",
    ),
    DependencyUnavailable: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="CANNOT_STORE",
        message="identity cannot read or store at the moment, please try again",
        metadata=lambda error: {"dependency": error.dependency},
        retry_after_seconds=1.0,
    ),
}
