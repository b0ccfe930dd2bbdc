"""From a typed error to the status a caller sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from dmp_chassis.errors import DependencyUnavailable, DomainError, ErrorSpec, ErrorTable, find_spec, to_status
from dmp_chassis.violations import InvalidArgument, Violation


@dataclass(slots=True, kw_only=True, eq=False)
class BookNotFound(DomainError):
    title: str


@dataclass(slots=True, kw_only=True, eq=False)
class OldBookNotFound(BookNotFound):
    year: int


TABLE: ErrorTable = {
    BookNotFound: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="BOOK_NOT_FOUND",
        message=lambda error: f"there is no book called {error.title}",
        metadata=lambda error: {"title": error.title},
        retry_after_seconds=2.5,
    ),
}


def unpack(status: status_pb2.Status, detail: Message) -> Message:
    for packed in status.details:
        if packed.Unpack(detail):
            return detail
    raise AssertionError(f"{detail.DESCRIPTOR.full_name} is not among the details")


def test_a_status_carries_code_sentence_reason_domain_and_facts() -> None:
    status = to_status(BookNotFound(title="Emma"), TABLE, "books.test")
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert status.message == "there is no book called Emma"
    info = error_details_pb2.ErrorInfo()
    unpack(status, info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("BOOK_NOT_FOUND", "books.test", {"title": "Emma"})
    retry = error_details_pb2.RetryInfo()
    unpack(status, retry)
    assert retry.retry_delay.ToMilliseconds() == 2500


def test_an_error_without_an_entry_uses_that_of_its_nearest_base_class() -> None:
    assert find_spec(OldBookNotFound(title="Emma", year=1815), TABLE) is TABLE[BookNotFound]


def test_a_service_may_override_a_built_in_entry() -> None:
    own = ErrorSpec(code=grpc.StatusCode.OUT_OF_RANGE, reason="OWN", message="own")
    assert find_spec(InvalidArgument([]), {InvalidArgument: own}) is own


def test_an_unknown_error_says_nothing_about_itself() -> None:
    status = to_status(ValueError("the password is hunter2"), TABLE, "books.test")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert b"hunter2" not in status.SerializeToString()
    assert b"ValueError" not in status.SerializeToString()


def test_an_invalid_argument_names_every_field() -> None:
    error = InvalidArgument([Violation(field=f"f{i}", description="is empty") for i in range(7)])
    status = to_status(error, {}, "books.test")
    request = error_details_pb2.BadRequest()
    unpack(status, request)
    assert [(v.field, v.description) for v in request.field_violations] == [(f"f{i}", "is empty") for i in range(7)]
    assert status.message == "; ".join(f"f{i} is empty" for i in range(5)) + "; and 2 more"


@pytest.mark.parametrize("text", ["x", "é", "\udc80", "\x00"])
def test_a_status_fits_into_the_headers_of_any_client(text: str) -> None:
    violations = [Violation(field=f"events[{i}].{text * 300}", description=text * 900) for i in range(2_000)]
    status = to_status(InvalidArgument(violations), {}, "books.test")
    request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    unpack(status, request)
    unpack(status, info)
    kept = len(request.field_violations)
    assert kept > 0
    assert info.metadata["violations_omitted"] == str(2_000 - kept)
    percent_encoded = sum(1 if " " <= c <= "~" else 3 * len(c.encode()) for c in status.message)
    assert percent_encoded + len(status.SerializeToString()) * 4 / 3 < 7_500


def test_an_unavailable_dependency_is_named_and_may_be_tried_again() -> None:
    status = to_status(DependencyUnavailable("redis"), {}, "books.test")
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    unpack(status, info)
    unpack(status, retry)
    assert dict(info.metadata) == {"dependency": "redis"}
    assert retry.retry_delay.seconds == 1


def test_errors_can_be_raised_through_context_managers() -> None:
    """A frozen exception class could not: `contextlib` sets its traceback."""

    @contextmanager
    def block() -> Iterator[None]:
        yield

    with pytest.raises(BookNotFound), block():
        raise BookNotFound(title="Emma")
