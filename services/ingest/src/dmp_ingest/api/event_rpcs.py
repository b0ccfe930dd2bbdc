"""The RPC that tells what became of one event."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import grpc

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.http_body import came_through_gateway, json_body
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_ingest.adapters.event_store import EventLog
from dmp_ingest.adapters.owners import Owners
from dmp_ingest.api.convert import found_to_json, found_to_proto
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.find_event import find_event

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_MAX_ID_LENGTH: Final = 255


class EventRpcs:
    """Reads single events of the log."""

    def __init__(self, *, policy: EventPolicy, log: EventLog, owners: Owners) -> None:
        self._policy = policy
        self._log = log
        self._owners = owners

    async def get(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        """One event; as JSON if the gateway asks. Raises what the proto lists."""
        if not 1 <= len(request.event_id) <= _MAX_ID_LENGTH:
            raise InvalidArgument([Violation("event_id", "must have 1 to 255 characters")])
        found = await find_event(request.event_id, log=self._log, owners=self._owners)
        if came_through_gateway(context):
            return pb.GetEventResponse(rendered=json_body(found_to_json(found, self._policy)))
        return found_to_proto(found, self._policy)
