"""Asks stats what it has counted, for audits, and replaces it, for repairs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import grpc
from google.protobuf import timestamp_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1 import stats_service_pb2_grpc
from dmp_chassis.actions import NOBODY_NAMED
from dmp_chassis.callers import CALLER
from dmp_ingest.adapters.log_cells import MOST_CELLS, DetailedSum
from dmp_ingest.domain.audit import CellKey, CellSum, CellSums
from dmp_ingest.domain.errors import CannotAskError, RangeTooLargeError
from dmp_ingest.domain.event_policy import EventPolicy

_SECONDS: Final = 10.0


class CellsChangedError(Exception):
    """Something was counted in the meantime, so nothing was replaced."""


class CountedCells:
    """Stats over one channel. Minutes are whole minutes since 1970. Raises CannotAskError if stats does not answer."""

    def __init__(self, stats: grpc.aio.Channel, *, actor: str = NOBODY_NAMED) -> None:
        self._stats = stats
        self._stub: stats_service_pb2_grpc.StatsServiceAsyncStub = stats_service_pb2_grpc.StatsServiceStub(stats)
        self._actor = actor

    def on_behalf_of(self, actor: str) -> CountedCells:
        """The same, for a repair that this actor asked for: stats keeps it as their act."""
        return CountedCells(self._stats, actor=actor)

    async def read(self, *, campaign_id: str, first: int, last: int) -> dict[CellKey, CellSum]:
        """All cells of the range, both ends included; an empty campaign stands for all. Raises RangeTooLargeError."""
        request = pb.ListCellsRequest(campaign_id=campaign_id, to=_timestamp(last))
        getattr(request, "from").CopyFrom(_timestamp(first))
        cells: dict[CellKey, CellSum] = {}
        try:
            async for part in (call := self._stub.ListCells(request, timeout=_SECONDS)):
                if len(cells) + len(part.cells) > MOST_CELLS:
                    call.cancel()
                    raise RangeTooLargeError
                for cell in part.cells:
                    key = CellKey(cell.campaign_id, cell.minute.seconds // 60, cell.type)
                    cells[key] = CellSum(cell.count, cell.digest)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RangeTooLargeError from error
            raise CannotAskError(service="stats") from error
        return cells

    async def replace(
        self,
        *,
        campaign_id: str,
        minutes: Collection[int],
        expected: CellSums,
        cells: Sequence[DetailedSum],
        policy: EventPolicy,
    ) -> None:
        """Replaces what these minutes of a campaign have by `cells`.

        expected: what they have as far as the caller knows. Raises CellsChangedError if that is not so any more.
        """
        request = pb.ReplaceCellsRequest(
            campaign_id=campaign_id,
            minutes=[_timestamp(minute) for minute in sorted(minutes)],
            expected=[
                pb.Cell(
                    campaign_id=key.campaign_id,
                    minute=_timestamp(key.minute),
                    type=key.type,
                    count=cell.events,
                    digest=cell.digest,
                )
                for key, cell in expected.items()
            ],
            cells=[
                pb.DetailedCell(
                    minute=_timestamp(cell.minute),
                    type=cell.type,
                    counts_as=policy.counts_as.get(cell.type, 0),
                    source=cell.source,
                    creative_id=cell.creative_id,
                    count=cell.count,
                    digest=cell.digest,
                )
                for cell in cells
            ],
        )
        try:
            await self._stub.ReplaceCells(request, timeout=_SECONDS, metadata=((CALLER, self._actor),))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ABORTED:
                raise CellsChangedError from error
            raise CannotAskError(service="stats") from error


def _timestamp(minute: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=minute * 60)
