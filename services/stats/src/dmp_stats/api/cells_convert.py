"""Between messages and the cells of audits and repairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from google.protobuf import timestamp_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.violations import InvalidArgument, Violation, Violations
from dmp_stats.api.convert import timestamp_to_proto
from dmp_stats.audit_cells import Correction
from dmp_stats.domain.audit import Fingerprint, Fingerprints, digest_words
from dmp_stats.domain.cells import Cells, merge_cells
from dmp_stats.domain.minutes import instant_of_minute

_MOST_MINUTES: Final = 1_440
_LONGEST_TEXT: Final = 255
_MINUTES: Final = range(-(2**31) + 1, 2**31)


def minutes_from_proto(request: pb.ListCellsRequest) -> tuple[int, int]:
    """The first and the last minute. Raises InvalidArgument."""
    problems = Violations(Violation(name, "is required") for name in ("from", "to") if not request.HasField(name))
    first, last = _minute(getattr(request, "from")), _minute(request.to)
    if not problems and first > last:
        problems.add("from", "must not be after to")
    if "\0" in request.campaign_id:
        problems.add("campaign_id", "must not contain a NUL character")
    problems.check()
    return max(first, _MINUTES[0]), min(last, _MINUTES[-1])


def cells_to_proto(part: Fingerprints) -> pb.ListCellsResponse:
    """A part of the cells."""
    return pb.ListCellsResponse(
        cells=[
            pb.Cell(
                campaign_id=name,
                minute=timestamp_to_proto(instant_of_minute(minute)),
                type=kind,
                count=one.count,
                digest=one.digest,
            )
            for (name, minute, kind), one in part.items()
        ]
    )


def correction_from_proto(request: pb.ReplaceCellsRequest) -> Correction:
    """A correction. Raises InvalidArgument with everything that is wrong with it."""
    problems = Violations()
    if not request.campaign_id or len(request.campaign_id) > _LONGEST_TEXT or "\0" in request.campaign_id:
        problems.add("campaign_id", "must be the id of a campaign")
    minutes = tuple(sorted({_minute(minute) for minute in request.minutes}))
    if not 1 <= len(minutes) <= _MOST_MINUTES:
        problems.add("minutes", f"must be 1 to {_MOST_MINUTES}")
    if any(minute not in _MINUTES for minute in minutes):
        problems.add("minutes", "must lie in the years 1 to 6000")
    wanted = set(minutes)
    expected: Fingerprints = {}
    for index, cell in enumerate(request.expected):
        path = f"expected[{index}]"
        if cell.campaign_id != request.campaign_id or _minute(cell.minute) not in wanted or len(cell.digest) != 16:
            problems.add(path, "must be a cell of this campaign and these minutes")
        expected[cell.campaign_id, _minute(cell.minute), cell.type] = Fingerprint(count=cell.count, digest=cell.digest)
    for index, detail in enumerate(request.cells):
        texts = (detail.type, detail.source, detail.creative_id)
        is_cell = _minute(detail.minute) in wanted and len(detail.digest) == 16 and detail.count > 0
        if not is_cell or not detail.type or detail.counts_as not in (0, 1, 2):
            problems.add(f"cells[{index}]", "must be a cell of these minutes")
        if any(len(text) > _LONGEST_TEXT or "\0" in text for text in texts):
            problems.add(f"cells[{index}]", "has a text that cannot be stored")
    if problems:
        raise InvalidArgument(problems[:50])
    return Correction(
        campaign_id=request.campaign_id,
        minutes=minutes,
        expected=expected,
        cells=_cells(request.campaign_id, request.cells) if request.cells else None,
    )


def _cells(campaign_id: str, details: Iterable[pb.DetailedCell]) -> Cells:
    rows = list(details)
    places: dict[str, int] = {"": 0}

    def column(values: Iterable[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.array([places.setdefault(value, len(places)) for value in values], np.int64)

    columns = {
        "campaigns": column(campaign_id for _ in rows),
        "types": column(row.type for row in rows),
        "sources": column(row.source for row in rows),
        "creatives": column(row.creative_id for row in rows),
    }
    return merge_cells(
        [
            Cells(
                texts=list(places),
                minutes=np.array([_minute(row.minute) for row in rows], np.int64),
                counts_as=np.array([row.counts_as for row in rows], np.int64),
                counts=np.array([row.count for row in rows], np.int64),
                digests=digest_words(row.digest for row in rows),
                **columns,
            )
        ]
    )


def _minute(instant: timestamp_pb2.Timestamp) -> int:
    return instant.seconds // 60
