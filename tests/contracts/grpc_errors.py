"""What every refusal of a native call has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.contracts.answers import assert_no_leak


def assert_refused(
    call: Callable[[], object], code: grpc.StatusCode, reason: str, domain: str, *, field: str | None = None
) -> error_details_pb2.ErrorInfo:
    """The call ends with this code, an `ErrorInfo` of this reason and, if `field` is given, a `BadRequest` on it."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = cast(grpc.Call, caught.value)
    assert error.code() == code, (error.code(), error.details())
    assert error.details()
    assert_no_leak(str(error.details()))
    status = rpc_status.from_call(error)
    assert status is not None, "the details of google.rpc.Status are missing"
    assert status.code == code.value[0]
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    infos = [detail for detail in status.details if detail.Unpack(info)]
    assert len(infos) == 1, status
    assert (info.reason, info.domain) == (reason, domain)
    if field is not None:
        assert any(detail.Unpack(bad_request) for detail in status.details), status
        violations = {violation.field: violation.description for violation in bad_request.field_violations}
        assert field in violations, violations
        assert violations[field]
    return info
