"""The audit's part of the servicer: reads its requests, walks their range, writes the answers."""

from __future__ import annotations

from dataclasses import dataclass

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_ingest.adapters.counted_cells import CountedCells
from dmp_ingest.adapters.log_cells import LogCells
from dmp_ingest.adapters.people import People
from dmp_ingest.api.audit_range import audit_range, page_token
from dmp_ingest.api.convert import add_audit, add_timelines, minute_to_proto
from dmp_ingest.audit_events import audit_events, audit_timelines, repair_campaign
from dmp_ingest.audit_pages import walk
from dmp_ingest.domain.event_policy import EventPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Audits:
    """What an audit or a repair compares with one another."""

    cells: LogCells
    counted: CountedCells
    people: People
    policy: EventPolicy

    async def audit(self, request: pb.AuditEventsRequest) -> pb.AuditEventsResponse:
        """One page of an audit. Raises what the proto lists."""
        first, last = audit_range(
            getattr(request, "from"),
            request.to,
            campaign_id=request.campaign_id,
            campaign_required=False,
            page_token=request.page_token,
        )
        response = pb.AuditEventsResponse(clean=True)

        async def stretch(begin: int, end: int) -> int:
            audited = await audit_events(
                campaign_id=request.campaign_id, first=begin, last=end, log=self.cells, counted=self.counted
            )
            if not request.campaign_id:
                timelines = await audit_timelines(first=begin, last=end, log=self.cells, people=self.people)
                add_timelines(timelines, response)
            return add_audit(audited, response)

        response.next_page_token = page_token(await walk(first, last, stretch))
        return response

    async def repair(self, request: pb.RepairCampaignRequest) -> pb.RepairCampaignResponse:
        """One page of a repair. Raises what the proto lists."""
        first, last = audit_range(
            getattr(request, "from"),
            request.to,
            campaign_id=request.campaign_id,
            campaign_required=True,
            page_token=request.page_token,
        )
        response = pb.RepairCampaignResponse()

        async def stretch(begin: int, end: int) -> int:
            minutes = await repair_campaign(
                campaign_id=request.campaign_id,
                first=begin,
                last=end,
                log=self.cells,
                counted=self.counted,
                policy=self.policy,
            )
            response.minutes.extend(minute_to_proto(minute) for minute in minutes)
            return len(minutes)

        response.next_page_token = page_token(await walk(first, last, stretch))
        return response
