"""Typed errors and the table that says what a caller sees of them.

A service raises a `DomainError` subclass that carries data. One table per service maps each class to an `ErrorSpec`:
status, reason, public sentence. Nothing else of an error ever leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from google.rpc import error_details_pb2, status_pb2

from dmp_chassis.violations import InvalidArgument, Violation, sentence


class DomainError(Exception):
    """Base of typed errors. Subclasses are `@dataclass(slots=True, kw_only=True, eq=False)`: data, no sentences.

    Not frozen, because Python sets `__traceback__` on exceptions in flight. `eq=False` keeps them hashable.
    """


@dataclass(slots=True, eq=False)
class DependencyUnavailable(DomainError):
    """A database, cache or service this call needs does not answer: `dependency` is its name in the health report."""

    dependency: str


@dataclass(slots=True, kw_only=True, eq=False)
class BodyTooLarge(DomainError):
    """The body of a request has more than `limit` bytes, its content coding undone."""

    limit: int


@dataclass(slots=True, eq=False)
class TooManyStreams(DomainError):
    """This server holds as many streams as it may, or as one key may have: `limit`."""

    limit: int


@dataclass(slots=True, eq=False)
class CallerNotBelieved(DomainError):
    """The certificate of the caller is not that of a service that this RPC believes."""


@dataclass(slots=True, kw_only=True, eq=False)
class BodyDamaged(DomainError):
    """The body of a request is not what its content coding says; `problem` completes the sentence "the body …"."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSpec:
    """What a caller sees of one class of errors.

    code: gRPC status.
    reason: UPPER_SNAKE_CASE, stable, unique within the domain (`google.rpc.ErrorInfo`).
    message: the public sentence, or a function that makes it from the error's own data.
    metadata: facts for a program, as text.
    field_violations: for `google.rpc.BadRequest`.
    retry_after_seconds: when to try again (`google.rpc.RetryInfo`, header `retry-after`), or a function of the error.
    http_status: the HTTP status behind the gateway where it is not the usual one of `code`.
    """

    code: grpc.StatusCode
    reason: str
    message: str | Callable[[Any], str]
    metadata: Callable[[Any], dict[str, str]] | None = None
    field_violations: Callable[[Any], list[Violation]] | None = None
    retry_after_seconds: Callable[[Any], float | None] | float | None = None
    http_status: int | None = None


ErrorTable: TypeAlias = Mapping[type[Exception], ErrorSpec]

# A status travels in HTTP/2 headers, of which gRPC peers accept 8 KiB by default; details grow by a third in base64.
_MESSAGE_BYTES: Final = 1_000
_VIOLATIONS_BYTES: Final = 3_500


BUILT_IN: Final[ErrorTable] = {
    InvalidArgument: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_ARGUMENT",
        message=lambda error: sentence(error.violations),
        field_violations=lambda error: list(error.violations),
    ),
    BodyTooLarge: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="TOO_LARGE",
        message=lambda error: f"a request may have at most {error.limit:,} bytes; nothing of this one was stored",
        metadata=lambda error: {"limit": str(error.limit), "unit": "bytes"},
        http_status=413,
    ),
    BodyDamaged: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="MALFORMED_BODY",
        message=lambda error: f"the body {error.problem}; nothing of it was stored",
        field_violations=lambda error: [Violation("body", error.problem)],
    ),
    DependencyUnavailable: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="DEPENDENCY_UNAVAILABLE",
        message="something this call needs is unavailable at the moment, please try again",
        metadata=lambda error: {"dependency": error.dependency},
        retry_after_seconds=1.0,
    ),
    TooManyStreams: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="TOO_MANY_STREAMS",
        message="as many streams are open as this service holds, or gives to one key, please try again later",
        metadata=lambda error: {"limit": str(error.limit)},
        retry_after_seconds=5.0,
    ),
    CallerNotBelieved: ErrorSpec(
        code=grpc.StatusCode.PERMISSION_DENIED,
        reason="CALLER_NOT_BELIEVED",
        message="the certificate of this caller is not that of a service that may call this",
    ),
}
"""Part of every service's table; a service's own table may override an entry."""

INTERNAL: Final = ErrorSpec(code=grpc.StatusCode.INTERNAL, reason="INTERNAL", message="internal error")
"""All that a caller sees of an error without an entry."""


def find_spec(error: Exception, table: ErrorTable) -> ErrorSpec | None:
    """The entry of the error's class or of its nearest base class, in `table` first, then among the built-in ones."""
    for cls in type(error).__mro__:
        spec = table.get(cls) or BUILT_IN.get(cls)
        if spec is not None:
            return spec
    return None


def retry_after(error: Exception, spec: ErrorSpec) -> float | None:
    """Seconds after which the caller may try again, None when the error does not say."""
    seconds = spec.retry_after_seconds
    return seconds(error) if callable(seconds) else seconds


def to_status(
    error: Exception, table: ErrorTable, domain: str, *, metadata: Mapping[str, str] | None = None
) -> status_pb2.Status:
    """The error as `google.rpc.Status` with ErrorInfo and, where they apply, BadRequest and RetryInfo.

    An error without an entry becomes INTERNAL with a sentence that says nothing about it. `metadata` is added to the
    ErrorInfo. A status has to fit into the headers every gRPC client accepts: a long sentence is cut, and of many field
    violations the first are kept and `violations_omitted` in the ErrorInfo says how many are not.
    """
    spec = find_spec(error, table) or INTERNAL
    message = spec.message(error) if callable(spec.message) else spec.message
    info = error_details_pb2.ErrorInfo(reason=spec.reason, domain=domain)
    if spec.metadata is not None:
        info.metadata.update(spec.metadata(error))
    if metadata is not None:
        info.metadata.update(metadata)
    request, omitted = _bad_request(spec.field_violations(error) if spec.field_violations is not None else [])
    if omitted:
        info.metadata["violations_omitted"] = str(omitted)
    status = status_pb2.Status(code=spec.code.value[0], message=_cut(message, _MESSAGE_BYTES))
    status.details.add().Pack(info)
    if request.field_violations:
        status.details.add().Pack(request)
    seconds = retry_after(error, spec)
    if seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(seconds * 1e9))
        status.details.add().Pack(retry)
    return status


def _bad_request(violations: Sequence[Violation]) -> tuple[error_details_pb2.BadRequest, int]:
    """As many violations as fit, and the number of those that do not."""
    request = error_details_pb2.BadRequest()
    room = _VIOLATIONS_BYTES
    for index, (field, description) in enumerate(violations):
        kept_field, kept_description = _cut(field, 500), _cut(description, 500)
        room -= len(kept_field.encode()) + len(kept_description.encode()) + 10
        if room < 0:
            return request, len(violations) - index
        request.field_violations.add(field=kept_field, description=kept_description)
    return request, 0


def _cut(text: str, limit: int) -> str:
    """The text without lone surrogates, at most `limit` bytes long as gRPC writes it (percent-encoded UTF-8)."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) * 3 <= limit or (encoded.isascii() and len(encoded) <= limit):
        return encoded.decode()
    size = 0
    for position, character in enumerate(encoded.decode()):
        size += 1 if " " <= character <= "~" else 3 * len(character.encode())
        if size > limit - 3:
            return encoded.decode()[:position] + "..."
    return encoded.decode()
