"""Sightings: which users were seen in which seconds. What a batch adds to the sliding window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final

import msgspec
import numpy as np

from dmp_stats.domain.cells import Batch, Ints

_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """One entry in `seconds` (since 1970 UTC, floored) and `users` (a position in `user_ids`) for each event.

    Never empty.
    """

    user_ids: Sequence[str]
    seconds: Ints
    users: Ints

    @property
    def first_second(self) -> int:
        """The earliest second."""
        return int(self.seconds.min())

    @property
    def last_second(self) -> int:
        """The latest second."""
        return int(self.seconds.max())


class _PackedSightings(msgspec.Struct, array_like=True, frozen=True):
    first_second: int
    user_ids: list[str]
    offsets: bytes
    users: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_PackedSightings)


def sightings_of(batch: Batch, *, after_second: int) -> Sightings | None:
    """The batch's events that name a user and happened later than `after_second`, None if there are none."""
    seconds = batch.occurred_at_us // _SECOND_US
    chosen = np.flatnonzero((batch.users != 0) & (seconds > after_second))
    if len(chosen) == 0:
        return None
    positions = batch.users[chosen]
    used = np.zeros(len(batch.texts), bool)
    used[positions] = True
    texts = batch.texts
    return Sightings(
        user_ids=[texts[position] for position in np.flatnonzero(used).tolist()],
        seconds=seconds[chosen],
        users=(np.cumsum(used) - 1)[positions],
    )


def merge_sightings(parts: Sequence[Sightings]) -> Sightings:
    """All of them, at least one. A user that is in several parts comes several times."""
    if len(parts) == 1:
        return parts[0]
    starts = accumulate((len(part.user_ids) for part in parts), initial=0)
    return Sightings(
        user_ids=list(chain.from_iterable(part.user_ids for part in parts)),
        seconds=np.concatenate([part.seconds for part in parts]),
        users=np.concatenate([part.users + start for part, start in zip(parts, starts, strict=False)]),
    )


def pack_sightings(sightings: Sightings) -> bytes:
    """Sightings as bytes, for storing."""
    first = sightings.first_second
    return _ENCODER.encode(
        _PackedSightings(
            first,
            list(sightings.user_ids),
            (sightings.seconds - first).astype("<u4").tobytes(),
            sightings.users.astype("<u4").tobytes(),
        )
    )


def unpack_sightings(data: bytes) -> Sightings:
    """The inverse of `pack_sightings`."""
    packed = _DECODER.decode(data)
    return Sightings(
        user_ids=packed.user_ids,
        seconds=np.frombuffer(packed.offsets, "<u4").astype(np.int64) + packed.first_second,
        users=np.frombuffer(packed.users, "<u4").astype(np.int64),
    )
