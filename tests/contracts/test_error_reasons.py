"""The protos name every reason that a service can give for an error, and no other."""

from __future__ import annotations

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from dmp.identity.v1 import error_reason_pb2 as identity_reasons
from dmp.ingest.v1 import error_reason_pb2 as ingest_reasons
from dmp.stats.v1 import error_reason_pb2 as stats_reasons
from dmp_chassis.errors import BUILT_IN, INTERNAL, ErrorTable
from dmp_identity.api.errors import ERRORS as IDENTITY
from dmp_ingest.api.errors import ERRORS as INGEST
from dmp_stats.api.errors import ERRORS as STATS


@pytest.mark.parametrize(
    ("named", "table"),
    [
        pytest.param(ingest_reasons.ErrorReason, INGEST, id="ingest"),
        pytest.param(identity_reasons.ErrorReason, IDENTITY, id="identity"),
        pytest.param(stats_reasons.ErrorReason, STATS, id="stats"),
    ],
)
def test_the_enum_has_the_reasons_of_the_code(named: EnumTypeWrapper, table: ErrorTable) -> None:
    given = {spec.reason for spec in (*BUILT_IN.values(), *table.values(), INTERNAL)}
    assert {name.removeprefix("ERROR_REASON_") for name in named.keys()} == given | {"UNSPECIFIED"}  # noqa: SIM118
