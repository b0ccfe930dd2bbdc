"""User activity: which users had events in which seconds. It is what a batch adds to the sliding window."""

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
class UserActivity:
    """Columns with one entry for each event; there is at least one."""

    user_ids: Sequence[str]
    seconds: Ints
    """When the events happened, in whole seconds since 1970 UTC, floored."""
    users: Ints
    """Whose they are: positions in `user_ids`."""

    @property
    def first_second(self) -> int:
        """The earliest second."""
        return int(self.seconds.min())

    @property
    def last_second(self) -> int:
        """The latest second."""
        return int(self.seconds.max())


class _PackedActivity(msgspec.Struct, array_like=True, frozen=True):
    first_second: int
    user_ids: list[str]
    offsets: bytes
    users: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_PackedActivity)


def activity_of(batch: Batch, *, after_second: int) -> UserActivity | None:
    """The events of a batch that name a user and happened later than `after_second`; None if there are none."""
    seconds = batch.occurred_at_us // _SECOND_US
    chosen = np.flatnonzero((batch.users != 0) & (seconds > after_second))
    if len(chosen) == 0:
        return None
    positions = batch.users[chosen]
    used = np.zeros(len(batch.texts), bool)
    used[positions] = True
    texts = batch.texts
    return UserActivity(
        user_ids=[texts[position] for position in np.flatnonzero(used).tolist()],
        seconds=seconds[chosen],
        users=(np.cumsum(used) - 1)[positions],
    )


def merge_activity(parts: Sequence[UserActivity]) -> UserActivity:
    """The activity of all parts (at least one) in one. A user of several parts is in `user_ids` several times."""
    if len(parts) == 1:
        return parts[0]
    starts = accumulate((len(part.user_ids) for part in parts), initial=0)
    return UserActivity(
        user_ids=list(chain.from_iterable(part.user_ids for part in parts)),
        seconds=np.concatenate([part.seconds for part in parts]),
        users=np.concatenate([part.users + start for part, start in zip(parts, starts, strict=False)]),
    )


def pack_activity(activity: UserActivity) -> bytes:
    """Activity as bytes, for storing."""
    first = activity.first_second
    return _ENCODER.encode(
        _PackedActivity(
            first,
            list(activity.user_ids),
            (activity.seconds - first).astype("<u4").tobytes(),
            activity.users.astype("<u4").tobytes(),
        )
    )


def unpack_activity(data: bytes) -> UserActivity:
    """The inverse of `pack_activity`."""
    packed = _DECODER.decode(data)
    return UserActivity(
        user_ids=packed.user_ids,
        seconds=np.frombuffer(packed.offsets, "<u4").astype(np.int64) + packed.first_second,
        users=np.frombuffer(packed.users, "<u4").astype(np.int64),
    )
