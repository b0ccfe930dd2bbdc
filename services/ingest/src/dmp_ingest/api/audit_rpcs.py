"""The RPCs that audit and repair: read the request, walk its range, write the answer."""

from __future__ import annotations

import time

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.actions import Asked
from dmp_chassis.metrics import Metrics
from dmp_chassis.page_token import number_token
from dmp_ingest.adapters.counted_cells import CountedCells
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.people import People
from dmp_ingest.api.audit_range import audit_range
from dmp_ingest.api.convert import add_audit, add_timelines, minute_to_proto
from dmp_ingest.audit_events import audit_events, audit_timelines, repair_campaign
from dmp_ingest.audit_pages import OneAtATime, walk
from dmp_ingest.domain.event_policy import EventPolicy
from dmp_ingest.metrics import AUDIT_DIFFERENCES, AUDIT_TIME


class AuditRpcs:
    """Audits and repairs, one at a time. Each method raises what the proto lists."""

    def __init__(
        self, *, cells: LogCells, counted: CountedCells, people: People, policy: EventPolicy, metrics: Metrics
    ) -> None:
        self._cells = cells
        self._counted = counted
        self._people = people
        self._policy = policy
        self._metrics = metrics
        self._differences = {"counts": 0, "timelines": 0}
        self._one_at_a_time = OneAtATime()

    async def audit(self, request: pb.AuditEventsRequest) -> pb.AuditEventsResponse:
        """One page of an audit: what was counted against what was logged."""
        with self._one_at_a_time:
            first, last = audit_range(
                getattr(request, "from"),
                request.to,
                campaign_id=request.campaign_id,
                campaign_required=False,
                page_token=request.page_token,
            )
            response = pb.AuditEventsResponse(clean=True)
            if not request.page_token:
                self._differences = dict.fromkeys(self._differences, 0)

            async def do_part(begin: int, end: int) -> int:
                audited = await audit_events(
                    campaign_id=request.campaign_id, first=begin, last=end, log=self._cells, counted=self._counted
                )
                if not request.campaign_id:
                    timelines = await audit_timelines(first=begin, last=end, log=self._cells, people=self._people)
                    add_timelines(timelines, response)
                    self._differences["timelines"] += len(timelines.differing)
                self._differences["counts"] += len(audited.differing)
                return add_audit(audited, response)

            response.next_page_token = number_token(await walk(first, last, do_part))
            for kind, count in self._differences.items():
                self._metrics.set(AUDIT_DIFFERENCES, count, kind)
            self._metrics.set(AUDIT_TIME, time.time())
            return response

    async def repair(self, request: pb.RepairCampaignRequest, asked: Asked) -> pb.RepairCampaignResponse:
        """One page of a repair of a campaign."""
        with self._one_at_a_time:
            first, last = audit_range(
                getattr(request, "from"),
                request.to,
                campaign_id=request.campaign_id,
                campaign_required=True,
                page_token=request.page_token,
            )
            response = pb.RepairCampaignResponse()
            counted = self._counted.on_behalf_of(asked.actor)

            async def do_part(begin: int, end: int) -> int:
                minutes = await repair_campaign(
                    campaign_id=request.campaign_id,
                    first=begin,
                    last=end,
                    log=self._cells,
                    counted=counted,
                    policy=self._policy,
                )
                response.minutes.extend(minute_to_proto(minute) for minute in minutes)
                return len(minutes)

            response.next_page_token = number_token(await walk(first, last, do_part))
            return response
