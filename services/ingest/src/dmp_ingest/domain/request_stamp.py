"""Makes the ids of events that were sent without one: the same ones at each try of one request.

The gateway stamps each request, once for all its tries. A replica that dies may have stored the events before it could
answer; the next one then makes the same ids of them, so the log knows them.
"""

from __future__ import annotations

import re
import uuid
from typing import Final, NamedTuple

_STAMP: Final = re.compile(
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}) ([0-9]{13})", re.ASCII
).fullmatch
_RANDOM_BITS: Final = 74
_RANDOM: Final = (1 << _RANDOM_BITS) - 1
_LOW_BITS: Final = 62
_LOW: Final = (1 << _LOW_BITS) - 1
_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62


class RequestStamp(NamedTuple):
    """What makes the ids of one request."""

    milliseconds: int
    """When the gateway got the request, since 1970."""
    number: int
    """74 bits by chance, the same at each try."""


def read_stamp(text: str) -> RequestStamp | None:
    """`<random UUID> <milliseconds since 1970>`, as the gateway writes it; None if it is anything else."""
    found = _STAMP(text)
    if found is None:
        return None
    number = uuid.UUID(found[1]).int
    # Of a random UUID the version and the variant are fixed: what lies above them and below them is random.
    return RequestStamp(milliseconds=int(found[2]), number=((number >> 80) << _LOW_BITS | number & _LOW) & _RANDOM)


def stamped_event_id(stamp: RequestStamp, index: int) -> str:
    """The id of the event at this position: a UUIDv7 of the stamp's time, whose other bits count up from its number.

    So ids of one request are in the order of its events. *Source:* RFC 9562, sections 5.7 and 6.2, method 2.
    """
    number = (stamp.number + index) & _RANDOM
    high, low = number >> _LOW_BITS, number & _LOW
    return str(uuid.UUID(int=stamp.milliseconds << 80 | _VERSION | high << 64 | _VARIANT | low))
